package core

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrNotCore is the error for a file that is no core file.
var ErrNotCore = errors.New("not a core file")

// maxEhdr is the size in bytes of the larger ELF header.
const maxEhdr = 64

// header is an ELF header.
type header struct {
	class   elf.Class
	order   binary.ByteOrder
	machine elf.Machine
	flags   uint32
	entry   uint64
	phoff   uint64
	shoff   uint64
	phnum   int
	phsize  int // e_phentsize
	size    uint64
}

// parseHeader reads the ELF header (gABI, "ELF Header").
func parseHeader(b []byte) (h header, err error) {
	if len(b) < elf.EI_NIDENT || string(b[:4]) != elf.ELFMAG {
		return h, fmt.Errorf("%w: no ELF file", ErrNotCore)
	}
	h.class, h.size = elf.Class(b[elf.EI_CLASS]), 64
	if h.class == elf.ELFCLASS32 {
		h.size = 52
	}
	switch elf.Data(b[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		h.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		h.order = binary.BigEndian
	}
	if h.class != elf.ELFCLASS32 && h.class != elf.ELFCLASS64 || h.order == nil {
		return h, fmt.Errorf("%w: neither class nor byte order is known", ErrNotCore)
	}
	if uint64(len(b)) < h.size {
		return h, fmt.Errorf("%w: its header is cut short", ErrNotCore)
	}
	if t := elf.Type(h.order.Uint16(b[16:])); t != elf.ET_CORE {
		return h, fmt.Errorf("%w but %s", ErrNotCore, typeName(t))
	}
	h.machine = elf.Machine(h.order.Uint16(b[18:]))
	if h.class == elf.ELFCLASS64 {
		h.phoff, h.shoff = h.order.Uint64(b[32:]), h.order.Uint64(b[40:])
		h.flags = h.order.Uint32(b[48:])
		h.phsize, h.phnum = int(h.order.Uint16(b[54:])), int(h.order.Uint16(b[56:]))
	} else {
		h.phoff, h.shoff = uint64(h.order.Uint32(b[28:])), uint64(h.order.Uint32(b[32:]))
		h.flags = h.order.Uint32(b[36:])
		h.phsize, h.phnum = int(h.order.Uint16(b[42:])), int(h.order.Uint16(b[44:]))
	}
	if h.phnum > 0 && h.phsize < h.minPhsize() {
		return h, fmt.Errorf("%w: its program headers have %d bytes each", ErrNotCore, h.phsize)
	}
	return h, nil
}

func typeName(t elf.Type) string {
	switch t {
	case elf.ET_EXEC, elf.ET_DYN:
		return "a program or library (name addresses in it with --exe)"
	case elf.ET_REL:
		return "an object file"
	}
	return "an ELF file of type " + t.String()
}

func (h *header) minPhsize() int {
	if h.class == elf.ELFCLASS64 {
		return 56
	}
	return 32
}

// word is the size in bytes of an address.
func (h *header) word() int {
	if h.class == elf.ELFCLASS64 {
		return 8
	}
	return 4
}

// phdr is a program header.
type phdr struct {
	typ           elf.ProgType
	flags         elf.ProgFlag
	off, vaddr    uint64
	filesz, memsz uint64
}

// phdr reads one program header (gABI, "Program Header").
func (h *header) phdr(b []byte) (p phdr) {
	p.typ = elf.ProgType(h.order.Uint32(b))
	if h.class == elf.ELFCLASS64 {
		p.flags = elf.ProgFlag(h.order.Uint32(b[4:]))
		p.off, p.vaddr = h.order.Uint64(b[8:]), h.order.Uint64(b[16:])
		p.filesz, p.memsz = h.order.Uint64(b[32:]), h.order.Uint64(b[40:])
		return p
	}
	p.off, p.vaddr = uint64(h.order.Uint32(b[4:])), uint64(h.order.Uint32(b[8:]))
	p.filesz, p.memsz = uint64(h.order.Uint32(b[16:])), uint64(h.order.Uint32(b[20:]))
	p.flags = elf.ProgFlag(h.order.Uint32(b[24:]))
	return p
}

// pnXnum is the e_phnum of a file with more program headers than it can count:
// the real number is sh_info of section header 0 (gABI, PN_XNUM).
const pnXnum = 0xffff

// realPhnum returns the number of program headers. section0 is the first
// section header, which the kernel writes behind all memory: where it is not
// to be had, the first segment tells, whose bytes follow the headers.
func (h *header) realPhnum(section0 []byte, first phdr) int {
	if h.phnum != pnXnum {
		return h.phnum
	}
	if n := h.shInfo(section0); n > 0 {
		return n
	}
	if first.off > h.phoff {
		return int((first.off - h.phoff) / uint64(h.phsize))
	}
	return h.phnum
}

func (h *header) shInfo(b []byte) int {
	switch {
	case h.class == elf.ELFCLASS64 && len(b) >= 64:
		return int(h.order.Uint32(b[44:]))
	case h.class == elf.ELFCLASS32 && len(b) >= 40:
		return int(h.order.Uint32(b[28:]))
	}
	return 0
}
