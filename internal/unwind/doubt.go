package unwind

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Call frame information that people write by hand is wrong in places: in
// glibc's 32-bit string functions it misses pushes, and LuaJIT's interpreter
// has one row for all of its code. Such a row takes some other word for the
// return address: what no call precedes is doubted, and the code asked instead.

// plausible reports whether the caller in regs is at code that a call precedes.
func (s *state) plausible(regs *arch.Regs) bool {
	pc, _ := regs.Get(s.arch.PC)
	if pc == 0 {
		return false
	}
	q := s.plan(pc, false)
	return q.signal || q.afterCall && s.code.Executable((pc-1)&s.mask)
}

// maxPopped is how far below the stack pointer a row that is wrong can look for
// the return address, in bytes. What lies deeper is another stack.
const maxPopped = 2048

// popped reports whether the row takes a return address that is off the stack
// already, and that anything may have overwritten.
func (p *plan) popped(f Frame, caller *arch.Regs, a *arch.Arch) bool {
	sp, _ := caller.Get(a.SP)
	return p.row.Regs[p.row.RA].Kind == cfi.Offset && !p.signal &&
		sp < f.SP+uint64(a.Entry.Offset) && sp+maxPopped > f.SP
}

// switched reports whether the frame f, which called a function on another
// stack (__morestack of gcc -fsplit-stack, psm::on_stack of Rust, a JIT
// compiler's or an interpreter's stubs), has its caller, next, on the stack
// that it left. Its row then finds the frame by a register that was saved
// before the switch, or in memory.
func (s *state) switched(f Frame, p *plan, next Frame) bool {
	if p.method != byRow || f.Exact || next.PC == 0 || f.SP-next.SP < maxPopped {
		return false
	}
	bySP := p.row.CFA.Kind == cfi.Register && arch.Reg(p.row.CFA.Reg) == s.arch.SP
	q := s.plan(next.PC, false)
	return !bySP && (q.afterCall || q.signal)
}

// follow returns what the instructions tell of the frame at f, for which a row
// made the plan p.
func (s *state) follow(f Frame, p *plan) []arch.Layout {
	if !p.analyzed {
		p.analyzed = true
		if l, ok := s.analyze(f.PC, f.Lookup()&s.mask); ok {
			p.layouts = append(p.layouts, l)
		}
		if l, ok := s.ahead(f.PC, f.Exact); ok {
			p.layouts = append(p.layouts, l)
		}
	}
	return p.layouts
}

// byCode finds the caller of f, for which a row made the plan p and found
// wrong, by the function's instructions. It reports false unless that is
// plausible.
func (s *state) byCode(f Frame, p *plan) (arch.Regs, bool) {
	layouts := s.follow(f, p)
	for i := range layouts {
		regs, end, _ := s.byLayout(f, &layouts[i])
		sp, _ := regs.Get(s.arch.SP)
		leaf := layouts[i].Return.InReg && f.Exact && sp == f.SP
		if end == stepOn && (sp > f.SP || leaf) && s.plausible(&regs) {
			return regs, true
		}
	}
	return arch.Regs{}, false
}

// agrees reports whether the instructions of f's function lead to the same
// place as its row, which is next.
func (s *state) agrees(f Frame, p *plan, next Frame) bool {
	layouts := s.follow(f, p)
	for i := range layouts {
		regs, end, _ := s.byLayout(f, &layouts[i])
		if sp, _ := regs.Get(s.arch.SP); end == stepOn && sp == next.SP {
			return true
		}
	}
	return false
}

// endless reports whether the code behind the return address ret never returns:
// that of a thread's start, which ends the thread.
func (w *Walker) endless(ret uint64) bool {
	var buf [256]byte
	return w.arch.NoReturn != nil && w.arch.NoReturn(buf[:w.code.Text(ret, buf[:])])
}
