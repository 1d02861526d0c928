package i386

import "github.com/gatedso/bt/internal/arch"

// The kernel has two 32-bit signal frames, in arch/x86/include/asm/sigframe.h.
// Both begin with the return address and the signal's number; the handler's
// return has popped the address, so the stack pointer is at the number.
//
// struct sigframe_ia32, for a handler without SA_SIGINFO, has struct
// sigcontext_32 next. Its signal mask is in two places and so has no offset.
//
// struct rt_sigframe_ia32 has two pointers next, a struct siginfo of 128
// bytes, and a struct ucontext_ia32: 20 bytes, then struct sigcontext_32 of 88
// bytes, then the signal mask.
const (
	signo = 0

	sigcontext = 4

	rtSiginfo    = 12
	rtSigcontext = rtSiginfo + 128 + 20
	rtSigmask    = rtSigcontext + 88
)

// sigRegs lists where the registers lie with struct sigcontext_32 at base: four
// segment registers in 16 bytes, the registers in the order of pusha, the
// trap's number and error code, then eip.
func sigRegs(base int64) []arch.SavedReg {
	return []arch.SavedReg{
		{Reg: EDI, Offset: base + 16},
		{Reg: ESI, Offset: base + 20},
		{Reg: EBP, Offset: base + 24},
		{Reg: ESP, Offset: base + 28},
		{Reg: EBX, Offset: base + 32},
		{Reg: EDX, Offset: base + 36},
		{Reg: ECX, Offset: base + 40},
		{Reg: EAX, Offset: base + 44},
		{Reg: EIP, Offset: base + 56},
	}
}

// The vDSO, glibc, musl and Go have the same code.
var trampolines = []arch.Trampoline{
	{
		// pop %eax; mov $SYS_sigreturn, %eax; int $0x80. The pop takes
		// the signal's number.
		Name: "sigreturn",
		Code: []byte{0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80},
		At: []arch.TrampolinePoint{
			{Offset: 0},
			{Offset: 1, Popped: 4},
			{Offset: 6, Popped: 4},
		},
		Regs: sigRegs(sigcontext),
		Signal: arch.SignalFrame{
			Signo:   signo,
			Siginfo: arch.NoOffset,
			Mask:    arch.NoOffset,
		},
	},
	{
		// mov $SYS_rt_sigreturn, %eax; int $0x80.
		Name: "rt_sigreturn",
		Code: []byte{0xb8, 0xad, 0, 0, 0, 0xcd, 0x80},
		At:   []arch.TrampolinePoint{{Offset: 0}, {Offset: 5}},
		Regs: sigRegs(rtSigcontext),
		Signal: arch.SignalFrame{
			Signo:   signo,
			Siginfo: rtSiginfo,
			Mask:    rtSigmask,
		},
	},
}
