// Package arm describes the 32-bit ARM CPU (AArch32), whose programs 64-bit kernels
// run, too. Its compilers describe frames by tables of their own (.ARM.exidx), which
// bt does not read: a stack goes on from where there is .debug_frame, or a signal
// frame, and says so where it does not.
package arm

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gatedso/bt/internal/arch"
)

// DWARF register numbers: DWARF for the Arm Architecture (AADWARF32), section 4.1.
// R0 to R15 are 0 to 15.
const (
	FP  arch.Reg = 11
	SP  arch.Reg = 13
	LR  arch.Reg = 14 // the return-address column
	PC  arch.Reg = 15
	PSR arch.Reg = 16 // the processor state: no register of DWARF's

	numRegs = 17
)

// Arch is the 32-bit ARM CPU.
var Arch = &arch.Arch{
	Name:    "arm",
	Machine: elf.EM_ARM,
	Class:   elf.ELFCLASS32,
	Hosts:   []string{"arm64", "arm"},
	PtrSize: 4,

	NumRegs: numRegs,
	Names:   names,
	PC:      PC,
	SP:      SP,
	FP:      FP,

	Entry: arch.Layout{Base: SP, Return: arch.Return{InReg: true, Reg: LR}},
	// Neither the procedure call standard nor compilers agree on what a frame
	// pointer points at, nor on which register it is.
	Chain: arch.Layout{Base: arch.NoReg},
	// Set for Thumb.
	ReturnBits: 1,
	Go:         arch.GoFrames{G: arch.NoReg},

	RegsetSize:   regsetSize,
	DecodeRegset: decodeRegset,
	TLSRegset:    ntARMTLS,
	Syscalls: arch.Syscalls{
		Args:  []arch.Reg{0, 1, 2, 3, 4, 5},
		Vfork: []int{120, 190, 435}, // clone, vfork, clone3: arch/arm/tools/syscall.tbl
	},

	Trampolines: trampolines,

	AfterCall: afterCall,
	MaxCall:   4,
}

var names = []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc", "cpsr"}

// ntARMTLS is the type of a register set (include/uapi/linux/elf.h), which only
// 64-bit kernels have.
const ntARMTLS = 0x401

// The register set is struct pt_regs of the kernel's arch/arm/include/uapi/asm/
// ptrace.h, compat_elf_gregset_t of 64-bit kernels: r0 to r15, cpsr, and the r0 that a
// system call was made with.
const regsetSize = 18 * 4

func decodeRegset(b []byte) (regs arch.Regs, ok bool) {
	if len(b) != regsetSize {
		return regs, false
	}
	for r := range numRegs {
		regs.Set(arch.Reg(r), uint64(binary.LittleEndian.Uint32(b[4*r:])))
	}
	return regs, true
}

// afterCall reports whether code ends with a call in either instruction set: bl,
// blx (Arm Architecture Reference Manual for A-profile, chapters F3 and F4).
func afterCall(code []byte) bool {
	if len(code) >= 2 {
		if in := binary.LittleEndian.Uint16(code[len(code)-2:]); in&0xff87 == 0x4780 { // blx r
			return true
		}
	}
	if len(code) < 4 {
		return false
	}
	code = code[len(code)-4:]
	first, second := binary.LittleEndian.Uint16(code), binary.LittleEndian.Uint16(code[2:])
	if first&0xf800 == 0xf000 && second&0xc000 == 0xc000 { // bl, blx of Thumb
		return true
	}
	in := binary.LittleEndian.Uint32(code)
	switch {
	case in&0x0f000000 == 0x0b000000: // bl, and blx where the condition is 0b1111
		return true
	case in&0xfe000000 == 0xfa000000: // blx
		return true
	}
	return in&0x0ffffff0 == 0x012fff30 // blx r
}

// The frame of sigreturn is struct compat_sigframe of the kernel's
// arch/arm64/kernel/signal32.c, struct sigframe of arch/arm: a ucontext of flags,
// link and an altstack in 20 bytes; struct sigcontext, whose first three words come
// before r0 to r15 and cpsr, and the fault's address behind; the signal mask. That of
// rt_sigreturn has a siginfo of 128 bytes before.
const (
	siginfo = 128
	sigRegs = 20 + 12
	sigmask = 20 + 21*4
)

// trampolines are those of the kernel's [sigpage] or [vectors], whose svc has an
// operand of the old ABI, and those of C libraries, in both instruction sets:
// mov r7, #__NR_sigreturn (119) or #__NR_rt_sigreturn (173); svc.
var trampolines = []arch.Trampoline{
	{Name: "sigreturn", Code: []byte{0x77, 0x70, 0xa0, 0xe3, 0x77, 0x00, 0x90, 0xef}, At: svcAt4, Signal: sigframe, Regs: sigframeRegs},
	{Name: "sigreturn", Code: []byte{0x77, 0x70, 0xa0, 0xe3, 0x00, 0x00, 0x00, 0xef}, At: svcAt4, Signal: sigframe, Regs: sigframeRegs},
	{Name: "sigreturn", Code: []byte{0x77, 0x27, 0x00, 0xdf}, At: svcAt2, Signal: sigframe, Regs: sigframeRegs},
	{Name: "sigreturn", Code: []byte{0x4f, 0xf0, 0x77, 0x07, 0x00, 0xdf}, At: svcAt4, Signal: sigframe, Regs: sigframeRegs}, // mov.w
	{Name: "rt_sigreturn", Code: []byte{0xad, 0x70, 0xa0, 0xe3, 0xad, 0x00, 0x90, 0xef}, At: svcAt4, Signal: rtSigframe, Regs: rtSigframeRegs},
	{Name: "rt_sigreturn", Code: []byte{0xad, 0x70, 0xa0, 0xe3, 0x00, 0x00, 0x00, 0xef}, At: svcAt4, Signal: rtSigframe, Regs: rtSigframeRegs},
	{Name: "rt_sigreturn", Code: []byte{0xad, 0x27, 0x00, 0xdf}, At: svcAt2, Signal: rtSigframe, Regs: rtSigframeRegs},
	{Name: "rt_sigreturn", Code: []byte{0x4f, 0xf0, 0xad, 0x07, 0x00, 0xdf}, At: svcAt4, Signal: rtSigframe, Regs: rtSigframeRegs}, // mov.w
}

// Where the two instructions of a trampoline begin.
var (
	svcAt2 = []arch.TrampolinePoint{{Offset: 0}, {Offset: 2}}
	svcAt4 = []arch.TrampolinePoint{{Offset: 0}, {Offset: 4}}
)

var (
	sigframe   = arch.SignalFrame{Signo: arch.NoOffset, Siginfo: arch.NoOffset, Mask: sigmask}
	rtSigframe = arch.SignalFrame{Signo: arch.NoOffset, Siginfo: 0, Mask: siginfo + sigmask}

	sigframeRegs = []arch.SavedReg{
		{Reg: 0, Offset: sigRegs + 0},
		{Reg: 1, Offset: sigRegs + 4},
		{Reg: 2, Offset: sigRegs + 8},
		{Reg: 3, Offset: sigRegs + 12},
		{Reg: 4, Offset: sigRegs + 16},
		{Reg: 5, Offset: sigRegs + 20},
		{Reg: 6, Offset: sigRegs + 24},
		{Reg: 7, Offset: sigRegs + 28},
		{Reg: 8, Offset: sigRegs + 32},
		{Reg: 9, Offset: sigRegs + 36},
		{Reg: 10, Offset: sigRegs + 40},
		{Reg: 11, Offset: sigRegs + 44},
		{Reg: 12, Offset: sigRegs + 48},
		{Reg: 13, Offset: sigRegs + 52},
		{Reg: 14, Offset: sigRegs + 56},
		{Reg: 15, Offset: sigRegs + 60},
		{Reg: 16, Offset: sigRegs + 64},
	}
	rtSigframeRegs = []arch.SavedReg{
		{Reg: 0, Offset: siginfo + sigRegs + 0},
		{Reg: 1, Offset: siginfo + sigRegs + 4},
		{Reg: 2, Offset: siginfo + sigRegs + 8},
		{Reg: 3, Offset: siginfo + sigRegs + 12},
		{Reg: 4, Offset: siginfo + sigRegs + 16},
		{Reg: 5, Offset: siginfo + sigRegs + 20},
		{Reg: 6, Offset: siginfo + sigRegs + 24},
		{Reg: 7, Offset: siginfo + sigRegs + 28},
		{Reg: 8, Offset: siginfo + sigRegs + 32},
		{Reg: 9, Offset: siginfo + sigRegs + 36},
		{Reg: 10, Offset: siginfo + sigRegs + 40},
		{Reg: 11, Offset: siginfo + sigRegs + 44},
		{Reg: 12, Offset: siginfo + sigRegs + 48},
		{Reg: 13, Offset: siginfo + sigRegs + 52},
		{Reg: 14, Offset: siginfo + sigRegs + 56},
		{Reg: 15, Offset: siginfo + sigRegs + 60},
		{Reg: 16, Offset: siginfo + sigRegs + 64},
	}
)
