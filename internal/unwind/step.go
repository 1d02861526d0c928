package unwind

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// state is one walk: the registers of the current frame and what the walk has
// to remember between frames.
type state struct {
	*Walker
	mem      Memory
	regs     arch.Regs
	switches int
	system   goSystem
	pacMask  uint64 // see arch.Arch.StripPAC
	// linked says that the link register is the current frame's, although that has
	// made a call: a goroutine keeps it when it gets a larger stack.
	linked bool

	// blocked is the set of signals blocked in the current frame.
	blocked    uint64
	hasBlocked bool
}

// step finds the caller of frame f by plan p. It returns stepOn with the
// caller's frame, whose registers are then in s.regs, or why there is none.
func (s *state) step(f Frame, p *plan) (Frame, End, uint64) {
	var regs arch.Regs
	var end End
	var at uint64
	how := p.how
	if s.recoverSP(p) {
		how = HowFramePointer
	}
	switch p.method {
	case byRow:
		regs, end, at = s.byRow(f, p.row)
		if how == HowCFI && end != EndOutermost && (end != stepOn || !s.plausible(&regs) || p.popped(f, &regs, s.arch)) {
			if better, ok := s.byCode(f, p); ok {
				regs, end, how = better, stepOn, HowAnalysis
			}
		}
		if p.golang != 0 {
			regs, end, at = s.changeStack(f, p, regs, end, at)
		}
	case byTrampoline:
		regs, end, at = s.byTrampoline(f, p)
	case byLayout:
		regs, end, at = s.byLayout(f, &p.layout)
	case byStart:
		return Frame{}, EndOutermost, 0
	case byLeaf:
		if !f.Exact {
			return Frame{}, EndBadReturn, f.PC
		}
		regs, end, at = s.byLayout(f, &s.arch.Entry)
	default:
		regs, end, at = s.byFramePointer(f)
	}
	if end != stepOn {
		return Frame{}, end, at
	}

	pc, _ := regs.Get(s.arch.PC)
	sp, _ := regs.Get(s.arch.SP)
	fp, _ := regs.Get(s.arch.FP)
	next := Frame{PC: pc, SP: sp, FP: fp, Exact: p.signal || p.how == HowInjected, How: how}
	if end, at := s.check(f, p, next, &regs); end != stepOn {
		return Frame{}, end, at
	}
	if p.signal {
		s.leaveSignal(p)
	}
	if p.method == byNothing && s.arch.Chain.Least {
		regs.Clear(s.arch.SP)
	}
	s.regs = regs
	s.linked = (p.golang == HowGoLeft || p.golang == HowGoGrows) && s.hasLink()
	return next, stepOn, 0
}

// hasLink reports whether there is a link register, with a known value.
func (s *state) hasLink() bool {
	ret := s.arch.Entry.Return
	_, ok := s.regs.Get(ret.Reg)
	return ret.InReg && ok
}

// check decides whether next can be the caller of f.
func (s *state) check(f Frame, p *plan, next Frame, regs *arch.Regs) (End, uint64) {
	switch {
	case p.signal:
		// The interrupted code may run anywhere, and may have jumped
		// anywhere: nothing about its pc can be wrong.
		if next.SP <= f.SP {
			if s.switches++; s.switches > maxSwitches {
				return EndLoop, next.SP
			}
		}
		return stepOn, 0
	case next.SP < f.SP && (p.how == HowGo || s.switched(f, p, next)):
		if s.switches++; s.switches > maxSwitches {
			return EndLoop, next.SP
		}
	case next.SP < f.SP, next.SP == f.SP && !f.Exact && !s.linked:
		return EndNoAdvance, next.SP
	}
	if next.PC == 0 {
		return s.zeroReturn(f, p, next)
	}
	if !s.code.Executable((next.PC - 1) & s.mask) {
		// A trampoline may begin its page: no byte before it.
		if q := s.plan(next.PC, false); !q.signal {
			return s.badReturn(f, p, next.PC)
		}
	}
	// An instruction that a signal interrupted, as Go's handlers call from there,
	// may well be a function's first.
	if !next.Exact && s.plan(next.PC, false).bottom {
		// A wrong row can lead to a pointer to a function just as well.
		if p.method == byRow && p.how == HowCFI && !s.agrees(f, p, next) {
			return EndNotCalled, next.PC
		}
		return EndCoroutine, next.PC
	}
	if p.method != byRow {
		// Found by less than a table's word: it must look like a call.
		q := s.plan(next.PC, false)
		if !q.afterCall && !q.signal && !(p.method != byLeaf && q.method != byRow && s.chained(regs)) {
			return s.badReturn(f, p, next.PC)
		}
	}
	return stepOn, 0
}

// chained reports whether the caller's frame pointer leads on to another frame.
// Interpreters that make their own frames, such as HotSpot's, push return
// addresses that no call precedes, for what they call and for themselves; with
// code that nothing describes on both sides, two links of the chain serve as
// proof instead.
func (s *state) chained(regs *arch.Regs) bool {
	fp, ok := regs.Get(s.arch.FP)
	sp, _ := regs.Get(s.arch.SP)
	size := uint64(s.arch.PtrSize)
	if !ok || s.arch.Chain.Base == arch.NoReg || fp < sp || fp%size != 0 {
		return false
	}
	next, ok := s.word(fp)
	ret, ok2 := s.word(fp + size)
	return ok && ok2 && next > fp && s.code.Executable((ret-1)&s.mask)
}

// badReturn says what a return address that is no code means.
func (s *state) badReturn(f Frame, p *plan, pc uint64) (End, uint64) {
	if (p.method == byLayout || p.method == byNothing) && s.deepest(f) {
		return EndOutermost, 0
	}
	if s.code.Executable((pc - 1) & s.mask) {
		if !s.readable((pc - 1) & s.mask) {
			return EndNoInfo, pc // whether a call precedes it cannot be known
		}
		return EndNotCalled, pc
	}
	return EndBadReturn, pc
}

// readable reports whether there are code bytes at pc: a core does not hold those
// of a program whose file is gone.
func (s *state) readable(pc uint64) bool {
	var b [1]byte
	return s.code.Text(pc, b[:]) == 1
}

// zeroReturn says what a return address of zero means. Where nobody called,
// runtimes leave a zero there; so does any empty slot of a stack that a wrong
// row takes for the return address. The row is believed where the function's
// own instructions agree with it.
func (s *state) zeroReturn(f Frame, p *plan, next Frame) (End, uint64) {
	if p.how == HowGo || p.method == byRow && s.agrees(f, p, next) || p.method != byRow && s.deepest(f) || p.lastRecord(next, s.arch) {
		return EndOutermost, 0
	}
	return EndZeroReturn, f.PC
}

// deepest reports whether a zero frame pointer marks f as the outermost frame
// (System V psABI, "the initial stack and register state"). Code that keeps no
// frame pointer can have any number there: only at the end of a chain of frame
// pointers, and in code that never returns, a zero is no chance.
func (s *state) deepest(f Frame) bool {
	fp, ok := s.regs.Get(s.arch.FP)
	if !ok || fp&s.mask != 0 || f.Exact {
		return false
	}
	return f.How == HowFramePointer || s.endless(f.PC)
}

func (s *state) word(addr uint64) (uint64, bool) {
	return s.mem.Word(addr&s.data, s.arch.PtrSize)
}

// byRow applies a row of call frame information (DWARF 5 section 6.4.3). A
// register that the row is silent on keeps its value: private calling
// conventions preserve more than the ABI asks for.
func (s *state) byRow(f Frame, row *cfi.Row) (regs arch.Regs, end End, at uint64) {
	regs = s.regs
	if int(row.RA) >= len(row.Regs) {
		return regs, EndBadRow, f.PC
	}
	if row.Regs[row.RA].Kind == cfi.Undefined {
		return regs, EndOutermost, 0
	}
	cfa, end, at := s.cfa(f, row)
	if end != stepOn {
		return regs, end, at
	}
	if k := row.Regs[row.RA].Kind; k == cfi.Unspecified || k == cfi.SameValue {
		// It is in the link register: a call since has put another there.
		if k == cfi.Unspecified && arch.Reg(row.RA) == s.arch.PC || s.arch.Entry.Return.InReg && !f.Exact && !s.linked {
			return regs, EndBadRow, f.PC
		}
	}
	regs.Set(s.arch.SP, cfa+s.pushed(f, row))
	for i := range s.arch.NumRegs {
		if row.Regs[i].Kind == cfi.Unspecified {
			continue
		}
		// A register that cannot be recovered is lost, no more; without
		// the return address or the stack pointer there is no caller.
		end, at := s.rule(&regs, f, row, arch.Reg(i), cfa)
		if end != stepOn && (uint8(i) == row.RA || arch.Reg(i) == s.arch.SP) {
			return regs, end, at
		}
	}
	pc, ok := regs.Get(arch.Reg(row.RA))
	if !ok {
		return regs, EndNoRegister, uint64(row.RA)
	}
	if _, ok := regs.Get(s.arch.SP); !ok {
		return regs, EndNoRegister, uint64(s.arch.SP)
	}
	if row.RASigned {
		pc = s.strip(pc)
	}
	if !row.Signal {
		pc &^= s.arch.ReturnBits
	}
	regs.Set(s.arch.PC, pc&s.mask)
	return regs, stepOn, 0
}

// cfa computes the canonical frame address.
func (s *state) cfa(f Frame, row *cfi.Row) (cfa uint64, end End, at uint64) {
	switch row.CFA.Kind {
	case cfi.Register:
		v, ok := s.regs.Get(arch.Reg(row.CFA.Reg))
		if !ok {
			return 0, EndNoRegister, uint64(row.CFA.Reg)
		}
		return (v + uint64(row.CFA.N)) & s.data, stepOn, 0
	case cfi.ValExpression, cfi.Expression:
		v, end, at := s.eval(f, row, row.CFA, nil)
		return v & s.data, end, at
	}
	return 0, EndBadRow, f.PC
}

// rule gives register r in regs the value that it has in the caller of f, or
// makes it unknown.
func (s *state) rule(regs *arch.Regs, f Frame, row *cfi.Row, r arch.Reg, cfa uint64) (End, uint64) {
	rule := row.Regs[r]
	switch rule.Kind {
	case cfi.Undefined:
		regs.Clear(r)
	case cfi.Offset:
		return s.load(regs, r, cfa+uint64(rule.N))
	case cfi.ValOffset:
		regs.Set(r, (cfa+uint64(rule.N))&s.mask)
	case cfi.SameValue:
		// Says of the stack pointer, too, that it did not change.
		if v, ok := s.regs.Get(r); ok {
			regs.Set(r, v)
		}
	case cfi.Register:
		if v, ok := s.regs.Get(arch.Reg(rule.Reg)); ok {
			regs.Set(r, v)
		} else {
			regs.Clear(r)
		}
	case cfi.Expression, cfi.ValExpression:
		v, end, at := s.eval(f, row, rule, &cfa)
		switch {
		case end != stepOn:
			regs.Clear(r)
			return end, at
		case rule.Kind == cfi.ValExpression:
			regs.Set(r, v&s.mask)
		case f.Exact && !row.Signal && r != s.arch.PC && s.outside(f, v, cfa):
			// gcc's rows of a realigned frame find the registers by the
			// frame pointer to the end, also behind the pops that have
			// restored them all and it last. It is the caller's then.
		default:
			return s.load(regs, r, v)
		}
	}
	return stepOn, 0
}

// strip takes off a return address what is no part of the address: the
// authentication code, if it is signed.
func (s *state) strip(ra uint64) uint64 {
	ra &^= s.arch.ReturnBits
	if s.arch.StripPAC == nil {
		return ra
	}
	return s.arch.StripPAC(ra, s.pacMask)
}

// outside reports whether addr lies outside f's frame and what it has popped.
func (s *state) outside(f Frame, addr, cfa uint64) bool {
	const popped = 256
	low := f.SP - popped
	return (addr-low)&s.mask >= (cfa-low)&s.mask
}

// load sets r to the word at addr, or clears it.
func (s *state) load(regs *arch.Regs, r arch.Reg, addr uint64) (End, uint64) {
	v, ok := s.word(addr)
	if !ok {
		regs.Clear(r)
		return EndNoMemory, addr & s.mask
	}
	regs.Set(r, v)
	return stepOn, 0
}

// byLayout applies what the function's own instructions told.
func (s *state) byLayout(_ Frame, l *arch.Layout) (regs arch.Regs, end End, at uint64) {
	regs = s.regs
	base, ok := s.regs.Get(l.Base)
	if !ok {
		return regs, EndNoRegister, uint64(l.Base)
	}
	cfa := (base + uint64(l.Offset)) & s.data
	if l.Indirect {
		v, ok := s.word(cfa)
		if !ok {
			return regs, EndNoMemory, cfa
		}
		cfa = (v + uint64(l.Add)) & s.data
	}
	pc, end, at := s.returnAddress(l.Return, cfa)
	if end != stepOn {
		return regs, end, at
	}
	for _, saved := range l.Saved {
		if saved.Offset == arch.NoOffset {
			regs.Clear(saved.Reg)
			continue
		}
		s.load(&regs, saved.Reg, cfa+uint64(saved.Offset))
	}
	if len(l.InFrame) > 0 {
		frame, known := s.regs.Get(l.Frame)
		for _, saved := range l.InFrame {
			if regs.Clear(saved.Reg); known {
				s.load(&regs, saved.Reg, frame+uint64(saved.Offset))
			}
		}
	}
	regs.Set(s.arch.SP, cfa)
	regs.Set(s.arch.PC, pc)
	return regs, stepOn, 0
}

// returnAddress reads the return address. Whether it is signed nothing tells
// here: an address that is not has no authentication code to take off.
func (s *state) returnAddress(ret arch.Return, cfa uint64) (pc uint64, end End, at uint64) {
	ok := false
	if ret.InReg {
		if pc, ok = s.regs.Get(ret.Reg); !ok {
			return 0, EndNoRegister, uint64(ret.Reg)
		}
	} else {
		at = (cfa + uint64(ret.Offset)) & s.mask
		if pc, ok = s.word(at); !ok {
			return 0, EndNoMemory, at
		}
	}
	return s.strip(pc) & s.mask, stepOn, 0
}

// byFramePointer takes the frame pointer at its word: it points at the saved
// frame pointer, with the return address above.
func (s *state) byFramePointer(f Frame) (regs arch.Regs, end End, at uint64) {
	switch s.record(f) {
	case noRecord:
		return s.byLayout(f, &s.arch.Entry)
	case mayRecord:
		return regs, EndNoInfo, f.PC
	}
	fp, ok := s.regs.Get(s.arch.FP)
	if !ok || s.arch.Chain.Base == arch.NoReg {
		return regs, EndNoInfo, f.PC
	}
	size := uint64(s.arch.PtrSize)
	fp &= s.mask
	if f.Exact && !s.readable(f.PC) {
		// The function may not have made its frame yet, or none at all: the
		// frame pointer would lead to its caller's caller.
		return regs, EndNoInfo, f.PC
	}
	if fp == 0 && s.deepest(f) {
		return regs, EndOutermost, 0
	}
	if fp < f.SP || fp%size != 0 {
		return regs, EndNoInfo, f.PC
	}
	regs, end, at = s.byLayout(f, &s.arch.Chain)
	if end == EndNoMemory && fp-f.SP > 1<<20 {
		// Not a frame pointer at all, but some number.
		return regs, EndNoInfo, f.PC
	}
	return regs, end, at
}
