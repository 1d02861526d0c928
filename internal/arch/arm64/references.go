package arm64

import "encoding/binary"

// maxReferences bounds what references returns.
const maxReferences = 4096

// references implements arch.GoFrames.References: adrp loads the address of a page into
// a register, and an add, a load or a store takes the address in the page (Arm
// Architecture Reference Manual, "Data Processing -- Immediate", "Loads and Stores").
func references(code []byte, addr uint64) (refs []uint64) {
	var pages [32]uint64
	var known uint32 // bit r: pages[r] is in register r
	for at := 0; at+4 <= len(code) && len(refs) < maxReferences; at += 4 {
		in := binary.LittleEndian.Uint32(code[at:])
		dst, base, imm := in&31, in>>5&31, uint64(in>>10&0xfff)
		switch {
		case in&0x9f000000 == 0x90000000: // adrp
			pages[dst] = (addr+uint64(at))&^0xfff + uint64(int64(int32(in<<8)>>13<<2|int32(in>>29&3)))<<12
			known |= 1 << dst
			continue
		case in&0xffc00000 == 0x91000000 && known>>base&1 != 0: // add, 64 bits, without a shift
			refs = append(refs, pages[base]+imm)
		case in&0x3b000000 == 0x39000000 && known>>base&1 != 0: // ldr, str with an unsigned offset
			scale := in >> 30
			if in>>26&1 != 0 && in>>23&1 != 0 {
				scale = 4 // 128-bit vector
			}
			refs = append(refs, pages[base]+imm<<scale)
			if in>>22&3 == 0 {
				continue // a store leaves the registers
			}
		default:
			if in>>26&7 == 5 {
				continue // a branch; what a call changes is loaded anew
			}
		}
		known &^= 1 << dst
	}
	return refs
}
