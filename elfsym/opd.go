package elfsym

import (
	"debug/elf"

	"github.com/gatedso/bt/internal/arch"
)

// descriptors is .opd, the function descriptors of PowerPC's 64-bit ELF ABI
// version 1 (section 3.2.5 of its supplement): the value of a function's symbol is
// the address of a descriptor, whose first doubleword is the address of the code.
// The symbol's size is the code's. A linker writes the addresses into the section
// even where it makes relocations for them.
type descriptors struct {
	addr uint64
	data []byte
}

// findDescriptors returns the descriptors of a linked file. Those of a relocatable
// one hold nothing until they are relocated.
func (im *Image) findDescriptors() descriptors {
	if !arch.MachineOf(im.Machine, im.Class, 0).Descriptors || im.Type == elf.ET_REL {
		return descriptors{}
	}
	s := im.section(".opd")
	if s == nil || s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_COMPRESSED != 0 {
		return descriptors{}
	}
	return descriptors{s.Addr, im.clip(s.Offset, s.FileSize)}
}

// TakeDescriptors lends im, a separate debug file, the function descriptors of
// main, the file that it was split from: a debug file has none of its own. It must
// be called before the first lookup, and main must stay open as long as im is used.
func (im *Image) TakeDescriptors(main *Image) {
	own := im.section(".opd")
	if !arch.MachineOf(im.Machine, im.Class, 0).Descriptors || main.Order != im.Order || own == nil || own.Type != elf.SHT_NOBITS {
		return
	}
	if d := main.findDescriptors(); d.addr == own.Addr {
		for _, t := range im.tables {
			t.opd, t.common = d, false
		}
	}
}

// follow replaces a descriptor's address by the function's.
func (t *table) follow(s *symbol) {
	off := s.value - t.opd.addr
	if !isFunc(s.typ()) || off >= uint64(len(t.opd.data)) || len(t.opd.data)-int(off) < 8 {
		return
	}
	if shndx := elf.SectionIndex(s.shndx); shndx == elf.SHN_UNDEF || shndx >= elf.SHN_LORESERVE && shndx != elf.SHN_XINDEX {
		return
	}
	s.value = t.order.Uint64(t.opd.data[off:])
	// The section of the code is not known, but that the value lies in an area
	// says as much.
	s.shndx = uint16(elf.SHN_XINDEX)
}
