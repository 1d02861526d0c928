// Package amd64 describes the 64-bit x86 CPU.
package amd64

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/x86"
)

// DWARF register numbers: System V ABI, AMD64 supplement, figure 3.36.
const (
	RAX arch.Reg = iota
	RDX
	RCX
	RBX
	RSI
	RDI
	RBP
	RSP
	R8
	R9
	R10
	R11
	R12
	R13
	R14
	R15
	RIP // the return-address column
	numRegs
)

// Arch is the 64-bit x86 CPU.
var Arch = &arch.Arch{
	Name:    "x86_64",
	Machine: elf.EM_X86_64,
	Class:   elf.ELFCLASS64,
	Hosts:   []string{"amd64", "386"},
	PtrSize: 8,

	NumRegs: int(numRegs),
	Names: []string{
		"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
	},
	PC: RIP,
	SP: RSP,
	FP: RBP,

	Entry:   x86.AMD64.Entry(),
	Chain:   x86.AMD64.Chain(),
	RedZone: 128, // System V ABI, AMD64 supplement, section 3.2.2
	Go:      arch.GoFrames{MCallArg: true, DepthFirst: true, Exit: x86.GoExit, FramePointer: true, References: x86.AMD64.References, G: R14},
	HotSpot: &arch.HotSpot{BCP: R13},
	V8:      &arch.V8{Enters: x86.EntersV8, Leaves: x86.LeavesV8},

	RegsetSize:   regsetSize,
	DecodeRegset: decodeRegset,
	TLSBase:      tlsBase,
	Syscalls: arch.Syscalls{
		Result: RAX,
		Args:   syscallArgs[:],
		Vfork:  []int{58, 56, 435}, // vfork, clone, clone3: arch/x86/entry/syscalls/syscall_64.tbl

		Asleep:       asleep,
		Instructions: x86.SyscallInstructions,
		Number:       x86.SyscallNumber,
		Names:        syscallNames[:],
	},

	Traps: arch.Traps{Breakpoint: 1, Canonical: canonical, Silent: true, Aligned: 16},

	Trampolines: trampolines,

	AfterCall:  x86.AMD64.AfterCall,
	MaxCall:    x86.MaxCall,
	CallTarget: x86.AMD64.CallTarget,
	Analyze:    x86.AMD64.Analyze,
	Edge:       x86.AMD64.Edge,
	Ahead:      x86.AMD64.Ahead,
	Forked:     x86.AMD64.Forked,
	NoReturn:   x86.AMD64.NoReturn,
	Extent:     x86.AMD64.Extent,

	Disassemble: x86.AMD64.Disassemble,
}

// The register set is struct user_regs_struct of the kernel's
// arch/x86/include/asm/user_64.h: 27 words.
const (
	regsetSize  = 27 * 8
	origRAXWord = 15
	fsBaseWord  = 21
)

// regsetWords says in which word of the register set each register lies.
var regsetWords = [numRegs]int{
	R15: 0, R14: 1, R13: 2, R12: 3, RBP: 4, RBX: 5, R11: 6, R10: 7,
	R9: 8, R8: 9, RAX: 10, RCX: 11, RDX: 12, RSI: 13, RDI: 14,
	RIP: 16, RSP: 19,
}

func decodeRegset(b []byte) (regs arch.Regs, ok bool) {
	if len(b) != regsetSize {
		return regs, false
	}
	for r, w := range regsetWords {
		regs.Set(arch.Reg(r), binary.LittleEndian.Uint64(b[8*w:]))
	}
	return regs, true
}

// syscallArgs hold the arguments of a system call.
var syscallArgs = [6]arch.Reg{RDI, RSI, RDX, R10, R8, R9}

// asleep implements arch.Syscalls.Asleep: orig_rax is the number, or negative where
// something else than a system call has entered the kernel. A program with the bit of
// the x32 ABI set has other calls.
func asleep(b []byte) (c arch.Call, ok bool) {
	regs, ok := decodeRegset(b)
	if !ok {
		return c, false
	}
	nr := int64(binary.LittleEndian.Uint64(b[8*origRAXWord:]))
	result, _ := regs.Get(RAX)
	if nr < 0 || nr >= int64(len(syscallNames)) {
		return c, false
	}
	c.Nr, c.Ended = int(nr), !arch.Interrupted(int64(result))
	for i, r := range syscallArgs {
		c.Args[i], _ = regs.Get(r)
	}
	return c, true
}

func tlsBase(b []byte) (uint64, bool) {
	if len(b) != regsetSize {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[8*fsBaseWord:]), true
}

// canonical reports whether the upper bits of addr agree, with pages of four
// levels: a CPU with five levels in use has more addresses, but few programs do.
// The kernel gives no address for the others: arch/x86/kernel/traps.c,
// exc_general_protection. Nor for a misaligned operand of SSE instructions, which
// have 16 bytes, and of VEX ones that say "aligned".
func canonical(addr uint64) bool {
	top := int64(addr) >> 47
	return top == 0 || top == -1
}
