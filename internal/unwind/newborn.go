package unwind

import "github.com/gatedso/bt/internal/unwind/cfi"

// newborn reports whether f, where a thread is, is where it came to life: behind
// the system call clone, whose result is zero there, on a stack that is empty.
// The code there is its parent's as well, which has been called and will return.
// Where zero leads tells the difference: to where a thread's stack begins.
func (s *state) newborn(f Frame) bool {
	const before, behind = 16, 64
	if r, ok := s.regs.Get(s.arch.Syscalls.Result); !ok || r != 0 || s.arch.Forked == nil {
		return false
	}
	var buf [before + behind]byte
	n := s.code.Text(f.PC-before, buf[:])
	if n <= before {
		return false
	}
	at, ok := s.arch.Forked(buf[:n], before)
	if !ok {
		return false
	}
	start := (f.PC - before + uint64(at)) & s.mask
	row, how := s.code.Row(start, true)
	if how == HowGo {
		row, _ = s.code.Row(start, false) // as what it calls would return to it
	}
	if row == nil {
		return s.endless(start)
	}
	return int(row.RA) < len(row.Regs) && row.Regs[row.RA].Kind == cfi.Undefined
}
