package plt

import "encoding/binary"

// stubARM64 decodes
//
//	[bti c]; adrp x16, page; ldr x17, [x16, #off]; [add x16, x16, #off]; [autia1716]; br x17; [nop…]
//
// Instructions are little-endian in big-endian files too.
func stubARM64(code []byte, addr uint64) (s Stub, ok bool) {
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
		return Stub{}, false
	}
	// immhi and immlo are 21 bits, which count pages.
	imm := int64(int32(adrp<<8)) >> 11 &^ 3
	imm |= int64(adrp >> 29 & 3)
	page := (addr+uint64(n))&^0xfff + uint64(imm)<<12
	n += 4
	ldr := insn()
	if ldr&0xffc003ff != 0xf9400211 {
		return Stub{}, false
	}
	s.Slot = page + uint64(ldr>>10&0xfff)*8
	n += 4
	if insn()&0xff8003ff == 0x91000210 {
		n += 4
	}
	if insn() == autia1716 {
		n += 4
	}
	if insn() != brX17 {
		return Stub{}, false
	}
	n += 4
	for insn() == nop && n < MaxSize {
		n += 4
	}
	s.Size, s.Slotted = uint32(n), true
	return s, true
}
