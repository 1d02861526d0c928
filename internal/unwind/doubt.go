package unwind

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Call frame information that people write by hand is wrong in places: in
// glibc's 32-bit string functions it misses pushes. Such a row takes some other
// word for the return address: what no call precedes is doubted, and the code
// asked instead.

// plausible reports whether the caller in regs is at code that a call precedes.
func (s *state) plausible(regs *arch.Regs) bool {
	pc, _ := regs.Get(s.arch.PC)
	if pc == 0 {
		return false
	}
	q := s.plan(pc, false)
	return q.signal || q.afterCall && s.code.Executable((pc-1)&s.mask)
}

// popped reports whether the row takes a return address that is off the stack
// already, and that anything may have overwritten.
func (p *plan) popped(f Frame, caller *arch.Regs, a *arch.Arch) bool {
	sp, _ := caller.Get(a.SP)
	return p.row.Regs[p.row.RA].Kind == cfi.Offset && !p.signal && sp < f.SP+uint64(a.PtrSize)
}

// byCode finds the caller of f, for which a row made the plan p, by the
// function's instructions. It reports false unless that is plausible.
func (s *state) byCode(f Frame, p *plan) (arch.Regs, bool) {
	if !p.analyzed {
		p.analyzed = true
		p.layout, p.hasLayout = s.analyze(f.PC, f.Lookup()&s.mask)
	}
	if !p.hasLayout {
		return arch.Regs{}, false
	}
	regs, end, _ := s.byLayout(f, &p.layout)
	return regs, end == stepOn && s.plausible(&regs)
}
