package elfsym

import (
	"bytes"
	"debug/elf"

	"github.com/gatedso/bt/internal/guard"
)

const (
	ntGNUBuildID = 3
	maxNotes     = 16 << 20 // bytes of one segment or section that are searched
)

// noteAlign returns what the parts of a note are padded to. The ELF
// specification's 8 bytes for 64-bit files are used by .note.gnu.property only;
// everybody else pads to 4, whatever the alignment says below 8.
func noteAlign(align uint64) uint64 {
	if align == 8 {
		return 8
	}
	return 4
}

// BuildID returns a copy of the NT_GNU_BUILD_ID note's bytes, or nil. Sections
// are asked before segments: the program headers of a separate debug file
// describe the file that it was split from.
func (im *Image) BuildID() (id []byte) {
	guard.Read(func() error {
		for _, s := range im.secs {
			if s.Type == elf.SHT_NOTE && s.Flags&elf.SHF_COMPRESSED == 0 {
				if id = im.findBuildID(noteRange{im.clip(s.Offset, s.FileSize), noteAlign(s.Addralign)}); id != nil {
					return nil
				}
			}
		}
		for _, r := range im.notes {
			if id = im.findBuildID(r); id != nil {
				return nil
			}
		}
		return nil
	})
	return id
}

// findBuildID walks notes: the sizes of name and descriptor, the type, then
// both, each padded.
func (im *Image) findBuildID(r noteRange) []byte {
	for b := r.data[:min(len(r.data), maxNotes)]; len(b) >= 12; {
		nameSize := uint64(im.Order.Uint32(b))
		descSize := uint64(im.Order.Uint32(b[4:]))
		typ := im.Order.Uint32(b[8:])
		desc := pad(12+nameSize, r.align)
		end := desc + descSize
		if end > uint64(len(b)) {
			return nil
		}
		if typ == ntGNUBuildID && nameSize == 4 && descSize > 0 && string(b[12:16]) == "GNU\x00" {
			return bytes.Clone(b[desc:end])
		}
		b = b[min(pad(end, r.align), uint64(len(b))):]
	}
	return nil
}

func pad(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }
