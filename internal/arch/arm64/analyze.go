package arm64

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// shadowBase is the base of the shadow call stack, whose pointer x18 is where there
// is one (-fsanitize=shadow-call-stack).
const (
	shadowBase = 255
	shadow     = 18
)

// machine are the registers for the analysis of code: AAPCS64, section 6.1.1. The
// DWARF numbers are the machine's.
var machine = newRegisters()

// bases are the registers that may lead to the CFA. gcc's and LLVM's stack probes
// use x9, x12, x16 and their like.
var bases = []uint8{regSP, regFP, 9, 10, 11, 12, 13, 14, 15, 16, 17, 0, 1, 2, 3, 4, 5, 6, 7, 8,
	19, 20, 21, 22, 23, 24, 25, 26, 27, 28}

func newRegisters() *follow.Registers {
	r := &follow.Registers{SP: regSP, FP: regFP, CalleeSaved: 0x7ff << 19}
	for i := range r.DWARF {
		r.DWARF[i] = arch.Reg(i)
	}
	return r
}

// Analyze implements arch.Arch.Analyze.
func analyze(code []byte, start, pc uint64) (arch.Layout, bool) {
	if len(code) > follow.MaxCode {
		code = code[:follow.MaxCode]
	}
	if pc < start || pc-start >= uint64(len(code)) {
		return arch.Layout{}, false
	}
	if pc == start {
		return entry, true
	}
	a := newAnalysis(code)
	st := a.find(int(pc - start))
	if st == nil {
		return arch.Layout{}, false
	}
	return layout(st)
}

// analysis is the work on one function; it does for follow.Analysis what depends
// on the CPU.
type analysis struct {
	*follow.Analysis[inst]
}

type node = follow.Node[inst]

func newAnalysis(code []byte) *analysis {
	a := new(analysis)
	a.Analysis = follow.New(a, machine, code)
	return a
}

// find returns the state at offset pc, or nil.
func (a *analysis) find(pc int) *follow.State {
	nd := a.Reach(pc &^ 3)
	if nd == nil {
		return nil
	}
	st := a.Find(nd)
	if st == nil || a.Bad > 0 && a.Good == 0 {
		return nil
	}
	if nd.Off < pc && nd.Flow == follow.Call {
		machine.Clobber(st) // by the callee, whose frame has been unwound
	}
	return st
}

// Decode implements follow.CPU.
func (a *analysis) Decode(code []byte, nd *node) bool {
	if !decode(code[nd.Off:], &nd.In) {
		return false
	}
	nd.Size, nd.Flow, nd.Compare = 4, nd.In.flow, nd.In.compare
	nd.Target = nd.Off + int(nd.In.displacement)
	nd.Padding = nd.In.isPadding(code[nd.Off:])
	return true
}

// Enter implements follow.CPU.
func (a *analysis) Enter(st *follow.State) {
	st.Regs[regLR] = follow.Value{Kind: follow.Back}
	st.Regs[shadow] = follow.Value{Kind: follow.Address, N: shadowBase}
}

// Balanced implements follow.CPU.
func (a *analysis) Balanced(st *follow.State) bool {
	return st.Regs[regSP] == follow.CFA(0) && st.Regs[regLR].Kind == follow.Back
}

// layout tells how to unwind from st.
func layout(st *follow.State) (arch.Layout, bool) {
	l, ok := machine.Layout(st, bases)
	back := follow.Value{Kind: follow.Back}
	off, saved := st.Saved(back)
	switch {
	case !ok:
		return arch.Layout{}, false
	case st.Regs[regLR] == back:
		l.Return = arch.Return{InReg: true, Reg: LR}
	case saved:
		l.Return = arch.Return{Offset: off}
		l.Saved = append(l.Saved, arch.SavedReg{Reg: LR, Offset: arch.NoOffset})
	default:
		for r, v := range st.Regs {
			if v == back { // as vfork's and the linker's own code keep it
				l.Return = arch.Return{InReg: true, Reg: arch.Reg(r)}
				return l, true
			}
		}
		return arch.Layout{}, false
	}
	return l, true
}
