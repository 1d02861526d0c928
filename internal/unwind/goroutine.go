package unwind

import (
	"github.com/gatedso/bt/internal/arch"
)

// Go and C by turns: a thread that runs Go code has two stacks. The goroutine's
// is Go's own; C code and the scheduler run on the thread's, which Go calls the
// system stack, or g0's. Where C calls back into Go a frame of
// runtime.cgocallback lies on both.
//
// What is read here has been where it is since Go 1.4 (type g, type m and type
// gobuf in runtime/runtime2.go); all of it is checked against each other.
const (
	gStackLo = 0 // words from the start of a g
	gStackHi = 1
	gM       = 6
	gSchedSP = 7
	gSchedPC = 8
	gSchedLR = 11 // and from Go 1.4 to 1.24 one more

	mG0   = 0   // words from the start of an m
	mSize = 128 // of which more than this holds the goroutines that belong to it

	// callbackGap bounds the words between the stack pointer that Go code left
	// the system stack with and the frame of the callback that it came from:
	// what asmcgocall puts there, and what is there for alignment.
	callbackGap = 16
	// asmcgocallFrame bounds the words that asmcgocall takes on the system stack.
	asmcgocallFrame = 10
	// maxGoStack bounds a goroutine's stack (runtime.maxstackceiling).
	maxGoStack = 2 << 30
	// callbackFrame bounds the words of that frame.
	callbackFrame = 16
)

// goSystem is what a walk knows of the system stack while it is on a goroutine's.
type goSystem struct {
	sp    uint64 // where the walk left it
	known bool
	asked bool // the scheduler's record has been used, which is of the last callback
}

// changeStack finds the caller of f, a function of Go's that changes stacks;
// regs, end and at are what its row says.
func (s *state) changeStack(f Frame, p *plan, regs arch.Regs, end End, at uint64) (arch.Regs, End, uint64) {
	switch p.golang {
	case HowGoSwitch:
		if sp, _ := regs.Get(s.arch.SP); end == stepOn && !(f.Exact && sp > f.SP && sp-f.SP < maxPopped) {
			s.system = goSystem{sp: f.SP, known: true, asked: s.system.asked}
		}
	case HowGoCgo:
		return s.fromC(f, p)
	case HowGoCallback:
		if end == stepOn {
			return s.fromCallback(f, regs)
		}
	case HowGoLeft, HowGoGrows:
		return s.leftGoroutine(f, p)
	}
	return regs, end, at
}

// fromC finds the caller of f, runtime.asmcgocall, whose callee runs on the
// system stack. It has left there its goroutine, and how far below the top of
// the goroutine's stack it was: Go may have moved that stack since, if C has
// called back, and then C's frames have saved a frame pointer that is wrong. On
// the system stack already, it has left its stack pointer and no goroutine.
func (s *state) fromC(f Frame, p *plan) (regs arch.Regs, end End, at uint64) {
	w := words{s: s}
	var missing uint64
	word := uint64(s.arch.PtrSize)
	for n := range asmcgocallFrame {
		depth, g := w.at(f.SP, n), w.at(f.SP, n+1)
		if !s.arch.Go.DepthFirst {
			depth, g = g, depth
		}
		if w.missing != 0 {
			missing = w.missing
			break
		}
		var sp uint64
		switch {
		case g == 0 && depth > f.SP && depth-f.SP <= 2*asmcgocallFrame*word:
			sp = depth
		case g > asmcgocallFrame && g%word == 0 && depth > 0 && depth < maxGoStack:
			try := words{s: s}
			// A goroutine that waits has no m.
			if m := try.at(g, gM); try.at(try.at(m, mG0), gM) != m || !try.onStack(g, try.at(g, gStackHi)-depth) {
				missing = max(missing, try.missing)
				continue
			}
			sp = try.at(g, gStackHi) - depth
		default:
			continue
		}
		saved := s.regs
		s.regs.Set(s.arch.SP, sp)
		regs, end, at = s.byRow(f, p.row)
		s.regs = saved
		if end == stepOn && s.plausible(&regs) {
			s.system = goSystem{sp: f.SP, known: true, asked: s.system.asked}
			return regs, end, at
		}
		if end == EndNoMemory {
			missing = at
		}
	}
	if missing != 0 {
		return regs, EndNoMemory, missing
	}
	return regs, EndOtherStack, f.PC
}

// entered reports whether ret is a return address in the function by which C
// code has entered Go.
func (s *state) entered(ret uint64) bool {
	q := s.plan(ret, false)
	return q.golang == HowGoEntry && q.afterCall
}

// fromCallback finds the caller of runtime.cgocallback, for which its row has
// found regs.
func (s *state) fromCallback(f Frame, regs arch.Regs) (arch.Regs, End, uint64) {
	if pc, _ := regs.Get(s.arch.PC); s.entered(pc) {
		return regs, stepOn, 0 // it is on the system stack now
	}
	if !s.system.known {
		if end, at := s.askScheduler(f); end != stepOn {
			return regs, end, at
		}
	}
	s.system.known = false
	cfa, _ := regs.Get(s.arch.SP)
	word := uint64(s.arch.PtrSize)
	size := cfa - f.SP
	toReturn := uint64(s.arch.Entry.Return.Offset) // from the CFA
	if s.arch.Entry.Return.InReg {
		toReturn = -size // to the bottom of the frame
	}
	for n := range uint64(callbackGap) {
		cfa := (s.system.sp + size + n*word) & s.mask
		ret, ok := s.word(cfa + toReturn)
		if !ok {
			return regs, EndNoMemory, cfa
		}
		if !s.entered(ret) {
			continue
		}
		var out arch.Regs // all others are in the caller's frame
		out.Set(s.arch.SP, cfa)
		out.Set(s.arch.PC, ret)
		return out, stepOn, 0
	}
	return regs, EndOtherStack, f.PC
}

// askScheduler reads where the system stack was left from the goroutine that
// the register of the CPU names, if it is the one that f belongs to.
func (s *state) askScheduler(f Frame) (End, uint64) {
	g, ok := s.regs.Get(s.arch.Go.G)
	if !ok || s.system.asked || g == 0 {
		return EndOtherStack, f.PC
	}
	w := words{s: s}
	m := w.at(g, gM)
	g0 := w.at(m, mG0)
	sp := w.at(g0, gSchedSP)
	own := w.at(g0, gM) == m && w.onStack(g, f.SP) && w.onStack(g0, sp)
	switch {
	case w.missing != 0:
		return EndNoMemory, w.missing
	case !own:
		return EndOtherStack, f.PC
	}
	s.system = goSystem{sp: sp, known: true, asked: true}
	return stepOn, 0
}

// leftGoroutine finds the goroutine that f has left on its way to the scheduler.
// The scheduler may have given the goroutine to another thread since, or hold it
// until it can run again. Then f is outermost, unless C code has called Go: the
// goroutine belongs to this thread until it returns there.
func (s *state) leftGoroutine(f Frame, p *plan) (regs arch.Regs, end End, at uint64) {
	w := words{s: s}
	called := s.belowIsC(f)
	var g uint64
	if p.golang == HowGoLeft && s.arch.Go.MCallArg {
		g = w.at(f.SP, 0) // its function's argument
	} else if g0, ok := s.regs.Get(s.arch.Go.G); ok {
		g = w.lastOf(w.at(g0, gM), g0, called)
	}
	if !called && w.missing == 0 {
		m := w.at(g, gM) // its own thread's still, if this is the stack
		g0 := w.at(m, mG0)
		called = m != 0 && w.at(g0, gM) == m && w.onStack(g0, f.SP)
	}
	suspended := called && w.suspended(g)
	switch {
	case w.missing != 0 && (called || p.golang == HowGoGrows):
		return regs, EndNoMemory, w.missing
	case !called:
		return regs, EndOutermost, 0
	case !suspended:
		return regs, EndOtherStack, f.PC
	}
	s.system = goSystem{sp: f.SP, known: true, asked: s.system.asked}
	regs.Set(s.arch.SP, w.at(g, gSchedSP))
	regs.Set(s.arch.PC, w.at(g, gSchedPC))
	regs.Set(s.arch.Go.G, g)
	if ret := s.arch.Entry.Return; ret.InReg {
		for i := gSchedLR; i <= gSchedLR+1; i++ {
			if lr := w.at(g, i); lr != 0 && s.code.Executable((lr-1)&s.mask) {
				regs.Set(ret.Reg, lr)
				break
			}
		}
	}
	return regs, stepOn, 0
}

// belowIsC reports whether f, which runs at the start of the system stack's part
// that is Go's, lies on the frame of a callback.
func (s *state) belowIsC(f Frame) bool {
	word := uint64(s.arch.PtrSize)
	for n := range uint64(callbackGap + callbackFrame) {
		if ret, ok := s.word(f.SP + n*word); ok && s.entered(ret) {
			return true
		}
	}
	return false
}

// words reads the runtime's structures, and keeps the first address that the
// memory does not hold. Behind a null pointer all is zero.
type words struct {
	s       *state
	missing uint64
}

func (w *words) at(base uint64, index int) uint64 {
	if base == 0 || w.missing != 0 {
		return 0
	}
	addr := base + uint64(index*w.s.arch.PtrSize)
	v, ok := w.s.word(addr)
	if !ok {
		w.missing = addr & w.s.mask
	}
	return v
}

// onStack reports whether sp lies on the stack of g.
func (w *words) onStack(g, sp uint64) bool {
	lo, hi := w.at(g, gStackLo), w.at(g, gStackHi)
	return w.missing == 0 && sp > lo && sp <= hi
}

// suspended reports whether g looks like a goroutine that can go on where its
// record says.
func (w *words) suspended(g uint64) bool {
	pc := w.at(g, gSchedPC)
	return g != 0 && w.onStack(g, w.at(g, gSchedSP)) && w.s.code.Executable((pc-1)&w.s.mask)
}

// lastOf returns the goroutine that m, whose scheduler is g0, runs; or, if it
// runs none, the one that is locked to it, if that is asked for. Where an m has
// them differs from one Go to the next.
func (w *words) lastOf(m, g0 uint64, locked bool) uint64 {
	if w.at(m, mG0) != g0 || m == 0 {
		return 0
	}
	var waits uint64
	for i := 1; i < mSize; i++ {
		g := w.at(m, i)
		if g == g0 || g < mSize || g%uint64(w.s.arch.PtrSize) != 0 || w.missing != 0 {
			continue
		}
		// Whatever else an m has there may point nowhere.
		try := words{s: w.s}
		of := try.at(g, gM)
		if !try.suspended(g) || of != 0 && of != m {
			continue
		}
		if of == m {
			return g
		}
		waits = g
	}
	if locked {
		return waits
	}
	return 0
}
