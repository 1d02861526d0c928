package unwind

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// What is here is for CPUs whose calls leave the return address in a register, the
// link register. A function that calls others saves it, with the frame pointer, in a
// frame record, to which the frame pointer then points.

// byChain is the plan for a frame whose row needs a stack pointer that is not known.
var byChain = plan{method: byNothing, how: HowFramePointer}

// lostSP reports whether the row of p needs the stack pointer, which is not known
// since a frame was found by a frame pointer (see arch.Layout.Least). Where the row
// says that the frame has saved the frame pointer and the return address side by
// side, the chain of frame pointers leads on. Any other frame is no part of it.
func (s *state) lostSP(p *plan) bool {
	if !s.arch.Chain.Least || p.method != byRow || p.signal {
		return false
	}
	_, known := s.regs.Get(s.arch.SP)
	cfa, fp, ra := p.row.CFA, p.row.Regs[s.arch.FP], p.row.Regs[p.row.RA]
	return !known && cfa.Kind == cfi.Register && arch.Reg(cfa.Reg) == s.arch.SP &&
		fp.Kind == cfi.Offset && ra.Kind == cfi.Offset && ra.N == fp.N+int64(s.arch.PtrSize)
}

// recordless is what is known of the frame record of code that nothing describes.
type recordless uint8

const (
	hasRecord recordless = iota // the frame pointer points to its own
	noRecord                    // to its caller's, and the link register to its caller
	mayRecord                   // either
)

// record tells which it is for f. At a return address there is one: who calls has
// saved the link register. Elsewhere there may be none yet, or none any more, or the
// function may be a leaf: then the chain would pass over its caller. The record is
// the function's own if it holds the return address that is still in the link
// register; and where that has been overwritten by a call from the same function.
func (s *state) record(f Frame) recordless {
	ret := s.arch.Entry.Return
	if !ret.InReg || !f.Exact {
		return hasRecord
	}
	lr, _, _ := s.returnAddress(ret, 0)
	fp, ok := s.regs.Get(s.arch.FP)
	if saved, end, _ := s.returnAddress(s.arch.Chain.Return, fp+uint64(s.arch.Chain.Offset)); ok && end == stepOn && saved == lr {
		return hasRecord
	}
	own, ok := s.code.FuncStart(f.PC)
	from, ok2 := s.code.FuncStart(lr - 1)
	switch {
	case !ok || !ok2:
		return mayRecord
	case own == from:
		return hasRecord
	}
	return noRecord
}
