package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// jump is what a stub does: it jumps through a slot, or hands the number of a
// relocation to the table's common part, or the one until the other is needed.
type jump struct {
	size     uint32 // of the stub, with its padding; a multiple of stubAlign
	slotted  bool   // it jumps through a slot
	relative bool   // slot is relative to the global offset table (i386)
	slot     uint64 // link-time address of the slot, or relative
	indexed  bool   // it hands over an index
	index    uint64 // of a relocation in DT_JMPREL
	common   uint64 // link-time address of the common part, where not slotted
}

// pltMachine is how stubs look on a machine, and the types of the relocations
// that fill the slots they jump through.
type pltMachine struct {
	decode func(code []byte, addr uint64) (jump, bool)

	jumpSlot, globDat, irelative uint32
}

var pltMachines = map[elf.Machine]pltMachine{
	elf.EM_X86_64:  {stubAMD64, uint32(elf.R_X86_64_JMP_SLOT), uint32(elf.R_X86_64_GLOB_DAT), uint32(elf.R_X86_64_IRELATIVE)},
	elf.EM_386:     {stubI386, uint32(elf.R_386_JMP_SLOT), uint32(elf.R_386_GLOB_DAT), uint32(elf.R_386_IRELATIVE)},
	elf.EM_AARCH64: {stubARM64, uint32(elf.R_AARCH64_JUMP_SLOT), uint32(elf.R_AARCH64_GLOB_DAT), uint32(elf.R_AARCH64_IRELATIVE)},
}

// decodeStub decodes the stub at the start of code, which lies at addr. Padding
// at the end of the section may be missing.
func (im *Image) decodeStub(code []byte, addr uint64) (jump, bool) {
	j, ok := pltMachines[im.Machine].decode(code, addr)
	j.size = (j.size + stubAlign - 1) &^ (stubAlign - 1)
	j.slot &= im.addrMask()
	j.common &= im.addrMask()
	return j, ok
}

var (
	endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}
	endbr32 = []byte{0xf3, 0x0f, 0x1e, 0xfb}
)

// stubAMD64 decodes
//
//	[endbr64] [bnd] jmp *slot(%rip) [push $n; [bnd] jmp PLT0]
//	[endbr64] push $n; [bnd] jmp PLT0
//	[endbr64] mov $n, %r11d; jmp *slot(%rip)          (mold)
//
// The psABI has the first; Intel's CET brought endbr64 and the second, whose
// first half lies in .plt.sec; MPX had brought bnd.
func stubAMD64(code []byte, addr uint64) (jump, bool) {
	n := 0
	if bytes.HasPrefix(code, endbr64) {
		n = len(endbr64)
	}
	if len(code)-n > 6 && code[n] == 0x41 && code[n+1] == 0xbb {
		n += 6
	}
	if len(code) > n && code[n] == 0xf2 {
		n++
	}
	if b := code[n:]; len(b) < 6 || b[0] != 0xff || b[1] != 0x25 {
		return pushStub(code, n, addr, 1)
	}
	n += 6
	j := jump{slotted: true, slot: addr + uint64(n) + signed32(code[n-4:])}
	_, size, _ := pushJump(code[n:], 0)
	j.size = uint32(n + size)
	return j, true
}

// stubI386 decodes the same for i386. In code that can be loaded anywhere %ebx
// is the address of the global offset table.
//
//	[endbr32] jmp *slot [push $n; jmp PLT0]
//	[endbr32] jmp *slot-GOT(%ebx) [push $n; jmp PLT0]
//	[endbr32] push $n; jmp PLT0
//	[endbr32] mov $n, %ecx; jmp *slot or *slot-GOT(%ebx)     (mold)
//
// Here n is the offset of an Elf32_Rel, which has 8 bytes.
func stubI386(code []byte, addr uint64) (j jump, ok bool) {
	const relSize = 8
	n := 0
	if bytes.HasPrefix(code, endbr32) {
		n = len(endbr32)
	}
	if len(code)-n > 5 && code[n] == 0xb9 {
		j.indexed, j.index = true, uint64(binary.LittleEndian.Uint32(code[n+1:]))/relSize
		n += 5
	}
	if b := code[n:]; len(b) < 6 || b[0] != 0xff || b[1] != 0x25 && b[1] != 0xa3 {
		return pushStub(code, n, addr, relSize)
	}
	j.slotted, j.relative, j.slot = true, code[n+1] == 0xa3, signed32(code[n+2:])
	n += 6
	if pushed, size, _ := pushJump(code[n:], 0); size > 0 {
		j.indexed, j.index = true, pushed/relSize
		n += size
	}
	j.size = uint32(n)
	return j, true
}

// pushStub decodes a stub that only pushes, after n bytes of other instructions.
// What it pushes counts relocations in units of unit.
func pushStub(code []byte, n int, addr, unit uint64) (jump, bool) {
	pushed, size, common := pushJump(code[n:], addr+uint64(n))
	return jump{size: uint32(n + size), indexed: true, index: pushed / unit, common: common}, size > 0
}

// pushJump decodes push $n; [bnd] jmp target, which lie at addr. The size is 0
// when they are not there.
func pushJump(b []byte, addr uint64) (n uint64, size int, target uint64) {
	if len(b) < 10 || b[0] != 0x68 {
		return 0, 0, 0
	}
	size = 5
	if b[size] == 0xf2 {
		size++
	}
	if len(b) < size+5 || b[size] != 0xe9 {
		return 0, 0, 0
	}
	n = uint64(binary.LittleEndian.Uint32(b[1:]))
	target = addr + uint64(size+5) + signed32(b[size+1:])
	return n, size + 5, target
}

// signed32 reads a little-endian 32-bit number and extends its sign.
func signed32(b []byte) uint64 {
	return uint64(int64(int32(binary.LittleEndian.Uint32(b))))
}

// stubARM64 decodes
//
//	[bti c]; adrp x16, page; ldr x17, [x16, #off]; [add x16, x16, #off]; [autia1716]; br x17; [nop…]
//
// Instructions are little-endian in big-endian files too.
func stubARM64(code []byte, addr uint64) (j jump, ok bool) {
	const (
		btiC      = 0xd503245f
		autia1716 = 0xd503219f
		brX17     = 0xd61f0220
		nop       = 0xd503201f
	)
	n := 0
	insn := func() uint32 {
		if len(code)-n < 4 {
			return 0 // udf: in no stub
		}
		return binary.LittleEndian.Uint32(code[n:])
	}
	if insn() == btiC {
		n += 4
	}
	adrp := insn()
	if adrp&0x9f00001f != 0x90000010 {
		return jump{}, false
	}
	// immhi and immlo are 21 bits, which count pages.
	imm := int64(int32(adrp<<8)) >> 11 &^ 3
	imm |= int64(adrp >> 29 & 3)
	page := (addr+uint64(n))&^0xfff + uint64(imm)<<12
	n += 4
	ldr := insn()
	if ldr&0xffc003ff != 0xf9400211 {
		return jump{}, false
	}
	j.slot = page + uint64(ldr>>10&0xfff)*8
	n += 4
	if insn()&0xff8003ff == 0x91000210 {
		n += 4
	}
	if insn() == autia1716 {
		n += 4
	}
	if insn() != brX17 {
		return jump{}, false
	}
	n += 4
	for insn() == nop && n < maxStub {
		n += 4
	}
	j.size, j.slotted = uint32(n), true
	return j, true
}
