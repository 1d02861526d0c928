package core

import (
	"bytes"
	"debug/elf"
)

// Siginfo is what a signal brought with it: the kernel's siginfo_t.
type Siginfo struct {
	Signo, Code, Errno int

	// Addr is the faulting address of a signal that the CPU or memory
	// caused, valid with HasAddr.
	Addr    uint64
	HasAddr bool
	// Sender and UID are the process that sent the signal and its user,
	// valid with HasSender. Sender is 0 for one in another PID namespace.
	Sender, UID int
	HasSender   bool

	Raw []byte // the siginfo_t itself
}

// Signals whose siginfo_t holds an address, by number: the same on all machines
// but MIPS, SPARC and Alpha for SIGBUS and SIGSYS.
const (
	sigILL  = 4
	sigTRAP = 5
	sigBUS  = 7
	sigFPE  = 8
	sigSEGV = 11
)

// Values of si_code (include/uapi/asm-generic/siginfo.h).
const (
	siUser  = 0
	siQueue = -1
	siTkill = -6
)

// parseSiginfo reads a siginfo_t (include/uapi/asm-generic/siginfo.h): three
// ints, and, aligned to a word, a union.
func parseSiginfo(h *header, b []byte) *Siginfo {
	if len(b) < 12 {
		return nil
	}
	word := func(i int) int { return int(int32(h.order.Uint32(b[4*i:]))) }
	s := &Siginfo{Signo: word(0), Errno: word(1), Code: word(2), Raw: bytes.Clone(b)}
	if h.machine == elf.EM_MIPS { // arch/mips/include/uapi/asm/siginfo.h
		s.Errno, s.Code = s.Code, s.Errno
	}
	at := 12
	if h.word() == 8 {
		at = 16
	}
	if len(b) < at+8 {
		return s
	}
	bus := sigBUS
	switch h.machine {
	case elf.EM_MIPS, elf.EM_SPARC, elf.EM_SPARCV9, elf.EM_ALPHA:
		bus = 10
	}
	switch s.Code {
	case siUser, siQueue, siTkill:
		s.Sender, s.UID, s.HasSender = word(at/4), int(h.order.Uint32(b[at+4:])), true
		return s
	}
	switch s.Signo {
	case sigILL, sigFPE, sigSEGV, sigTRAP, bus:
		// A code above the kernel's own ones says nothing about the rest.
		if s.Code > 0 && s.Code != siKernel {
			s.Addr, s.HasAddr = h.addr(b[at:]), true
		}
	}
	return s
}

// siKernel is the si_code of a signal that the kernel sent for no reason that
// has a code of its own, such as an access to a non-canonical address on x86.
const siKernel = 0x80
