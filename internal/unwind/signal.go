package unwind

import (
	"github.com/gatedso/bt/internal/arch"
)

// base is the stack pointer at a trampoline's first instruction.
func (s *state) base(p *plan) (uint64, bool) {
	sp, ok := s.regs.Get(s.arch.SP)
	return sp - uint64(p.point.Popped), ok
}

// byTrampoline restores the registers that the kernel saved on the stack.
func (s *state) byTrampoline(_ Frame, p *plan) (regs arch.Regs, end End, at uint64) {
	base, ok := s.base(p)
	if !ok {
		return regs, EndNoRegister, uint64(s.arch.SP)
	}
	for _, saved := range p.tramp.Regs {
		end, at := s.load(&regs, saved.Reg, base+uint64(saved.Offset))
		if end != stepOn && (saved.Reg == s.arch.PC || saved.Reg == s.arch.SP) {
			return regs, end, at
		}
	}
	return regs, stepOn, 0
}

// signo reads the signal's number from a signal frame, 0 when it is not known
// for certain.
func (s *state) signo(p *plan) uint8 {
	if p.tramp == nil {
		return 0
	}
	base, ok := s.base(p)
	if !ok {
		return 0
	}
	sig := p.tramp.Signal
	if sig.Signo != arch.NoOffset {
		n, ok := s.mem.Word((base+uint64(sig.Signo))&s.mask, 4)
		if ok && n >= 1 && n <= 64 {
			return uint8(n)
		}
		return 0
	}
	if sig.Siginfo == arch.NoOffset {
		return 0
	}
	info := base + uint64(sig.Siginfo)
	n, ok := s.mem.Word(info&s.mask, 4)
	if !ok || n < 1 || n > 64 {
		return 0
	}
	// The kernel fills in the siginfo only for a handler installed with
	// SA_SIGINFO (arch/x86/kernel/signal_64.c, x64_setup_rt_frame); else this
	// is what an earlier frame left. A handler runs with its own signal
	// blocked, unless SA_NODEFER leaves the mask as it was.
	if errno, ok := s.mem.Word((info+4)&s.mask, 4); !ok || errno != 0 {
		return 0
	}
	if code, ok := s.mem.Word((info+8)&s.mask, 4); !ok || !plausibleCode(int32(uint32(code))) {
		return 0
	}
	if s.hasBlocked {
		saved, ok := s.savedMask(p, base)
		if s.blocked>>(n-1)&1 == 0 && !(ok && saved == s.blocked) {
			return 0
		}
	}
	return uint8(n)
}

// plausibleCode reports whether c can be an si_code
// (include/uapi/asm-generic/siginfo.h).
func plausibleCode(c int32) bool {
	return c >= -7 && c <= 15 || c == 0x80 || c == -60
}

func (s *state) savedMask(p *plan, base uint64) (uint64, bool) {
	if p.tramp.Signal.Mask == arch.NoOffset {
		return 0, false
	}
	return s.mem.Word((base+uint64(p.tramp.Signal.Mask))&s.mask, 8)
}

// leaveSignal makes the interrupted code's signal mask the current one.
func (s *state) leaveSignal(p *plan) {
	s.hasBlocked = false
	if p.tramp == nil {
		return
	}
	if base, ok := s.base(p); ok {
		s.blocked, s.hasBlocked = s.savedMask(p, base)
	}
}
