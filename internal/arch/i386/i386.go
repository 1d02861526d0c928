// Package i386 describes the 32-bit x86 CPU, in a kernel of either width.
package i386

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/x86"
)

// DWARF register numbers: System V ABI, Intel386 supplement, table 2.14.
const (
	EAX arch.Reg = iota
	ECX
	EDX
	EBX
	ESP
	EBP
	ESI
	EDI
	EIP // the return-address column
	numRegs
)

// Arch is the 32-bit x86 CPU.
var Arch = &arch.Arch{
	Name:    "i686",
	Machine: elf.EM_386,
	Class:   elf.ELFCLASS32,
	Hosts:   []string{"386", "amd64"},
	PtrSize: 4,

	NumRegs: int(numRegs),
	Names: []string{
		"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip",
	},
	PC: EIP,
	SP: ESP,
	FP: EBP,

	Entry:   x86.I386.Entry(),
	Chain:   x86.I386.Chain(),
	RedZone: 128, // none in the psABI: for what has just been popped
	Go:      arch.GoFrames{MCallArg: true, DepthFirst: true, Exit: x86.GoExit, References: x86.I386.References, G: arch.MaxRegs},

	RegsetSize:   regsetSize,
	DecodeRegset: decodeRegset,
	TLSEntry:     tlsEntry,
	Syscalls: arch.Syscalls{
		Result: EAX,
		Args:   syscallArgs[:],
		Vfork:  []int{190, 120, 435}, // vfork, clone, clone3: arch/x86/entry/syscalls/syscall_32.tbl

		Asleep:       asleep,
		Instructions: x86.SyscallInstructions,
		Number:       x86.SyscallNumber,
		Relay:        relay,
		Names:        syscallNames[:],
		Struct32:     true,
	},

	Traps: arch.Traps{Breakpoint: 1},

	Trampolines: trampolines,

	AfterCall:  x86.I386.AfterCall,
	MaxCall:    x86.MaxCall,
	CallTarget: x86.I386.CallTarget,
	Analyze:    x86.I386.Analyze,
	Edge:       x86.I386.Edge,
	Ahead:      x86.I386.Ahead,
	Forked:     x86.I386.Forked,
	NoReturn:   x86.I386.NoReturn,
	Extent:     x86.I386.Extent,

	Disassemble: x86.I386.Disassemble,
}

// The register set is struct user_regs_struct32 of the kernel's
// arch/x86/include/asm/user32.h: 17 words. The base of thread-local storage
// is not in it: gs holds a selector.
const (
	regsetSize  = 17 * 4
	gsWord      = 10
	origEAXWord = 11
)

// regsetWords says in which word of the register set each register lies.
var regsetWords = [numRegs]int{
	EBX: 0, ECX: 1, EDX: 2, ESI: 3, EDI: 4, EBP: 5, EAX: 6,
	EIP: 12, ESP: 15,
}

func decodeRegset(b []byte) (regs arch.Regs, ok bool) {
	if len(b) != regsetSize {
		return regs, false
	}
	for r, w := range regsetWords {
		regs.Set(arch.Reg(r), uint64(binary.LittleEndian.Uint32(b[4*w:])))
	}
	return regs, true
}

// syscallArgs hold the arguments of a system call.
var syscallArgs = [6]arch.Reg{EBX, ECX, EDX, ESI, EDI, EBP}

// asleep implements arch.Syscalls.Asleep: orig_eax is the number, or negative where
// something else than a system call has entered the kernel.
func asleep(b []byte) (c arch.Call, ok bool) {
	regs, ok := decodeRegset(b)
	if !ok {
		return c, false
	}
	nr := int32(binary.LittleEndian.Uint32(b[4*origEAXWord:]))
	result, _ := regs.Get(EAX)
	if nr < 0 || nr >= int32(len(syscallNames)) {
		return c, false
	}
	c.Nr, c.Ended = int(nr), !arch.Interrupted(int64(int32(result)))
	for i, r := range syscallArgs {
		c.Args[i], _ = regs.Get(r)
	}
	return c, true
}

// tlsEntry reads the selector in gs: the number of an entry of the GDT, above
// three bits of other meaning.
func tlsEntry(b []byte) (int, bool) {
	if len(b) != regsetSize {
		return 0, false
	}
	return int(binary.LittleEndian.Uint16(b[4*gsWord:]) >> 3), true
}

// relay implements arch.Syscalls.Relay: glibc's __libc_do_syscall, by which calls with six
// arguments are made (sysdeps/unix/sysv/linux/i386/libc-do-syscall.S). It loads ebx, ebp
// and edi from where edi points to, and calls the vDSO by %gs:0x10 or _dl_sysinfo.
func relay(code []byte) bool {
	loads := []byte{0x8b, 0x1f, 0x8b, 0x6f, 0x08, 0x8b, 0x7f, 0x04}
	for _, call := range []struct {
		opcode []byte
		size   int
	}{{[]byte{0x65, 0xff, 0x15}, 7}, {[]byte{0xff, 0x15}, 6}, {[]byte{0xcd, 0x80}, 2}} {
		if before, ok := cutEnd(code, call.size); ok && bytes.HasPrefix(code[len(before):], call.opcode) && bytes.HasSuffix(before, loads) {
			return true
		}
	}
	return false
}

// cutEnd returns code without its last n bytes.
func cutEnd(code []byte, n int) ([]byte, bool) {
	if len(code) < n {
		return nil, false
	}
	return code[:len(code)-n], true
}
