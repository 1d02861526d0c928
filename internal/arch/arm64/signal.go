package arm64

import "github.com/gatedso/bt/internal/arch"

// The kernel's signal frame, struct rt_sigframe of arch/arm64/kernel/signal.c, is a
// struct siginfo of 128 bytes and a struct ucontext (arch/arm64/include/uapi/asm/
// ucontext.h): flags, link and an altstack in 40 bytes, the signal mask with room
// for 1024 signals in 128, and, at a multiple of 16, struct sigcontext: the fault's
// address, x0 to x30, sp, pc. A call in the handler has nothing on the stack, so the
// stack pointer is at the siginfo.
const (
	siginfo    = 0
	ucontext   = siginfo + 128
	sigmask    = ucontext + 40
	sigcontext = (sigmask + 128 + 15) &^ 15
	sigRegs    = sigcontext + 8
)

// trampolines is the code of the vDSO, which no libc replaces: mov x8,
// #__NR_rt_sigreturn; svc #0. (qemu's user mode has the same.)
var trampolines = []arch.Trampoline{{
	Name:   "rt_sigreturn",
	Code:   []byte{0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4},
	At:     []arch.TrampolinePoint{{Offset: 0}, {Offset: 4}},
	Regs:   savedRegs(),
	Signal: arch.SignalFrame{Signo: arch.NoOffset, Siginfo: siginfo, Mask: sigmask},
}}

func savedRegs() []arch.SavedReg {
	list := make([]arch.SavedReg, numRegs)
	for r := range list {
		list[r] = arch.SavedReg{Reg: arch.Reg(r), Offset: sigRegs + 8*int64(r)}
	}
	return list
}
