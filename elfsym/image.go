package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/internal/guard"
)

// Image is one ELF file, mapped or held in memory. Its methods are safe for
// concurrent use, except for Close, which must be the last call of all.
type Image struct {
	Name    string // for messages, as given by the caller
	Machine elf.Machine
	Class   elf.Class
	Order   binary.ByteOrder
	Type    elf.Type
	Entry   uint64 // link-time address

	data   []byte
	mapped bool // data is a mapping of a file: reading it may fault
	secs   []*elf.Section
	loads  []Segment
	dyn    []byte  // PT_DYNAMIC
	ehHdr  Segment // PT_GNU_EH_FRAME, if ehHdr.Filesz is not 0
	notes  []noteRange

	areas  areas
	tables []*table // in the order in which they are asked

	numSyms uint32        // in all tables; also the number of Refs
	scanned atomic.Uint64 // symbols that scans have looked at so far
	indexMu sync.Mutex    // held while the index is being built
	index   atomic.Pointer[index]

	plt linkage

	versionsOnce sync.Once
	versions     versions

	inflateMu sync.Mutex
	inflated  map[string]*inflated
}

// noteRange holds notes whose parts are padded to align bytes.
type noteRange struct {
	data  []byte
	align uint64
}

// New reads an image that is held in memory, which the Image keeps a reference
// to and never writes. The error names the image. An image whose section
// headers cannot be read, such as one copied from a process's memory, is read
// without them.
func New(data []byte, name string) (*Image, error) {
	return newImage(data, name, false)
}

func newImage(data []byte, name string, mapped bool) (im *Image, err error) {
	im = &Image{Name: name, data: data, mapped: mapped}
	err = guard.Read(func() error {
		f, err := parse(data)
		if err != nil {
			return err
		}
		im.load(f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return im, nil
}

// errNotELF is what users read when they name the wrong file.
var errNotELF = errors.New("not an ELF file")

// parse has debug/elf read the headers, and tries once more without section
// headers when these are what it cannot read: they are not part of what is
// loaded into memory, so that e_shoff often points past the end of an image.
func parse(data []byte) (*elf.File, error) {
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil, errNotELF
	}
	f, err := tryParse(bytes.NewReader(data))
	if err == nil {
		return f, nil
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

// load takes over what the headers say, clipped to the bytes that exist.
func (im *Image) load(f *elf.File) {
	im.Machine, im.Class, im.Order, im.Type, im.Entry = f.Machine, f.Class, f.ByteOrder, f.Type, f.Entry
	im.secs = f.Sections
	for _, p := range f.Progs {
		s := Segment{Vaddr: p.Vaddr, Off: p.Off, Filesz: p.Filesz, Memsz: p.Memsz, Flags: p.Flags, Align: p.Align}
		switch p.Type {
		case elf.PT_LOAD:
			im.loads = append(im.loads, s)
		case elf.PT_DYNAMIC:
			im.dyn = im.clip(p.Off, p.Filesz)
		case elf.PT_GNU_EH_FRAME:
			im.ehHdr = s
		case elf.PT_NOTE:
			im.notes = append(im.notes, noteRange{im.clip(p.Off, p.Filesz), noteAlign(p.Align)})
		}
	}
	im.areas = im.findAreas()
	im.tables = im.findTables()
	im.findPLT()
}

// clip returns the part of [off, off+size) that exists in the file.
func (im *Image) clip(off, size uint64) []byte {
	n := uint64(len(im.data))
	if off >= n {
		return nil
	}
	return im.data[off : off+min(size, n-off) : off+min(size, n-off)]
}

// addrMask keeps the bits of an address of this file's class.
func (im *Image) addrMask() uint64 {
	if im.Class == elf.ELFCLASS32 {
		return 1<<32 - 1
	}
	return 1<<64 - 1
}
