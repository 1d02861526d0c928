package plt

import (
	"bytes"
	"encoding/binary"
)

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
func stubAMD64(code []byte, addr uint64) (Stub, bool) {
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
	s := Stub{Slotted: true, Slot: addr + uint64(n) + signed32(code[n-4:])}
	_, size, _ := pushJump(code[n:], 0)
	s.Size = uint32(n + size)
	return s, true
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
func stubI386(code []byte, addr uint64) (s Stub, ok bool) {
	const relSize = 8
	n := 0
	if bytes.HasPrefix(code, endbr32) {
		n = len(endbr32)
	}
	if len(code)-n > 5 && code[n] == 0xb9 {
		s.Indexed, s.Index = true, uint64(binary.LittleEndian.Uint32(code[n+1:]))/relSize
		n += 5
	}
	if b := code[n:]; len(b) < 6 || b[0] != 0xff || b[1] != 0x25 && b[1] != 0xa3 {
		return pushStub(code, n, addr, relSize)
	}
	s.Slotted, s.Relative, s.Slot = true, code[n+1] == 0xa3, signed32(code[n+2:])
	n += 6
	if pushed, size, _ := pushJump(code[n:], 0); size > 0 {
		s.Indexed, s.Index = true, pushed/relSize
		n += size
	}
	s.Size = uint32(n)
	return s, true
}

// pushStub decodes a stub that only pushes, after n bytes of other instructions.
// What it pushes counts relocations in units of unit.
func pushStub(code []byte, n int, addr, unit uint64) (Stub, bool) {
	pushed, size, common := pushJump(code[n:], addr+uint64(n))
	return Stub{Size: uint32(n + size), Indexed: true, Index: pushed / unit, Common: common}, size > 0
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
