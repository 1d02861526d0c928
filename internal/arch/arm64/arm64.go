// Package arm64 describes the 64-bit ARM CPU.
package arm64

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// DWARF register numbers: DWARF for the Arm 64-bit Architecture (AADWARF64),
// section 4.1. X0 to X30 are 0 to 30.
const (
	X0 arch.Reg = 0
	X8 arch.Reg = 8
	FP arch.Reg = 29 // X29
	LR arch.Reg = 30 // X30: the return-address column
	SP arch.Reg = 31
	PC arch.Reg = 32
	// PState is the processor state. (Its number is that of ELR_mode, which no
	// program has.)
	PState arch.Reg = 33

	numRegs = 34
)

// Arch is the 64-bit ARM CPU.
var Arch = &arch.Arch{
	Name:    "aarch64",
	Machine: elf.EM_AARCH64,
	Class:   elf.ELFCLASS64,
	Hosts:   []string{"arm64"},
	PtrSize: 8,

	NumRegs: numRegs,
	Names:   names(),
	PC:      PC,
	SP:      SP,
	FP:      FP,

	Entry: entry,
	// Procedure Call Standard for the Arm 64-bit Architecture (AAPCS64),
	// section 6.4.6: the frame record is the caller's x29 and the return address.
	// Where in its frame a function puts the record is its own affair, so the
	// stack pointer that follows is not the caller's but lies below it.
	Chain: arch.Layout{
		Base: FP, Offset: 16, Least: true, Return: arch.Return{Offset: -8},
		Saved: []arch.SavedReg{{Reg: FP, Offset: -16}, {Reg: LR, Offset: arch.NoOffset}},
	},
	StripPAC: stripPAC,
	Tag:      0xff << 56, // Documentation/arch/arm64/tagged-pointers.rst of the kernel
	Go:       arch.GoFrames{FramePointer: true, Unframed: goUnframed, Restarts: goRestarts, Injected: 16, Exit: goExit, References: references, G: X0 + 28},
	HotSpot:  &arch.HotSpot{BCP: 22},

	RegsetSize:   regsetSize,
	DecodeRegset: decodeRegset,
	TLSRegset:    ntARMTLS,
	PACRegset:    ntARMPACMask,
	Syscalls: arch.Syscalls{
		Args:  syscallArgs[:],
		Vfork: []int{220, 435}, // clone, clone3: include/uapi/asm-generic/unistd.h

		Asleep:       asleep,
		Rewound:      4,                                  // see asleep
		Instructions: [][]byte{{0x01, 0x00, 0x00, 0xd4}}, // svc #0
		Number:       syscallNumber,
		Names:        syscallNames[:],
	},

	Traps: arch.Traps{Canonical: canonical, Untag: untag, Refused: refused},

	Trampolines: trampolines,

	AfterCall: afterCall,
	MaxCall:   4,

	Analyze:  analyze,
	Edge:     edge,
	Ahead:    ahead,
	Forked:   forked,
	NoReturn: noReturn,
	Extent:   extent,

	StartsThread: startsThread,

	Disassemble: disassemble,

	CallTarget: callTarget,
}

// entry is the frame at a function's first instruction.
var entry = arch.Layout{Base: SP, Return: arch.Return{InReg: true, Reg: LR}}

func names() []string {
	list := make([]string, 0, numRegs)
	for i := range 31 {
		list = append(list, "x"+strconv.Itoa(i))
	}
	return append(list, "sp", "pc", "pstate")
}

// Types of register sets (include/uapi/linux/elf.h).
const (
	ntARMTLS     = 0x401
	ntARMPACMask = 0x406
)

// The register set is struct user_pt_regs of the kernel's
// arch/arm64/include/uapi/asm/ptrace.h: x0 to x30, sp, pc, pstate.
const regsetSize = numRegs * 8

func decodeRegset(b []byte) (regs arch.Regs, ok bool) {
	if len(b) != regsetSize {
		return regs, false
	}
	for r := range numRegs {
		regs.Set(arch.Reg(r), binary.LittleEndian.Uint64(b[8*r:]))
	}
	return regs, true
}

// syscallArgs hold the arguments of a system call.
var syscallArgs = [6]arch.Reg{X0, X0 + 1, X0 + 2, X0 + 3, X0 + 4, X0 + 5}

// asleep implements arch.Syscalls.Asleep. The kernel has put the pc back to the svc, and
// x0 to the first argument, before a tracer or a core sees a call that it is going to
// restart (arch/arm64/kernel/signal.c, do_signal). One that ends with EINTR stays as
// it is, and its first argument is lost.
func asleep(b []byte) (c arch.Call, ok bool) {
	regs, ok := decodeRegset(b)
	if !ok {
		return c, false
	}
	nr, _ := regs.Get(X8)
	if nr >= uint64(len(syscallNames)) {
		return c, false
	}
	c.Nr, c.Unproved = int(nr), true
	for i, r := range syscallArgs {
		c.Args[i], _ = regs.Get(r)
	}
	if arch.Interrupted(int64(c.Args[0])) {
		c.Behind, c.Lost, c.Args[0] = 4, true, 0
	}
	return c, true
}

// syscallNumber implements arch.Syscalls.Number: movz x8 or w8.
func syscallNumber(code []byte, nrs []int) (int, bool) {
	for i := len(code) - 8; i >= 0 && i >= len(code)-64; i -= 4 {
		in := binary.LittleEndian.Uint32(code[i:])
		if in&0x7fe0001f == 0x52800000|uint32(X8) {
			nr := int(in >> 5 & 0xffff)
			return nr, slices.Contains(nrs, nr)
		}
	}
	return 0, false
}

// unsigned are the bits of a process's code address where nothing is known of the
// mask: those of addresses with 48 bits, which is all that a process gets that does
// not ask for more (Documentation/arch/arm64/memory.rst of the kernel).
const unsigned = 1<<48 - 1

// stripPAC takes the pointer authentication code out of the bits that hold it, and
// the tag, if there is one, off the top byte (the instruction XPACI does both where
// the kernel uses TBI for code). In addresses of processes these bits are zero.
func stripPAC(ra, mask uint64) uint64 {
	if mask == 0 {
		mask = ^uint64(unsigned)
	}
	return ra &^ mask
}

// afterCall reports whether the last instruction of code is a call: bl, blr, or one
// of those that authenticate the register, blraa, blraaz, blrab and blrabz (Arm
// Architecture Reference Manual, "Branches, Exception Generating and System
// instructions").
func afterCall(code []byte) bool {
	if len(code) < 4 {
		return false
	}
	in := binary.LittleEndian.Uint32(code[len(code)-4:])
	return in>>26 == 0x25 || in&0xfffffc1f == 0xd63f0000 || in&0xfefff800 == 0xd63f0800
}

// callTarget implements arch.Arch.CallTarget: bl; and blr to what has been loaded from a
// fixed slot, as compilers call functions of other files with -fno-plt.
func callTarget(code []byte, ret uint64) (addr uint64, slot, ok bool) {
	if len(code) < 4 {
		return 0, false, false
	}
	in := word(code[len(code)-4:])
	switch {
	case in>>26 == 0x25:
		return ret - 4 + uint64(int64(int32(in<<6)>>4)), false, true
	case in&0xfffffc1f == 0xd63f0000:
		addr, ok = loadedFrom(code[:len(code)-4], ret-4, reg(in, 5))
	}
	return addr, true, ok
}

// loadedFrom returns the address of the word that code, which ends at end, has loaded
// register r from: adrp; ldr, with other instructions in between, but no branches.
func loadedFrom(code []byte, end uint64, r uint8) (addr uint64, ok bool) {
	loaded := false
	for ; len(code) >= 4; code, end = code[:len(code)-4], end-4 {
		var in inst
		last := code[len(code)-4:]
		decode(last, &in)
		w := word(last)
		switch {
		case in.flow != follow.Next:
			return 0, false
		case in.writes>>r&1 == 0:
		case !loaded && w&0xffc00000 == 0xf9400000: // ldr, 64 bits, with an unsigned offset
			loaded, r, addr = true, in.rn, uint64(in.imm)
		case loaded && w&0x9f000000 == 0x90000000: // adrp
			return (end-4)&^0xfff + uint64(int64(int32(w<<8)>>13<<2|int32(w>>29&3)))<<12 + addr, true
		default:
			return 0, false
		}
	}
	return 0, false
}

// goUnframed implements arch.GoFrames.Unframed. A function begins with str x30, [sp,
// #-n]!; stur x29, [sp, #-8]; sub x29, sp, #8 and ends with ldp x29, x30, [sp, #-8];
// add sp, sp, #n; ret (cmd/internal/obj/arm64/obj7.go).
func goUnframed(code []byte) bool {
	const storeFP, setFP, addSP = 0xf81f83fd, 0xd10023fd, 0x910003ff
	if len(code) < 4 {
		return false
	}
	in := binary.LittleEndian.Uint32(code)
	return in == storeFP || in == setFP || in&^(0xfff<<10) == addSP
}

// goRestarts implements arch.GoFrames.Restarts: b.
func goRestarts(code []byte, addr, entry uint64) bool {
	if len(code) < 4 {
		return false
	}
	in := word(code)
	return in>>26 == 5 && addr+uint64(int64(int32(in<<6)>>4)) == entry
}

// goExit implements arch.GoFrames.Exit: mov x0, x0; bl.
func goExit(distance uint64) []byte {
	const movX0X0, bl = 0xaa0003e0, 0x94000000
	code := binary.LittleEndian.AppendUint32(nil, movX0X0)
	return binary.LittleEndian.AppendUint32(code, bl|uint32(distance-4)>>2&(1<<26-1))
}
