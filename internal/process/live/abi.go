package live

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gatedso/bt/internal/arch"
)

// abi is what procfs and ptrace tell about a thread of one CPU beyond its
// registers.
type abi struct {
	// args are the registers that hold a system call's arguments, in order.
	args []arch.Reg
	// vfork are the system calls whose caller may have to wait for a child.
	vfork []int
	// tls returns the thread pointer where it is not in the register set.
	tls func(tid int, regs []byte) (uint64, bool)
}

var abis = map[uint16]abi{
	uint16(elf.EM_X86_64): {
		args:  []arch.Reg{5, 4, 1, 10, 8, 9}, // rdi rsi rdx r10 r8 r9
		vfork: []int{58, 56, 435},            // vfork clone clone3
	},
	uint16(elf.EM_386): {
		args:  []arch.Reg{3, 1, 2, 6, 7, 5}, // ebx ecx edx esi edi ebp
		vfork: []int{190, 120, 435},
		tls: func(tid int, regs []byte) (uint64, bool) {
			// user_regs_struct32.gs selects an entry of the GDT.
			return threadArea(tid, int(binary.LittleEndian.Uint16(regs[10*4:])>>3))
		},
	},
}

// threadPointer returns the address that glibc and musl have point into the
// top of a thread's stack.
func (th *tracee) threadPointer() (uint64, bool) {
	if f := th.out.Arch.TLSBase; f != nil {
		return f(th.regs)
	}
	if f := abis[th.out.Arch.Machine].tls; f != nil {
		return f(th.tid, th.regs)
	}
	return 0, false
}
