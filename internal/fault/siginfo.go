package fault

import (
	"encoding/binary"
	"strconv"
	"sync"
)

// Siginfo is what the kernel told with a signal: its siginfo_t.
type Siginfo struct {
	Signo int
	Code  int // si_code; Siginfo.Name names it

	// Addr is the address that the signal is about, valid with HasAddr:
	// of the access for SIGSEGV and SIGBUS, of the instruction for SIGILL,
	// SIGFPE and SIGTRAP.
	Addr    uint64
	HasAddr bool

	// Sender and UID are the process that sent the signal and its user,
	// valid with HasSender. Sender is 0 for one of another PID namespace.
	Sender, UID int
	HasSender   bool

	// Syscall is the number of the system call that a SIGSYS is about, valid
	// with HasSyscall.
	Syscall    int
	HasSyscall bool
}

// The numbers of the signals that are looked at, as on all CPUs but MIPS,
// SPARC, Alpha and PA-RISC.
const (
	sigILL  = 4
	sigTRAP = 5
	sigABRT = 6
	sigBUS  = 7
	sigFPE  = 8
	sigSEGV = 11
	sigSYS  = 31
)

// Values of si_code that have a meaning here (include/uapi/asm-generic/siginfo.h).
const (
	siUser   = 0
	siQueue  = -1
	siTkill  = -6
	siKernel = 0x80

	segvACCERR  = 2
	segvMTEAERR = 8
	segvMTESERR = 9
	busADRALN   = 1
	busADRERR   = 2
)

// ParseSiginfo reads a siginfo_t as ptrace and core files hold it, of a process
// with addresses of ptrSize bytes: three ints and, aligned to an address, a
// union. (To a 64-bit tracer ptrace gives the 64-bit form of any process.) It
// reports false when b is too short for the ints. On MIPS the second and the
// third int have changed places: swap them before.
func ParseSiginfo(b []byte, order binary.ByteOrder, ptrSize int) (Siginfo, bool) {
	if len(b) < 12 {
		return Siginfo{}, false
	}
	s := Siginfo{Signo: int(int32(order.Uint32(b))), Code: int(int32(order.Uint32(b[8:])))}
	at := 12
	if ptrSize == 8 {
		at = 16
	}
	if len(b) < at+ptrSize+8 {
		return s, true
	}
	u := b[at:]
	addr := func() uint64 {
		if ptrSize == 8 {
			return order.Uint64(u)
		}
		return uint64(order.Uint32(u))
	}
	switch {
	case s.Code == siUser || s.Code == siQueue || s.Code == siTkill:
		s.Sender, s.UID, s.HasSender = int(int32(order.Uint32(u))), int(order.Uint32(u[4:])), true
	case s.Code <= 0 || s.Code >= siKernel:
		// Timers and the like; or the kernel for no reason that has a code.
	case s.Signo == sigILL || s.Signo == sigFPE || s.Signo == sigSEGV || s.Signo == sigBUS || s.Signo == sigTRAP:
		s.Addr, s.HasAddr = addr(), true
	case s.Signo == sigSYS:
		s.Addr, s.HasAddr = addr(), true
		s.Syscall, s.HasSyscall = int(int32(order.Uint32(u[ptrSize:]))), true
	}
	return s, true
}

// Name returns the name of the si_code: "SEGV_MAPERR"; of one that is not
// known the number: "si_code 77".
func (s *Siginfo) Name() string {
	if name, ok := generalCodes()[s.Code]; ok {
		return name
	}
	if names := signalCodes(s.Signo); s.Code > 0 && s.Code < len(names) && names[s.Code] != "" {
		return names[s.Code]
	}
	return "si_code " + strconv.Itoa(s.Code)
}

// synchronous reports whether the thread's own instruction caused the signal.
func (s *Siginfo) synchronous() bool {
	switch s.Signo {
	case sigILL, sigTRAP, sigBUS, sigFPE, sigSEGV, sigSYS:
		return s.Code > 0
	}
	return false
}

// generalCodes are the si_codes of all signals: include/uapi/asm-generic/siginfo.h.
var generalCodes = sync.OnceValue(func() map[int]string {
	return map[int]string{
		siUser:   "SI_USER",
		siKernel: "SI_KERNEL",
		siQueue:  "SI_QUEUE",
		-2:       "SI_TIMER",
		-3:       "SI_MESGQ",
		-4:       "SI_ASYNCIO",
		-5:       "SI_SIGIO",
		siTkill:  "SI_TKILL",
		-7:       "SI_DETHREAD",
		-60:      "SI_ASYNCNL",
	}
})

// signalCodes are the names of a signal's own si_codes, by number.
func signalCodes(signo int) []string {
	if signo < 0 || signo >= len(codes) {
		return nil
	}
	return codes[signo]
}

var codes = [...][]string{
	sigILL: {1: "ILL_ILLOPC", 2: "ILL_ILLOPN", 3: "ILL_ILLADR", 4: "ILL_ILLTRP", 5: "ILL_PRVOPC",
		6: "ILL_PRVREG", 7: "ILL_COPROC", 8: "ILL_BADSTK", 9: "ILL_BADIADDR"},
	sigTRAP: {1: "TRAP_BRKPT", 2: "TRAP_TRACE", 3: "TRAP_BRANCH", 4: "TRAP_HWBKPT", 5: "TRAP_UNK", 6: "TRAP_PERF"},
	sigBUS:  {1: "BUS_ADRALN", 2: "BUS_ADRERR", 3: "BUS_OBJERR", 4: "BUS_MCEERR_AR", 5: "BUS_MCEERR_AO"},
	sigFPE: {1: "FPE_INTDIV", 2: "FPE_INTOVF", 3: "FPE_FLTDIV", 4: "FPE_FLTOVF", 5: "FPE_FLTUND",
		6: "FPE_FLTRES", 7: "FPE_FLTINV", 8: "FPE_FLTSUB", 14: "FPE_FLTUNK", 15: "FPE_CONDTRAP"},
	sigSEGV: {1: "SEGV_MAPERR", 2: "SEGV_ACCERR", 3: "SEGV_BNDERR", 4: "SEGV_PKUERR", 5: "SEGV_ACCADI",
		6: "SEGV_ADIDERR", 7: "SEGV_ADIPERR", 8: "SEGV_MTEAERR", 9: "SEGV_MTESERR", 10: "SEGV_CPERR"},
	sigSYS: {1: "SYS_SECCOMP", 2: "SYS_USER_DISPATCH"},
}
