package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
)

// trim cuts the padding behind an image, which is mapped in whole pages. What
// its headers say of section headers that are not there it removes: readers
// would complain.
func trim(data []byte) ([]byte, error) {
	h, err := readLayout(data)
	if err != nil {
		return nil, err
	}
	size, inside := h.end(uint64(len(data)))
	if !inside {
		for _, field := range h.sectionFields {
			clear(data[field.off : field.off+field.size])
		}
	}
	return data[:size], nil
}

// layout is what the headers of an ELF file say of its parts.
type layout struct {
	headers       uint64   // where the program headers end
	sections      extent   // the section headers
	parts         []part   // segments and sections in the file
	notes         []extent // PT_NOTE
	sectionFields []struct{ off, size int }
}

type extent struct{ off, size uint64 }

type part struct {
	extent
	section bool
}

func readLayout(data []byte) (layout, error) {
	if len(data) < elf.EI_NIDENT || !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return layout{}, errors.New("not an ELF file")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(data[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	if elf.Class(data[elf.EI_CLASS]) == elf.ELFCLASS32 {
		return layout32(data, order)
	}
	return layout64(data, order)
}

// end returns where an image of size bytes ends, and whether all its section
// headers are in it.
func (h *layout) end(size uint64) (end uint64, inside bool) {
	if h.sections.size == 0 {
		return size, true
	}
	if h.sections.off > size || h.sections.size > size-h.sections.off {
		return size, false
	}
	end = max(h.headers, h.sections.off+h.sections.size)
	for _, p := range h.parts {
		if p.off > size || p.size > size-p.off {
			return size, true
		}
		end = max(end, p.off+p.size)
	}
	return min(end, size), true
}

func (h *layout) segment(typ uint32, e extent) {
	h.parts = append(h.parts, part{e, false})
	if elf.ProgType(typ) == elf.PT_NOTE {
		h.notes = append(h.notes, e)
	}
}

func layout64(data []byte, order binary.ByteOrder) (h layout, err error) {
	var f elf.Header64
	if _, err := binary.Decode(data, order, &f); err != nil {
		return h, errors.New("ELF header cut short")
	}
	h.headers = f.Phoff + uint64(f.Phnum)*uint64(f.Phentsize)
	h.sections = extent{f.Shoff, uint64(f.Shnum) * uint64(f.Shentsize)}
	h.sectionFields = []struct{ off, size int }{{0x28, 8}, {0x3c, 4}} // e_shoff; e_shnum and e_shstrndx
	for i := range table(data, f.Phoff, f.Phnum, f.Phentsize) {
		var p elf.Prog64
		if _, err := binary.Decode(i, order, &p); err == nil {
			h.segment(p.Type, extent{p.Off, p.Filesz})
		}
	}
	for i := range table(data, f.Shoff, f.Shnum, f.Shentsize) {
		var s elf.Section64
		if _, err := binary.Decode(i, order, &s); err == nil && elf.SectionType(s.Type) != elf.SHT_NOBITS {
			h.parts = append(h.parts, part{extent{s.Off, s.Size}, true})
		}
	}
	return h, nil
}

func layout32(data []byte, order binary.ByteOrder) (h layout, err error) {
	var f elf.Header32
	if _, err := binary.Decode(data, order, &f); err != nil {
		return h, errors.New("ELF header cut short")
	}
	h.headers = uint64(f.Phoff) + uint64(f.Phnum)*uint64(f.Phentsize)
	h.sections = extent{uint64(f.Shoff), uint64(f.Shnum) * uint64(f.Shentsize)}
	h.sectionFields = []struct{ off, size int }{{0x20, 4}, {0x30, 4}} // e_shoff; e_shnum and e_shstrndx
	for i := range table(data, uint64(f.Phoff), f.Phnum, f.Phentsize) {
		var p elf.Prog32
		if _, err := binary.Decode(i, order, &p); err == nil {
			h.segment(p.Type, extent{uint64(p.Off), uint64(p.Filesz)})
		}
	}
	for i := range table(data, uint64(f.Shoff), f.Shnum, f.Shentsize) {
		var s elf.Section32
		if _, err := binary.Decode(i, order, &s); err == nil && elf.SectionType(s.Type) != elf.SHT_NOBITS {
			h.parts = append(h.parts, part{extent{uint64(s.Off), uint64(s.Size)}, true})
		}
	}
	return h, nil
}

// table yields the entries of a table of n entries that lie in data.
func table(data []byte, off uint64, n, size uint16) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for range n {
			if size == 0 || off > uint64(len(data)) || uint64(size) > uint64(len(data))-off {
				return
			}
			if !yield(data[off : off+uint64(size)]) {
				return
			}
			off += uint64(size)
		}
	}
}
