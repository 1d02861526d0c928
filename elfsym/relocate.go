package elfsym

import (
	"debug/elf"
	"slices"
	"strings"

	"github.com/gatedso/bt/internal/arch"
)

// layOut gives the code of an object file that is not linked (ET_REL: .o files, kernel
// modules) addresses, where the file has none: .text begins at 0, so that offsets in it
// are addresses, as addr2line takes them; the other sections follow in their order.
func (im *Image) layOut() {
	if im.Type != elf.ET_REL {
		return
	}
	code := make([]*elf.Section, 0, len(im.secs))
	for _, s := range im.secs {
		s.Addr = 0
		if execSection(s) {
			code = append(code, s)
		}
	}
	slices.SortStableFunc(code, func(a, b *elf.Section) int { return first(b) - first(a) })
	const most = 1 << 32 // addresses of code, see findAreas
	at := uint64(0)
	for _, s := range code {
		if align := s.Addralign; align > 1 && align <= most && align&(align-1) == 0 {
			at = (at + align - 1) &^ (align - 1)
		}
		s.Addr = at
		at = min(at+min(s.Size, most), most)
	}
}

// first is 1 for the section that is laid out before others.
func first(s *elf.Section) int {
	if s.Name == ".text" {
		return 1
	}
	return 0
}

// sectionBases lists where layOut has put the sections, which symbols count from; nil
// for a linked file, whose symbols are addresses.
func (im *Image) sectionBases() []uint64 {
	if im.Type != elf.ET_REL {
		return nil
	}
	bases := make([]uint64, len(im.secs))
	for i, s := range im.secs {
		bases[i] = s.Addr
	}
	return bases
}

// relocated returns what the debug section sec holds once its relocations are applied:
// a copy, which is made once. Linked files keep such relocations sometimes, applied.
func (im *Image) relocated(sec *elf.Section, data []byte) []byte {
	if im.Type != elf.ET_REL || len(data) == 0 || !strings.HasPrefix(sec.Name, ".debug_") && !strings.HasPrefix(sec.Name, ".zdebug_") {
		return data
	}
	im.inflateMu.Lock()
	defer im.inflateMu.Unlock()
	if done, ok := im.relocatedData[sec]; ok {
		return done
	}
	out := data
	for _, r := range im.secs {
		if (r.Type != elf.SHT_RELA && r.Type != elf.SHT_REL) || r.Flags&elf.SHF_COMPRESSED != 0 ||
			uint64(r.Info) >= uint64(len(im.secs)) || im.secs[r.Info] != sec {
			continue
		}
		if &out[0] == &data[0] {
			out = slices.Clone(data)
		}
		im.relocate(out, im.clip(r.Offset, r.FileSize), r.Type == elf.SHT_RELA)
	}
	if im.relocatedData == nil {
		im.relocatedData = make(map[*elf.Section][]byte)
	}
	im.relocatedData[sec] = out
	return out
}

// relocate applies a list of relocations to data. Those of kinds that do not occur in
// debug sections, or that lie outside, are left out.
func (im *Image) relocate(data, list []byte, rela bool) {
	var syms *table
	for _, t := range im.tables {
		if t.name == ".symtab" {
			syms = t
		}
	}
	size := im.relocSize(rela)
	for ; len(list) >= size; list = list[size:] {
		r := im.reloc(list, rela)
		width, relative := arch.FrameReloc(im.Machine, r.typ)
		if width == 0 || r.offset > uint64(len(data)) || uint64(len(data))-r.offset < uint64(width) {
			continue
		}
		field := data[r.offset:][:width]
		value := r.addend
		if !rela {
			value = im.field(field)
		}
		if syms != nil && r.sym < syms.n {
			value += syms.at(r.sym).value
		}
		if relative {
			value -= r.offset
		}
		if width == 8 {
			im.Order.PutUint64(field, value)
		} else {
			im.Order.PutUint32(field, uint32(value))
		}
	}
}

// field reads a number of four or eight bytes.
func (im *Image) field(b []byte) uint64 {
	if len(b) == 8 {
		return im.Order.Uint64(b)
	}
	return uint64(im.Order.Uint32(b))
}
