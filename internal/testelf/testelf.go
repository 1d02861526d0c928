// Package testelf writes small ELF files for tests: any class, byte order and
// machine, with or without section headers. It is declarative: fill in a File
// and take its Bytes. Nonsense in a File panics, as only tests use it.
package testelf

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// File describes an ELF file. The zero value of a field is a default where one
// is named. Link-time addresses map to file offsets by the PT_LOAD of Segments
// that holds them, or, where none does, as address minus Base.
type File struct {
	Class   elf.Class   // default ELFCLASS64
	Order   ByteOrder   // default little-endian
	Machine elf.Machine // default EM_X86_64
	Type    elf.Type    // default ET_DYN
	Entry   uint64
	Flags   uint32
	Base    uint64 // link-time address of file offset 0

	Sections []Section // SHF_ALLOC ones lie at their address's file offset
	Symbols  []Symbol  // become .symtab and .strtab
	DynSyms  []Symbol  // become .dynsym, .dynstr, a hash table and .dynamic
	Hash     Hash      // which hash tables DynSyms get
	DynTags  []DynTag  // further entries of the .dynamic that DynSyms make
	BuildID  []byte    // becomes .note.gnu.build-id
	// NoteAlign is the alignment of the build ID's note: 4 (default) or 8.
	NoteAlign int

	// Segments are the program headers. If no PT_LOAD is among them, one that
	// maps the whole loaded part of the file at Base, readable and executable,
	// is put first. PT_DYNAMIC, PT_NOTE and PT_GNU_EH_FRAME are added for
	// .dynamic, the build ID and .eh_frame_hdr.
	Segments []Segment

	NoSectionHeaders bool
}

// ByteOrder is binary.LittleEndian or binary.BigEndian.
type ByteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// Section is a section as its header describes it.
type Section struct {
	Name      string
	Type      elf.SectionType // default SHT_PROGBITS
	Flags     elf.SectionFlag
	Addr      uint64
	Data      []byte
	Size      uint64 // for SHT_NOBITS; otherwise that of Data
	Link      uint32
	Entsize   uint64
	Addralign uint64 // default 1

	off  uint64
	info uint32 // sh_info
}

// Symbol is a symbol table entry. Section names its section; where that is
// empty, Shndx counts (default SHN_UNDEF).
type Symbol struct {
	Name    string
	Value   uint64
	Size    uint64
	Type    elf.SymType
	Bind    elf.SymBind
	Section string
	Shndx   elf.SectionIndex
}

// Segment is a program header. A Memsz of 0 means Filesz.
type Segment struct {
	Type                             elf.ProgType
	Flags                            elf.ProgFlag
	Off, Vaddr, Filesz, Memsz, Align uint64
}

// DynTag is an entry of .dynamic.
type DynTag struct {
	Tag elf.DynTag
	Val uint64
}

// Hash selects the hash tables of the dynamic symbols.
type Hash int

const (
	SysVHash Hash = iota // DT_HASH
	GNUHash              // DT_GNU_HASH; reorders nothing: one bucket holds all
	NoHash
)

// TextFlags are the flags of a section of code.
const TextFlags = elf.SHF_ALLOC | elf.SHF_EXECINSTR

type writer struct {
	File
	out  []byte
	secs []Section // index 0 is the null section
}

// Bytes lays the file out.
func (f File) Bytes() []byte {
	if f.Class == elf.ELFCLASSNONE {
		f.Class = elf.ELFCLASS64
	}
	if f.Order == nil {
		f.Order = binary.LittleEndian
	}
	if f.Machine == elf.EM_NONE {
		f.Machine = elf.EM_X86_64
	}
	if f.Type == elf.ET_NONE {
		f.Type = elf.ET_DYN
	}
	if f.NoteAlign == 0 {
		f.NoteAlign = 4
	}
	w := &writer{File: f, secs: []Section{{Type: elf.SHT_NULL}}}
	w.layout()
	w.emit()
	return w.out
}

func (w *writer) is64() bool { return w.Class == elf.ELFCLASS64 }

// pick returns the 64-bit or the 32-bit variant of a size.
func (w *writer) pick(size64, size32 uint64) uint64 {
	if w.is64() {
		return size64
	}
	return size32
}

// offset turns a link-time address into a file offset.
func (w *writer) offset(addr uint64) uint64 {
	for _, s := range w.Segments {
		if s.Type == elf.PT_LOAD && addr-s.Vaddr < s.Filesz {
			return s.Off + addr - s.Vaddr
		}
	}
	off := addr - w.Base
	if off > 1<<28 {
		panic(fmt.Sprintf("testelf: address %#x is far from base %#x", addr, w.Base))
	}
	return off
}

// put places data at off, and grows the file as needed.
func (w *writer) put(off uint64, data []byte) {
	if need := off + uint64(len(data)); uint64(len(w.out)) < need {
		w.out = append(w.out, make([]byte, need-uint64(len(w.out)))...)
	}
	copy(w.out[off:], data)
}

func alignUp(n, a uint64) uint64 { return (n + a - 1) &^ (a - 1) }

// add appends a section behind all others in the file and returns its index.
func (w *writer) add(s Section) uint32 {
	if s.Type == elf.SHT_NULL {
		s.Type = elf.SHT_PROGBITS
	}
	if s.Addralign == 0 {
		s.Addralign = 8
	}
	s.off = alignUp(uint64(len(w.out)), s.Addralign)
	if s.Flags&elf.SHF_ALLOC != 0 {
		s.Addr = w.Base + s.off
	}
	s.Size = uint64(len(s.Data))
	w.put(s.off, s.Data)
	w.secs = append(w.secs, s)
	return uint32(len(w.secs) - 1)
}

func (w *writer) layout() {
	w.put(0, make([]byte, w.headerSize()))
	for _, s := range w.Sections {
		if s.Type == elf.SHT_NULL {
			s.Type = elf.SHT_PROGBITS
		}
		if s.Addralign == 0 {
			s.Addralign = 1
		}
		switch {
		case s.Type == elf.SHT_NOBITS:
			s.off = uint64(len(w.out))
		case s.Flags&elf.SHF_ALLOC != 0:
			s.Size = uint64(len(s.Data))
			s.off = w.offset(s.Addr)
			w.put(s.off, s.Data)
		default:
			s.Size = uint64(len(s.Data))
			s.off = alignUp(uint64(len(w.out)), s.Addralign)
			w.put(s.off, s.Data)
		}
		w.secs = append(w.secs, s)
	}
	if w.BuildID != nil {
		w.addBuildID()
	}
	if w.DynSyms != nil {
		w.addDynamic()
	}
	w.addSegments()
	if w.Symbols != nil {
		w.addSymbols(".symtab", elf.SHT_SYMTAB, ".strtab", w.Symbols, 0)
	}
}

// headerSize bounds the ELF header and the program headers that may come.
func (w *writer) headerSize() uint64 {
	return w.pick(64, 52) + uint64(len(w.Segments)+4)*w.pick(56, 32)
}

func (w *writer) addBuildID() {
	var note []byte
	note = w.Order.AppendUint32(note, 4)
	note = w.Order.AppendUint32(note, uint32(len(w.BuildID)))
	note = w.Order.AppendUint32(note, 3) // NT_GNU_BUILD_ID
	note = append(note, "GNU\x00"...)
	for len(note)%w.NoteAlign != 0 {
		note = append(note, 0)
	}
	note = append(note, w.BuildID...)
	for len(note)%w.NoteAlign != 0 {
		note = append(note, 0)
	}
	i := w.add(Section{Name: ".note.gnu.build-id", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Data: note, Addralign: uint64(w.NoteAlign)})
	w.segmentFor(elf.PT_NOTE, i)
}

// segmentFor adds a program header that covers section i.
func (w *writer) segmentFor(typ elf.ProgType, i uint32) {
	s := w.secs[i]
	w.Segments = append(w.Segments, Segment{Type: typ, Flags: elf.PF_R, Off: s.off, Vaddr: s.Addr, Filesz: s.Size, Align: s.Addralign})
}

func (w *writer) addSegments() {
	for i, s := range w.secs {
		if s.Name == ".eh_frame_hdr" {
			w.segmentFor(elf.PT_GNU_EH_FRAME, uint32(i))
		}
	}
	for _, s := range w.Segments {
		if s.Type == elf.PT_LOAD {
			return
		}
	}
	size := uint64(len(w.out))
	load := Segment{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Vaddr: w.Base, Filesz: size, Align: 0x1000}
	w.Segments = append([]Segment{load}, w.Segments...)
}
