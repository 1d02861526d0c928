// Package x86 is what the 64-bit and the 32-bit x86 CPUs have in common: the
// encoding of their instructions, and what these tell about a stack frame when
// there is no call frame information.
package x86

import (
	"encoding/binary"
	"slices"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// Machine numbers of the registers, as ModRM and the opcodes encode them.
const (
	ax = iota
	cx
	dx
	bx
	sp
	bp
	si
	di
)

// Mode is one of the two instruction sets, with the numbering that its psABI
// gives the registers.
type Mode struct {
	// PtrSize is 8 for 64-bit code, 4 for 32-bit code.
	PtrSize int
	// DWARF maps machine register numbers to DWARF ones: 16 of them, or
	// the first 8 for 32-bit code.
	DWARF [16]arch.Reg
	// CalleeSaved has bit i set when a function must preserve the register
	// with the machine number i. The stack pointer is not among them.
	CalleeSaved uint16

	registers *follow.Registers // the same, for the analysis of code
}

// AMD64 is 64-bit code: System V ABI, AMD64 supplement, figure 3.36.
var AMD64 = newMode(Mode{
	PtrSize:     8,
	DWARF:       [16]arch.Reg{0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15},
	CalleeSaved: 1<<bx | 1<<bp | 1<<12 | 1<<13 | 1<<14 | 1<<15,
})

// I386 is 32-bit code: System V ABI, Intel386 supplement, table 2.14. Its
// DWARF numbers are the machine numbers.
var I386 = newMode(Mode{
	PtrSize:     4,
	DWARF:       [16]arch.Reg{0, 1, 2, 3, 4, 5, 6, 7},
	CalleeSaved: 1<<bx | 1<<bp | 1<<si | 1<<di,
})

// The registers that may lead to the CFA, in two orders.
var (
	basesBySP = []uint8{sp, bp, ax, cx, dx, bx, si, di, 8, 9, 10, 11, 12, 13, 14, 15}
	basesByBP = []uint8{bp, sp, ax, cx, dx, bx, si, di, 8, 9, 10, 11, 12, 13, 14, 15}
)

// newMode completes m.
func newMode(m Mode) Mode {
	r := &follow.Registers{SP: sp, FP: bp, CalleeSaved: uint32(m.CalleeSaved), Entry: int32(-m.PtrSize)}
	copy(r.DWARF[:], m.DWARF[:])
	m.registers = r
	return m
}

// MaxCall is how many bytes before a return address AfterCall looks at: the
// longest indirect call, its opcode, ModRM, SIB and a 32-bit displacement, with
// the address-size prefix, the only one that changes a call's length.
const MaxCall = 8

// Entry is the frame at a function's first instruction: the call has pushed the
// return address.
func (m *Mode) Entry() arch.Layout {
	return arch.Layout{Base: m.DWARF[sp], Offset: int64(m.PtrSize), Return: m.onStack()}
}

// Chain is the frame of a function that keeps a frame pointer, which points at
// the caller's, below the return address.
func (m *Mode) Chain() arch.Layout {
	size := int64(m.PtrSize)
	return arch.Layout{
		Base: m.DWARF[bp], Offset: 2 * size, Return: m.onStack(),
		Saved: []arch.SavedReg{{Reg: m.DWARF[bp], Offset: -2 * size}},
	}
}

// onStack is where the return address always is: right below the CFA.
func (m *Mode) onStack() arch.Return { return arch.Return{Offset: -int64(m.PtrSize)} }

// SyscallInstructions are those that enter the kernel: syscall, int $0x80, sysenter.
var SyscallInstructions = [][]byte{{0x0f, 0x05}, {0xcd, 0x80}, {0x0f, 0x34}}

// SyscallNumber implements arch.Syscalls.Number: the mov to eax that is nearest to the
// end of code and has one of nrs. Other instructions can stand between.
func SyscallNumber(code []byte, nrs []int) (int, bool) {
	const movEAX = 0xb8
	for i := len(code) - 7; i >= 0; i-- {
		if code[i] == movEAX {
			if nr := int(binary.LittleEndian.Uint32(code[i+1:])); slices.Contains(nrs, nr) {
				return nr, true
			}
		}
	}
	return 0, false
}
