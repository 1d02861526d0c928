package amd64

import "github.com/gatedso/bt/internal/arch"

// The kernel's 64-bit signal frame, struct rt_sigframe of
// arch/x86/include/asm/sigframe.h, is the return address, a struct ucontext
// and a struct siginfo. The handler's return has popped the address, so the
// stack pointer is at the ucontext: flags, link and an altstack in 40 bytes,
// then struct sigcontext of 256 bytes, then the signal mask of 8.
const (
	sigcontext = 40
	sigmask    = sigcontext + 256
	siginfo    = sigmask + 8
)

var sigRegs = []arch.SavedReg{
	{Reg: R8, Offset: sigcontext},
	{Reg: R9, Offset: sigcontext + 8},
	{Reg: R10, Offset: sigcontext + 16},
	{Reg: R11, Offset: sigcontext + 24},
	{Reg: R12, Offset: sigcontext + 32},
	{Reg: R13, Offset: sigcontext + 40},
	{Reg: R14, Offset: sigcontext + 48},
	{Reg: R15, Offset: sigcontext + 56},
	{Reg: RDI, Offset: sigcontext + 64},
	{Reg: RSI, Offset: sigcontext + 72},
	{Reg: RBP, Offset: sigcontext + 80},
	{Reg: RBX, Offset: sigcontext + 88},
	{Reg: RDX, Offset: sigcontext + 96},
	{Reg: RAX, Offset: sigcontext + 104},
	{Reg: RCX, Offset: sigcontext + 112},
	{Reg: RSP, Offset: sigcontext + 120},
	{Reg: RIP, Offset: sigcontext + 128},
}

var sigFrame = arch.SignalFrame{
	Signo:   arch.NoOffset,
	Siginfo: siginfo,
	Mask:    sigmask,
}

var trampolines = []arch.Trampoline{
	{
		// glibc, musl and Go: mov $SYS_rt_sigreturn, %rax; syscall.
		Name:   "rt_sigreturn",
		Code:   []byte{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05},
		At:     []arch.TrampolinePoint{{Offset: 0}, {Offset: 7}},
		Regs:   sigRegs,
		Signal: sigFrame,
	},
	{
		// The shorter encoding: mov $SYS_rt_sigreturn, %eax; syscall.
		Name:   "rt_sigreturn",
		Code:   []byte{0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05},
		At:     []arch.TrampolinePoint{{Offset: 0}, {Offset: 5}},
		Regs:   sigRegs,
		Signal: sigFrame,
	},
}
