package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"

	"github.com/gatedso/bt/internal/guard"
)

// ErrNotELF is the error for a file that is none; it is what users read when they name the wrong file.
var ErrNotELF = errors.New("not an ELF file")

// maxStrings bounds the table of section names; a million sections have less.
const maxStrings = 64 << 20

// parse has debug/elf read the headers, without the section headers when these
// are what cannot be read: they are not part of what is loaded into memory, so
// that e_shoff often points past the end of an image. debug/elf reads tables as
// large as the headers say, hence a look at them before.
func (im *Image) parse() (*elf.File, error) {
	data := im.data
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil, ErrNotELF
	}
	h, ok := readHeader(data)
	if ok && uint64(len(im.clip(h.phoff, h.phnum*h.phsize))) < h.phnum*h.phsize {
		return nil, errors.New("its program headers are not all there")
	}
	err := errors.New("its section headers are not all there")
	if !ok || im.hasSections(&h) {
		var f *elf.File
		if f, err = tryParse(bytes.NewReader(data)); err == nil {
			return f, nil
		}
	}
	r, ok := withoutSections(data)
	if !ok {
		return nil, err
	}
	if f, err2 := tryParse(r); err2 == nil {
		return f, nil
	}
	return nil, err
}

// header is what of the ELF header says how large the other headers are.
type header struct {
	order                binary.ByteOrder
	is64                 bool
	phoff, phnum, phsize uint64
	shoff, shnum, shsize uint64
	strings              uint64 // e_shstrndx
}

// readHeader reads the ELF header. What is no known format is debug/elf's to refuse.
func readHeader(b []byte) (h header, ok bool) {
	if len(b) < 64 {
		return h, false
	}
	switch elf.Data(b[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		h.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		h.order = binary.BigEndian
	default:
		return h, false
	}
	half := func(off int) uint64 { return uint64(h.order.Uint16(b[off:])) }
	switch elf.Class(b[elf.EI_CLASS]) {
	case elf.ELFCLASS64:
		h.is64 = true
		h.phoff, h.shoff = h.order.Uint64(b[32:]), h.order.Uint64(b[40:])
		h.phsize, h.phnum, h.shsize, h.shnum, h.strings = half(54), half(56), half(58), half(60), half(62)
	case elf.ELFCLASS32:
		h.phoff, h.shoff = uint64(h.order.Uint32(b[28:])), uint64(h.order.Uint32(b[32:]))
		h.phsize, h.phnum, h.shsize, h.shnum, h.strings = half(42), half(44), half(46), half(48), half(50)
	default:
		return h, false
	}
	return h, true
}

// hasSections reports whether the file has bytes for the section headers and for
// the sections' names (gABI, "Sections": section 0 holds numbers that are too
// large for the ELF header).
func (im *Image) hasSections(h *header) bool {
	least := uint64(40)
	if h.is64 {
		least = 64
	}
	if h.shoff == 0 {
		return true // there are none
	}
	if h.shsize < least {
		return false
	}
	section := func(i uint64) (typ, flags, off, size, link uint64) {
		b := im.clip(h.shoff+i*h.shsize, least)
		switch {
		case uint64(len(b)) < least:
			return 0, 0, 0, 0, 0
		case h.is64:
			return uint64(h.order.Uint32(b[4:])), h.order.Uint64(b[8:]), h.order.Uint64(b[24:]), h.order.Uint64(b[32:]), uint64(h.order.Uint32(b[40:]))
		}
		word := func(off int) uint64 { return uint64(h.order.Uint32(b[off:])) }
		return word(4), word(8), word(16), word(20), word(24)
	}
	num, names := h.shnum, h.strings
	_, _, _, count, link := section(0)
	if num == 0 {
		num = count
	}
	if names == uint64(elf.SHN_XINDEX) {
		names = link
	}
	table := im.clip(h.shoff, ^uint64(0))
	if num > uint64(len(table))/h.shsize || names >= max(num, 1) {
		return false
	}
	typ, flags, off, size, _ := section(names)
	if elf.SectionType(typ) != elf.SHT_STRTAB {
		return names == 0 // no names at all
	}
	return elf.SectionFlag(flags)&elf.SHF_COMPRESSED == 0 && size <= maxStrings && uint64(len(im.clip(off, size))) == size
}

// tryParse calls debug/elf, which may panic on what it did not expect.
func tryParse(r io.ReaderAt) (f *elf.File, err error) {
	err = guard.Library(func() error {
		f, err = elf.NewFile(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// patched is data with another ELF header.
type patched struct {
	header []byte
	data   []byte
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(p.data)) {
		return 0, io.EOF
	}
	n := copy(b, p.data[off:])
	if off < int64(len(p.header)) {
		copy(b[:n], p.header[off:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// withoutSections clears e_shoff, e_shnum and e_shstrndx.
func withoutSections(data []byte) (io.ReaderAt, bool) {
	var size, shoff, width, shnum int // of the header and its fields
	switch {
	case len(data) >= 64 && elf.Class(data[elf.EI_CLASS]) == elf.ELFCLASS64:
		size, shoff, width, shnum = 64, 40, 8, 60
	case len(data) >= 52 && elf.Class(data[elf.EI_CLASS]) == elf.ELFCLASS32:
		size, shoff, width, shnum = 52, 32, 4, 48
	default:
		return nil, false
	}
	h := bytes.Clone(data[:size])
	clear(h[shoff : shoff+width])
	clear(h[shnum : shnum+4])
	return &patched{header: h, data: data}, true
}
