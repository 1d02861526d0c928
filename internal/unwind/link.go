package unwind

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// What is here is for CPUs whose calls leave the return address in a register, the
// link register. A function that calls others saves it, with the frame pointer, in a
// frame record, to which the frame pointer then points.

// recoverSP makes the stack pointer of f known again where the frame is described by
// it, but was found by a frame pointer, which does not tell it (see arch.Layout.Least).
// Where the frame has saved the frame pointer and the return address side by side,
// the frame pointer leads there, as f has made a call. It reports whether it did.
func (s *state) recoverSP(p *plan) bool {
	if _, known := s.regs.Get(s.arch.SP); known || !s.arch.Chain.Least || p.signal {
		return false
	}
	toCFA, record, ok := p.bySP(s.arch)
	fp, known := s.regs.Get(s.arch.FP)
	if !ok || !known {
		return false
	}
	s.regs.Set(s.arch.SP, (fp-uint64(record)-uint64(toCFA))&s.mask)
	return true
}

// bySP says how far the CFA of p's frame lies from the stack pointer, where it is
// found by that, and where relative to the CFA the frame record lies.
func (p *plan) bySP(a *arch.Arch) (toCFA, record int64, ok bool) {
	word := int64(a.PtrSize)
	switch p.method {
	case byRow:
		cfa, fp, ra := p.row.CFA, p.row.Regs[a.FP], p.row.Regs[p.row.RA]
		return cfa.N, fp.N, cfa.Kind == cfi.Register && arch.Reg(cfa.Reg) == a.SP &&
			fp.Kind == cfi.Offset && ra.Kind == cfi.Offset && ra.N == fp.N+word
	case byLayout:
		for _, saved := range p.layout.Saved {
			if saved.Reg == a.FP && saved.Offset != arch.NoOffset {
				ret := p.layout.Return
				return p.layout.Offset, saved.Offset, p.layout.Base == a.SP && !p.layout.Indirect && !ret.InReg && ret.Offset == saved.Offset+word
			}
		}
	}
	return 0, 0, false
}

// lastRecord reports whether the frame of p has a frame record, or was found by it, and
// that both of its words, which next has got from there, are zero: the chain ends there
// (AAPCS64, section 6.4.6), as musl's _start leaves them.
func (p *plan) lastRecord(next Frame, a *arch.Arch) bool {
	_, _, ok := p.bySP(a)
	ok = ok && p.method == byLayout || p.method == byNothing
	return a.Entry.Return.InReg && ok && next.PC == 0 && next.FP == 0
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
	ok = ok && s.arch.Chain.Base != arch.NoReg
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

// pushed is how many bytes a row forgets that lie on the stack below the caller's: a
// function that saves the return address above its own frame has been entered by code
// that has pushed it there. So has glibc's resolver of functions by the first PLT stub,
// which its rows take for part of the caller's frame (sysdeps/aarch64/dl-trampoline.S,
// _dl_runtime_resolve; the row of its first instruction has not even that). The stack
// pointer stays a multiple of 16.
func (s *state) pushed(f Frame, row *cfi.Row) uint64 {
	bySP := row.CFA.Kind == cfi.Register && arch.Reg(row.CFA.Reg) == s.arch.SP
	if !s.arch.Entry.Return.InReg || row.Signal || !bySP {
		return 0
	}
	ra := row.Regs[row.RA]
	if f.Exact && ra.Kind == cfi.Unspecified {
		if next, _ := s.code.Row(f.PC+uint64(s.arch.MaxCall), true); next != nil && next.Func == row.Func && next.CFA == row.CFA {
			ra = next.Regs[next.RA]
		}
	}
	if ra.Kind != cfi.Offset || ra.N < 0 || ra.N >= maxPopped {
		return 0
	}
	return (uint64(ra.N) + uint64(s.arch.PtrSize) + 15) &^ 15
}
