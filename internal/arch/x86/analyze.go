package x86

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// Analyze finds the frame at pc; see arch.Arch.Analyze.
func (m *Mode) Analyze(code []byte, start, pc uint64) (arch.Layout, bool) {
	if len(code) > follow.MaxCode {
		code = code[:follow.MaxCode]
	}
	if pc < start || pc-start >= uint64(len(code)) {
		return arch.Layout{}, false
	}
	if pc == start {
		return m.Entry(), true
	}
	a := newAnalysis(m, code)
	st := a.find(int(pc - start))
	if st == nil {
		return arch.Layout{}, false
	}
	return m.layout(st)
}

// analysis is the work on one function; it does for follow.Analysis what depends
// on the CPU.
type analysis struct {
	*follow.Analysis[inst]
	m *Mode

	calleePops bool // see pops
	shifted    bool // a call found the stack less aligned than one before it
}

type node = follow.Node[inst]

func newAnalysis(m *Mode, code []byte) *analysis {
	a := &analysis{m: m}
	a.Analysis = follow.New(a, m.registers, code)
	a.Pops = m.PtrSize == 4
	return a
}

// find returns the state at offset pc, or nil.
func (a *analysis) find(pc int) *follow.State {
	nd := a.Reach(pc)
	if nd == nil {
		return nil
	}
	st := a.settle(nd)
	if st != nil && nd.Off < pc && nd.Flow == follow.Call {
		// The callee's frame has been unwound: the stack pointer is
		// where it was before the call, the callee may have changed
		// other registers, unless it is a PC thunk.
		if r, ok := a.thunk(nd); ok {
			st.Regs[r] = follow.Value{}
		} else {
			a.m.registers.Clobber(st)
		}
	}
	return st
}

// settle returns the state at nd, or nil.
func (a *analysis) settle(nd *node) *follow.State {
	st := a.Find(nd)
	if st != nil && (a.m.PtrSize == 8 || !st.Called || a.m.registers.Framed(st)) {
		// Calls that take arguments off the stack are not in the way.
		if a.m.PtrSize == 8 && a.Bad > 0 && a.Good == 0 {
			return nil
		}
		return st
	}
	if a.m.PtrSize == 8 {
		return nil
	}
	shifted := a.shifted
	if !a.agrees(nd, st) {
		st = nil
	}
	if st != nil && !shifted {
		return st
	}
	a.Again()
	a.calleePops, a.shifted = true, false
	other := a.Find(nd)
	shifted = a.shifted
	if a.agrees(nd, other) && (st == nil || !shifted) {
		return other
	}
	return st
}

// agrees reports whether st, found at nd of 32-bit code, is right as far as
// the returns behind nd tell: they have the stack as it was at the function's
// entry. Some may not, where a call that does not return is followed by other
// code.
func (a *analysis) agrees(nd *node, st *follow.State) bool {
	if st == nil || a.Bad == 0 {
		return st != nil
	}
	sound := a.calleePops && a.Good > 0
	a.Onwards(nd, st)
	return a.Good > 0 || a.Bad == 0 && sound
}

// Decode implements follow.CPU.
func (a *analysis) Decode(code []byte, nd *node) bool {
	in := &nd.In
	if !a.m.decode(code[nd.Off:], in) {
		return false
	}
	nd.Size, nd.Flow, nd.Padding = in.size, in.flow(), in.isPadding()
	switch nd.Flow {
	case follow.Branch:
		switch in.op & 0xf {
		case 4: // je
			nd.Compare = follow.IfEqual
		case 5: // jne
			nd.Compare = follow.IfUnequal
		}
		nd.Target = nd.Off + in.size + int(in.imm)
	case follow.Jump:
		nd.Target = nd.Off + in.size + int(in.imm)
	}
	return true
}

// Enter implements follow.CPU.
func (a *analysis) Enter(st *follow.State) {
	st.Store(st.Regs[sp], follow.Value{Kind: follow.Back}, a.m.PtrSize)
}

// Balanced implements follow.CPU.
func (a *analysis) Balanced(st *follow.State) bool {
	return st.Regs[sp] == follow.CFA(int32(-a.m.PtrSize)) && st.Load(st.Regs[sp]).Kind == follow.Back
}

// layout tells how to unwind from st.
func (m *Mode) layout(st *follow.State) (arch.Layout, bool) {
	// A 32-bit callee may take its arguments off the stack, unseen, and a
	// frame pointer is right all the same. In 64-bit code none does.
	bases := basesBySP
	if m.PtrSize == 4 && m.registers.Framed(st) {
		bases = basesByBP
	}
	// The return address may have been popped or overwritten.
	if st.Load(follow.CFA(int32(-m.PtrSize))).Kind != follow.Back {
		return arch.Layout{}, false
	}
	l, ok := m.registers.Layout(st, bases)
	l.Return = m.onStack()
	return l, ok
}
