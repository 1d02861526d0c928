package elfsym

import (
	"cmp"
	"debug/elf"
	"slices"
)

// relocTable is a table of Elf_Rel or Elf_Rela in place.
type relocTable struct {
	data []byte
	rela bool
}

// relocations are the tables whose entries can name stubs.
type relocations struct {
	plt relocTable   // DT_JMPREL
	dyn []relocTable // DT_RELA and DT_REL
	got uint64       // DT_PLTGOT
}

// relocations finds them by PT_DYNAMIC, as the dynamic linker does, or, in a
// static program, by the sections' names.
func (im *Image) relocations() (r relocations) {
	var jmprel, pltrelsz, pltrel, rela, relasz, rel, relsz uint64
	for tag, v := range im.dynamic {
		switch tag {
		case elf.DT_JMPREL:
			jmprel = v
		case elf.DT_PLTRELSZ:
			pltrelsz = v
		case elf.DT_PLTREL:
			pltrel = v
		case elf.DT_RELA:
			rela = v
		case elf.DT_RELASZ:
			relasz = v
		case elf.DT_REL:
			rel = v
		case elf.DT_RELSZ:
			relsz = v
		case elf.DT_PLTGOT:
			r.got = v
		}
	}
	in := func(addr, size uint64) []byte {
		b := im.at(addr)
		return b[:min(size, uint64(len(b)))]
	}
	r.plt = relocTable{in(jmprel, pltrelsz), elf.DynTag(pltrel) == elf.DT_RELA}
	r.dyn = []relocTable{{in(rela, relasz), true}, {in(rel, relsz), false}}
	if len(r.plt.data)+len(r.dyn[0].data)+len(r.dyn[1].data) == 0 {
		section := func(name string) []byte {
			if s := im.section(name); s != nil && s.Type != elf.SHT_NOBITS {
				return im.clip(s.Offset, s.FileSize)
			}
			return nil
		}
		if r.plt = (relocTable{section(".rela.plt"), true}); r.plt.data == nil {
			r.plt = relocTable{section(".rel.plt"), false}
		}
		r.dyn = []relocTable{{section(".rela.dyn"), true}, {section(".rel.dyn"), false}}
	}
	for _, name := range []string{".got.plt", ".got"} {
		if s := im.section(name); s != nil && r.got == 0 {
			r.got = s.Addr
		}
	}
	return r
}

// reloc is a decoded relocation.
type reloc struct {
	offset, addend uint64
	typ, sym       uint32
}

func (im *Image) relocSize(rela bool) int {
	if rela {
		return 3 * int(im.wordSize())
	}
	return 2 * int(im.wordSize())
}

// reloc decodes the first relocation of b, which is long enough. The addend of
// an Elf_Rel is in what it relocates, and not read here.
func (im *Image) reloc(b []byte, rela bool) (r reloc) {
	size := int(im.wordSize())
	r.offset = im.word(b)
	if info := im.word(b[size:]); size == 8 {
		r.typ, r.sym = uint32(info), uint32(info>>32)
	} else {
		r.typ, r.sym = uint32(info&0xff), uint32(info>>8)
	}
	if rela {
		r.addend = im.word(b[2*size:])
	}
	return r
}

// relocOffset returns what the relocation of that index relocates.
func (im *Image) relocOffset(t relocTable, index uint64) (uint64, bool) {
	size := im.relocSize(t.rela)
	if index >= uint64(len(t.data)/size) {
		return 0, false
	}
	return im.reloc(t.data[int(index)*size:], t.rela).offset, true
}

// pltSlot is a slot of the global offset table and the Ref of the symbol that
// the dynamic linker fills it from.
type pltSlot struct {
	slot uint64
	ref  uint32
}

func findSlot(slots []pltSlot, slot uint64) (ref uint32, ok bool) {
	i, ok := slices.BinarySearchFunc(slots, slot, func(s pltSlot, v uint64) int { return cmp.Compare(s.slot, v) })
	if !ok {
		return 0, false
	}
	return slots[i].ref, true
}

// relocSlots lists the slots in [lo, hi] that relocations of a table fill with
// the address of a function that a symbol names, by address.
func (im *Image) relocSlots(t relocTable, lo, hi uint64) []pltSlot {
	cpu := im.plt.cpu
	var syms *table // that relocations refer to
	for _, t := range im.tables {
		if t.name != ".symtab" {
			syms = t
		}
	}
	var slots []pltSlot
	var ifuncs []pltSlot             // ref is an index of slots
	resolvers := map[uint64]uint32{} // by address: Ref of the symbol, or none
	size := im.relocSize(t.rela)
	for b := t.data; len(b) >= size && len(slots) < maxPLTSlots; b = b[size:] {
		if offset := im.word(b); offset < lo || offset > hi {
			continue
		}
		switch r := im.reloc(b, t.rela); r.typ {
		case cpu.JumpSlot, cpu.GlobDat:
			if syms != nil && r.sym != 0 && r.sym < syms.n {
				slots = append(slots, pltSlot{r.offset, uint32(syms.first) + r.sym})
			}
		case cpu.IRelative:
			if w := im.Bytes(r.offset, int(im.wordSize())); !t.rela && len(w) == int(im.wordSize()) {
				r.addend = im.word(w)
			}
			resolvers[r.addend] = none
			ifuncs = append(ifuncs, pltSlot{r.addend, uint32(len(slots))})
			slots = append(slots, pltSlot{r.offset, none})
		}
	}
	im.findResolvers(resolvers)
	for _, f := range ifuncs {
		slots[f.ref].ref = resolvers[f.slot]
	}
	slots = slices.DeleteFunc(slots, func(s pltSlot) bool { return s.ref == none })
	slices.SortStableFunc(slots, func(a, b pltSlot) int { return cmp.Compare(a.slot, b.slot) })
	return slots
}

// findResolvers finds for each address the GNU_IFUNC symbol that has it as its
// value. A function's symbol there would name the resolver, not what it picks.
func (im *Image) findResolvers(refs map[uint64]uint32) {
	if len(refs) == 0 {
		return
	}
	for _, t := range im.tables {
		for i := range t.n {
			s := t.at(i)
			if s.typ() != elf.STT_GNU_IFUNC || !t.candidate(&s) {
				continue
			}
			ref, wanted := refs[s.value]
			if !wanted {
				continue
			}
			if ref != none {
				if old, j := im.table(Ref(ref)); old != t {
					continue // the first table has the say
				} else if b := old.at(j); !t.better(&s, i, &b, j) {
					continue
				}
			}
			refs[s.value] = uint32(t.first) + i
		}
	}
}
