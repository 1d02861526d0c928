package unwind

import (
	"bytes"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// method is how a frame's caller is found.
type method uint8

const (
	byNothing    method = iota // nothing is known but the frame pointer
	byLeaf                     // pc is not code: the return address is on top of the stack
	byRow                      // a row of call frame information
	byLayout                   // what Analyze found
	byTrampoline               // a signal frame known by its code
	byStart                    // nobody called it: a thread begins there
)

// plan is all that a pc alone, without registers and memory, tells about how
// to unwind from it.
type plan struct {
	key    uint64
	method method
	how    How // for the caller that the plan leads to
	signal bool
	golang How // HowGoSwitch … HowGoEntry, of a function of Go's that changes stacks
	row    *cfi.Row
	layout arch.Layout

	// For byRow: what the instructions tell, asked when in doubt.
	analyzed bool
	layouts  []arch.Layout

	tramp *arch.Trampoline // recognised code, for byTrampoline and the signal's number
	point arch.TrampolinePoint

	// bottom: a return address that was put on the stack by hand, at the start of
	// a function or of code that ends the thread or leaves it: makecontext's
	// and other coroutines' have no caller.
	bottom bool

	// afterCall: the bytes before pc can be a call instruction. A caller
	// found by less than call frame information must have it.
	afterCall bool
}

// planKey tells an exact pc from a return address: code does not lie in the
// upper half of what 63 bits can address, except for the kernel's vsyscall
// page, for which the flipped bit does as well.
func planKey(pc uint64, exact bool) uint64 {
	if exact {
		return pc ^ 1<<63
	}
	return pc
}

func (w *Walker) plan(pc uint64, exact bool) *plan {
	key := planKey(pc, exact)
	slot := &w.hot[(key^key>>9)%uint64(len(w.hot))]
	if p := *slot; p != nil && p.key == key {
		return p
	}
	p := w.recent[key]
	if p == nil {
		if p = w.older[key]; p == nil {
			p = w.makePlan(pc, exact)
			p.key = key
			p.bottom = !exact && !p.afterCall && !p.signal && w.begins(pc, p.method == byRow)
		}
		w.remember(p)
	}
	*slot = p
	return p
}

// remember puts a plan into the recent generation.
func (w *Walker) remember(p *plan) {
	if len(w.recent) >= maxPlans {
		w.older, w.recent = w.recent, make(map[uint64]*plan)
	}
	w.recent[p.key] = p
}

func (w *Walker) makePlan(pc uint64, exact bool) *plan {
	lookup := pc
	if !exact {
		lookup = (pc - 1) & w.mask
	}
	p := &plan{afterCall: !exact && w.afterCall(pc)}
	var row *cfi.Row
	var how How
	if pc == 0 || !w.code.Executable(lookup) {
		p.method, p.how = byLeaf, HowLeaf
		if exact || !w.code.Executable(pc) {
			return p
		}
		// No call ends before the first byte of a page, but a trampoline
		// may begin there.
		if row, how = w.code.Row(pc, true); row == nil || !row.Signal {
			w.matchTrampoline(p, pc)
			return p
		}
	} else {
		row, how = w.code.Row(lookup, exact)
	}
	if !exact && (row == nil || !row.Signal) {
		// A handler returns to the first byte of a trampoline, which no
		// call precedes: look there too when that is another function.
		at, atHow := w.code.Row(pc, true)
		switch {
		case at != nil && at.Signal:
			row, how = at, atHow
		case at == nil || row == nil || at.Func != row.Func:
			if w.matchTrampoline(p, pc) {
				return p
			}
		}
	}
	if how >= HowGoSwitch {
		p.golang, how = how, HowGo
	}
	if row != nil {
		p.method, p.how, p.row, p.signal = byRow, how, row, row.Signal
		// An interpreter jumps, with a return address that it has made itself.
		p.afterCall = p.afterCall || how == HowRuntime
		if row.Signal {
			p.how = HowSignal
			if tr := new(plan); w.matchTrampoline(tr, pc) {
				p.tramp, p.point = tr.tramp, tr.point
			}
		}
		return p
	}
	if w.matchTrampoline(p, pc) {
		return p
	}
	w.planByCode(p, pc, lookup, exact)
	return p
}

// planByCode completes p for a pc that no row describes.
func (w *Walker) planByCode(p *plan, pc, lookup uint64, exact bool) {
	if !exact && w.startsThread(pc) {
		p.method = byStart
		return
	}
	if layout, ok := w.analyze(pc, lookup); ok {
		p.method, p.how, p.layout = byLayout, HowAnalysis, layout
		return
	}
	if exact {
		if layout, ok := w.edge(pc); ok {
			p.method, p.how, p.layout = byLayout, HowAnalysis, layout
			return
		}
	}
	if last, ok := w.code.(LastResort); ok {
		if row, how := last.LastRow(lookup); row != nil {
			p.method, p.how, p.row = byRow, how, row
			return
		}
	}
	if layout, ok := w.ahead(pc, exact); ok {
		p.method, p.how, p.layout = byLayout, HowAnalysis, layout
		return
	}
	p.method, p.how = byNothing, HowFramePointer
}

// begins reports whether pc, a return address that no call precedes, is the first
// instruction of a function, or, if no row covers it, of code that never returns.
func (w *Walker) begins(pc uint64, hasRow bool) bool {
	if !w.code.Executable(pc) {
		return false
	}
	if start, ok := w.code.FuncStart(pc); ok && start == pc {
		return true
	}
	return !hasRow && w.endless(pc)
}

// analyze follows the instructions of the function that holds lookup.
func (w *Walker) analyze(pc, lookup uint64) (arch.Layout, bool) {
	if w.arch.Analyze == nil {
		return arch.Layout{}, false
	}
	start, ok := w.code.FuncStart(lookup)
	if !ok || pc-start > maxText {
		return arch.Layout{}, false
	}
	text := w.scratch(maxText)
	text = text[:w.code.Text(start, text)]
	return w.arch.Analyze(text, start, lookup)
}

// scratch is room for n bytes of code, until it is asked for again.
func (w *Walker) scratch(n int) []byte {
	if cap(w.text) < n {
		w.text = make([]byte, n)
	}
	return w.text[:n]
}

// ahead follows the code around pc to where it returns.
func (w *Walker) ahead(pc uint64, exact bool) (arch.Layout, bool) {
	if w.arch.Ahead == nil {
		return arch.Layout{}, false
	}
	buf := w.scratch(8 << 10)
	from := (pc - uint64(len(buf)/4)) &^ 15
	n := w.code.Text(from, buf)
	if n == 0 {
		from = pc &^ 15 // near the start of what is mapped
		n = w.code.Text(from, buf)
	}
	return w.arch.Ahead(buf[:n], int(pc-from), !exact)
}

// edge asks whether pc is at the first or the last instructions of a function.
func (w *Walker) edge(pc uint64) (arch.Layout, bool) {
	if w.arch.Edge == nil {
		return arch.Layout{}, false
	}
	var before [16]byte
	var code [24]byte
	n := w.code.Text(pc, code[:])
	b := before[:]
	for len(b) > 0 && w.code.Text(pc-uint64(len(b)), b) != len(b) {
		b = b[4:]
	}
	return w.arch.Edge(b, code[:n])
}

// startsThread reports whether a thread begins in the code that pc returns to.
func (w *Walker) startsThread(pc uint64) bool {
	if w.arch.StartsThread == nil {
		return false
	}
	var b [16]byte
	before, code := b[:8], b[8:]
	return w.code.Text(pc-8, before) == 8 && w.code.Text(pc, code) == 8 && w.arch.StartsThread(before, code)
}

// matchTrampoline makes p a signal plan when the code around pc is that of a
// signal trampoline.
func (w *Walker) matchTrampoline(p *plan, pc uint64) bool {
	var buf [32]byte
	for i := range w.arch.Trampolines {
		t := &w.arch.Trampolines[i]
		if len(t.Code) > len(buf) {
			continue
		}
		for _, at := range t.At {
			code := buf[:len(t.Code)]
			if n := w.code.Text(pc-uint64(at.Offset), code); n == len(code) && bytes.Equal(code, t.Code) {
				p.method, p.how, p.signal = byTrampoline, HowSignal, true
				p.tramp, p.point = t, at
				return true
			}
		}
	}
	return false
}

// afterCall reports whether a call instruction can end at the return address.
func (w *Walker) afterCall(ret uint64) bool {
	var buf [16]byte
	for n := min(w.arch.MaxCall, len(buf)); n > 1; n-- {
		code := buf[:n]
		if got := w.code.Text(ret-uint64(n), code); got == n {
			return w.arch.AfterCall(code)
		}
	}
	return false
}
