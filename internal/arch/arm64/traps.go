package arm64

import (
	"encoding/binary"

	"github.com/gatedso/bt/internal/arch"
)

// canonical implements arch.Traps.Canonical: programs have the addresses from 0 on,
// the kernel those up to the top, of 52 bits each at most. The kernel takes the tag
// off the address of a fault (untagged_addr in arch/arm64/include/asm/uaccess.h).
func canonical(addr uint64) bool { return addr>>52 == 0 || addr>>52 == 0xfff }

// untag implements arch.Traps.Untag: the top byte of a program's address is not
// looked at (TBI). The kernel leaves it for faults of memory tagging.
func untag(addr uint64) uint64 {
	if addr&(1<<55) != 0 {
		return addr
	}
	return addr & (1<<56 - 1)
}

// branchType are the bits of the processor state that tell that the last instruction
// was a branch to an address from a register (PSTATE.BTYPE).
const branchType = 3 << 10

// refused implements arch.Traps.Refused. A branch to what is no landing pad is
// reported as an instruction that is not defined (do_el0_bti in the kernel's
// arch/arm64/kernel/traps.c), an authentication that fails, by CPUs that have
// FEAT_FPAC, as one with a wrong operand (do_el0_fpac).
func refused(code []byte, regs *arch.Regs) arch.Refusal {
	if len(code) < 4 {
		return arch.NotRefused
	}
	in := binary.LittleEndian.Uint32(code)
	if authenticates(in) {
		return arch.NotAuthentic
	}
	pstate, known := regs.Get(PState)
	if !known || pstate&branchType == 0 || landingPad(in) {
		return arch.NotRefused
	}
	// An instruction that is not defined is no other's fault.
	if ins, ok := disassemble(code, 0, nil); !ok || in>>16 == 0 || ins.Text == "" {
		return arch.NotRefused
	}
	return arch.NoLandingPad
}

// landingPad reports whether some branch by a register may lead to the instruction:
// bti, with targets or without, paciasp and pacibsp, brk and hlt.
func landingPad(in uint32) bool {
	if isHint(in) {
		op := in >> 5 & 0x7f
		return op == 25 || op == 27 || op&^6 == 32
	}
	return in>>21 == 0x6a1 || in>>21 == 0x6a2
}

// authenticates reports whether the instruction checks the signature of an address.
func authenticates(in uint32) bool {
	switch {
	case isHint(in):
		op := in >> 5 & 0x7f
		return op == 12 || op == 14 || op >= 28 && op <= 31
	case in == 0xd65f0bff || in == 0xd65f0fff: // retaa, retab
		return true
	case in&0xfedff800 == 0xd61f0800: // braa … blrabz
		return true
	case in>>16 == 0xdac1: // autia … autdzb
		op := in >> 10 & 63
		return op >= 4 && op <= 7 || op >= 12 && op <= 15
	}
	return in&0xff200400 == 0xf8200400 // ldraa, ldrab
}
