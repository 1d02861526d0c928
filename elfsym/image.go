package elfsym

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
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
	holes  []hole
	cut    string // see Cut
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
	// relocatedData are debug sections of a file that is not linked, see relocated.
	relocatedData map[*elf.Section][]byte
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
	return newImage(data, name, false, nil)
}

func newImage(data []byte, name string, mapped bool, holes []hole) (im *Image, err error) {
	im = &Image{Name: name, data: data, mapped: mapped, holes: holes}
	err = guard.Read(func() error {
		f, err := im.parse()
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
	im.layOut()
	im.areas = im.findAreas()
	im.tables = im.findTables()
	im.findPLT()
}

// clip returns the part of [off, off+size) that exists in the file, up to a hole.
func (im *Image) clip(off, size uint64) []byte {
	n := uint64(len(im.data))
	if off >= n {
		return nil
	}
	size = im.upToHole(off, min(size, n-off))
	return im.data[off : off+size : off+size]
}

// addrMask keeps the bits of an address of this file's class.
func (im *Image) addrMask() uint64 {
	if im.Class == elf.ELFCLASS32 {
		return 1<<32 - 1
	}
	return 1<<64 - 1
}
