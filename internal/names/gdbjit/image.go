package gdbjit

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"

	"github.com/gatedso/bt/internal/arch"
)

// image is an ELF file in memory. Of its headers only those of the sections are
// read: compilers write no others, or no useful ones.
type image struct {
	data  []byte
	order binary.ByteOrder
	is64  bool
	typ   elf.Type
	mach  elf.Machine
	secs  []section
	names []byte // section names
}

type section struct {
	name            uint32
	typ             elf.SectionType
	flags           elf.SectionFlag
	addr, off, size uint64
	link, info      uint32
}

// Limits of one image.
const (
	maxSections = 1 << 14
	maxName     = 1 << 12
)

var errNotELF = errors.New("not an ELF image")

// parse reads the section headers (gABI, "Sections").
func parse(data []byte) (*image, error) {
	if len(data) < 64 || string(data[:4]) != elf.ELFMAG {
		return nil, errNotELF
	}
	im := &image{data: data, order: binary.LittleEndian, is64: data[4] == byte(elf.ELFCLASS64)}
	if data[5] == byte(elf.ELFDATA2MSB) {
		im.order = binary.BigEndian
	}
	im.typ, im.mach = elf.Type(im.order.Uint16(data[16:])), elf.Machine(im.order.Uint16(data[18:]))
	shoff, at, entry := uint64(im.order.Uint32(data[32:])), 46, 40
	if im.is64 {
		shoff, at, entry = im.order.Uint64(data[40:]), 58, 64
	}
	size, num, names := int(im.order.Uint16(data[at:])), int(im.order.Uint16(data[at+2:])), int(im.order.Uint16(data[at+4:]))
	if size < entry || num > maxSections || shoff > uint64(len(data)) || uint64(size)*uint64(num) > uint64(len(data))-shoff {
		return nil, errors.New("no section headers")
	}
	for i := range num {
		im.secs = append(im.secs, im.section(data[shoff+uint64(i)*uint64(size):]))
	}
	if names < num {
		im.names = im.bytes(&im.secs[names])
	}
	return im, nil
}

func (im *image) section(b []byte) section {
	s := section{name: im.order.Uint32(b), typ: elf.SectionType(im.order.Uint32(b[4:]))}
	if im.is64 {
		s.flags, s.addr = elf.SectionFlag(im.order.Uint64(b[8:])), im.order.Uint64(b[16:])
		s.off, s.size = im.order.Uint64(b[24:]), im.order.Uint64(b[32:])
		s.link, s.info = im.order.Uint32(b[40:]), im.order.Uint32(b[44:])
	} else {
		s.flags, s.addr = elf.SectionFlag(im.order.Uint32(b[8:])), uint64(im.order.Uint32(b[12:]))
		s.off, s.size = uint64(im.order.Uint32(b[16:])), uint64(im.order.Uint32(b[20:]))
		s.link, s.info = im.order.Uint32(b[24:]), im.order.Uint32(b[28:])
	}
	return s
}

// bytes are a section's bytes in the image; none for what has none there, or is
// compressed.
func (im *image) bytes(s *section) []byte {
	if s.typ == elf.SHT_NOBITS || s.typ == elf.SHT_NULL || s.flags&elf.SHF_COMPRESSED != 0 ||
		s.off > uint64(len(im.data)) || s.size > uint64(len(im.data))-s.off {
		return nil
	}
	return im.data[s.off : s.off+s.size]
}

// named returns the index of the first section of that name, 0 for none.
func (im *image) named(name string) int {
	for i := range im.secs {
		if at := uint64(im.secs[i].name); at < uint64(len(im.names)) && bytes.HasPrefix(im.names[at:], append([]byte(name), 0)) {
			return i
		}
	}
	return 0
}

// code reports whether section i holds code that has an address.
func (im *image) code(i uint16) bool {
	if int(i) >= len(im.secs) {
		return false
	}
	s := &im.secs[i]
	return s.flags&(elf.SHF_ALLOC|elf.SHF_EXECINSTR) == elf.SHF_ALLOC|elf.SHF_EXECINSTR && s.addr != 0 && s.addr+s.size > s.addr
}

// symbol is an entry of the symbol table; its value is an address in memory.
type symbol struct {
	name        uint32
	value, size uint64
	info        byte
	shndx       uint16
}

func (im *image) symbolSize() int {
	if im.is64 {
		return elf.Sym64Size
	}
	return elf.Sym32Size
}

// symbol reads a symbol table's entry. Where the image is a relocatable one, the
// value counts from the start of the symbol's section, whose header has the
// address at which it was loaded.
func (im *image) symbol(b []byte) symbol {
	s := symbol{name: im.order.Uint32(b)}
	if im.is64 {
		s.info, s.shndx = b[4], im.order.Uint16(b[6:])
		s.value, s.size = im.order.Uint64(b[8:]), im.order.Uint64(b[16:])
	} else {
		s.value, s.size = uint64(im.order.Uint32(b[4:])), uint64(im.order.Uint32(b[8:]))
		s.info, s.shndx = b[12], im.order.Uint16(b[14:])
	}
	if im.typ == elf.ET_REL && int(s.shndx) < len(im.secs) {
		s.value += im.secs[s.shndx].addr
	}
	return s
}

// symbols returns the bytes of the symbol table and of its strings.
func (im *image) symbols() (syms, strs []byte) {
	for i := range im.secs {
		s := &im.secs[i]
		if s.typ == elf.SHT_SYMTAB && int(s.link) < len(im.secs) {
			return im.bytes(s), im.bytes(&im.secs[s.link])
		}
	}
	return nil, nil
}

// frames returns the address and the bytes of a section of call frame
// information. In a relocatable image its relocations are made good, in a copy.
func (im *image) frames(name string) (addr uint64, data []byte) {
	i := im.named(name)
	if i == 0 {
		return 0, nil
	}
	s := &im.secs[i]
	addr, data = s.addr, im.bytes(s)
	if im.typ != elf.ET_REL || data == nil {
		return addr, data
	}
	data = bytes.Clone(data)
	for j := range im.secs {
		r := &im.secs[j]
		if int(r.info) == i && (r.typ == elf.SHT_RELA || r.typ == elf.SHT_REL) {
			im.relocate(data, addr, r)
		}
	}
	return addr, data
}

// relocate applies the relocations in section r to data, which lies at addr.
func (im *image) relocate(data []byte, addr uint64, r *section) {
	if int(r.link) >= len(im.secs) {
		return
	}
	rels, syms := im.bytes(r), im.bytes(&im.secs[r.link])
	word := 4
	if im.is64 {
		word = 8
	}
	entry := 2 * word
	if r.typ == elf.SHT_RELA {
		entry = 3 * word
	}
	get := func(b []byte) uint64 {
		if im.is64 {
			return im.order.Uint64(b)
		}
		return uint64(im.order.Uint32(b))
	}
	for ; len(rels) >= entry; rels = rels[entry:] {
		off, info := get(rels), get(rels[word:])
		num, kind := info>>8, uint32(info&0xff)
		if im.is64 {
			num, kind = info>>32, uint32(info)
		}
		width, relative := arch.FrameReloc(im.mach, kind)
		if width == 0 || off > uint64(len(data)) || uint64(len(data))-off < uint64(width) || num >= uint64(len(syms)/im.symbolSize()) {
			continue
		}
		at := data[off:]
		v := im.symbol(syms[num*uint64(im.symbolSize()):]).value
		switch {
		case r.typ == elf.SHT_RELA:
			v += get(rels[2*word:])
		case width == 4:
			v += uint64(int32(im.order.Uint32(at)))
		default:
			v += im.order.Uint64(at)
		}
		if relative {
			v -= addr + off
		}
		if width == 4 {
			im.order.PutUint32(at, uint32(v))
		} else {
			im.order.PutUint64(at, v)
		}
	}
}
