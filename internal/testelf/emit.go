package testelf

import (
	"debug/elf"
	"fmt"
)

// addSymbols writes a symbol table and its string table.
func (w *writer) addSymbols(name string, typ elf.SectionType, strName string, syms []Symbol, flags elf.SectionFlag) (symtab, strtab uint32) {
	str := []byte{0}
	data := make([]byte, w.pick(24, 16)) // the null symbol
	locals := uint32(1)
	for i, s := range syms {
		var nameOff uint32
		if s.Name != "" {
			nameOff = uint32(len(str))
			str = append(append(str, s.Name...), 0)
		}
		if s.Bind == elf.STB_LOCAL {
			locals = uint32(i + 2)
		}
		data = w.appendSymbol(data, s, nameOff)
	}
	strtab = w.add(Section{Name: strName, Type: elf.SHT_STRTAB, Flags: flags, Data: str, Addralign: 1})
	symtab = w.add(Section{Name: name, Type: typ, Flags: flags, Data: data, Link: strtab, Entsize: w.pick(24, 16)})
	w.secs[symtab].info = locals
	return symtab, strtab
}

func (w *writer) appendSymbol(data []byte, s Symbol, nameOff uint32) []byte {
	o := w.Order
	info := elf.ST_INFO(s.Bind, s.Type)
	shndx := uint16(s.Shndx)
	if s.Section != "" {
		shndx = uint16(w.index(s.Section))
	}
	data = o.AppendUint32(data, nameOff)
	if w.is64() {
		data = append(data, info, 0)
		data = o.AppendUint16(data, shndx)
		data = o.AppendUint64(data, s.Value)
		return o.AppendUint64(data, s.Size)
	}
	data = o.AppendUint32(data, uint32(s.Value))
	data = o.AppendUint32(data, uint32(s.Size))
	data = append(data, info, 0)
	return o.AppendUint16(data, shndx)
}

// index returns the section index of name.
func (w *writer) index(name string) uint32 {
	for i, s := range w.secs {
		if i > 0 && s.Name == name {
			return uint32(i)
		}
	}
	panic(fmt.Sprintf("testelf: no section %q", name))
}

// addDynamic writes the dynamic symbols and what PT_DYNAMIC needs to find them.
func (w *writer) addDynamic() {
	symtab, strtab := w.addSymbols(".dynsym", elf.SHT_DYNSYM, ".dynstr", w.DynSyms, elf.SHF_ALLOC)
	n := uint32(len(w.DynSyms) + 1)
	o := w.Order
	tags := [][2]uint64{
		{uint64(elf.DT_SYMTAB), w.secs[symtab].Addr},
		{uint64(elf.DT_STRTAB), w.secs[strtab].Addr},
		{uint64(elf.DT_STRSZ), w.secs[strtab].Size},
		{uint64(elf.DT_SYMENT), w.pick(24, 16)},
	}
	switch w.Hash {
	case SysVHash:
		// One bucket whose chain runs through all symbols.
		var h []byte
		h = o.AppendUint32(h, 1)
		h = o.AppendUint32(h, n)
		h = o.AppendUint32(h, min(1, n-1))
		h = o.AppendUint32(h, 0)
		for i := uint32(1); i < n; i++ {
			h = o.AppendUint32(h, (i+1)%n)
		}
		i := w.add(Section{Name: ".hash", Type: elf.SHT_HASH, Flags: elf.SHF_ALLOC, Data: h, Link: symtab, Entsize: 4})
		tags = append(tags, [2]uint64{uint64(elf.DT_HASH), w.secs[i].Addr})
	case GNUHash:
		var h []byte
		h = o.AppendUint32(h, 1) // buckets
		h = o.AppendUint32(h, 1) // first hashed symbol
		h = o.AppendUint32(h, 1) // words of the Bloom filter
		h = o.AppendUint32(h, 0) // its shift
		for range w.pick(8, 4) {
			h = append(h, 0xff)
		}
		h = o.AppendUint32(h, min(1, n-1))
		for i := uint32(1); i < n; i++ {
			hash := gnuHash(w.DynSyms[i-1].Name) &^ 1
			if i == n-1 {
				hash |= 1 // end of the chain
			}
			h = o.AppendUint32(h, hash)
		}
		i := w.add(Section{Name: ".gnu.hash", Type: elf.SHT_GNU_HASH, Flags: elf.SHF_ALLOC, Data: h, Link: symtab})
		tags = append(tags, [2]uint64{uint64(elf.DT_GNU_HASH), w.secs[i].Addr})
	}
	for _, t := range w.DynTags {
		tags = append(tags, [2]uint64{uint64(t.Tag), t.Val})
	}
	tags = append(tags, [2]uint64{uint64(elf.DT_NULL), 0})
	var dyn []byte
	for _, t := range tags {
		dyn = w.appendWord(w.appendWord(dyn, t[0]), t[1])
	}
	i := w.add(Section{Name: ".dynamic", Type: elf.SHT_DYNAMIC, Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Data: dyn, Link: strtab, Entsize: w.pick(16, 8)})
	w.segmentFor(elf.PT_DYNAMIC, i)
}

func gnuHash(name string) uint32 {
	h := uint32(5381)
	for i := range len(name) {
		h = h*33 + uint32(name[i])
	}
	return h
}

// appendWord appends an address-sized word.
func (w *writer) appendWord(b []byte, v uint64) []byte {
	if w.is64() {
		return w.Order.AppendUint64(b, v)
	}
	return w.Order.AppendUint32(b, uint32(v))
}

// emit writes the section headers, the program headers and the ELF header.
func (w *writer) emit() {
	var shoff uint64
	if !w.NoSectionHeaders {
		shoff = w.sectionHeaders()
	}
	o := w.Order
	var ph []byte
	for _, s := range w.Segments {
		if s.Memsz == 0 {
			s.Memsz = s.Filesz
		}
		ph = o.AppendUint32(ph, uint32(s.Type))
		if w.is64() {
			ph = o.AppendUint32(ph, uint32(s.Flags))
		}
		for _, v := range []uint64{s.Off, s.Vaddr, s.Vaddr, s.Filesz, s.Memsz} {
			ph = w.appendWord(ph, v)
		}
		if !w.is64() {
			ph = o.AppendUint32(ph, uint32(s.Flags))
		}
		ph = w.appendWord(ph, s.Align)
	}
	w.put(w.pick(64, 52), ph)

	data := elf.ELFDATA2LSB
	if o.String() == "BigEndian" {
		data = elf.ELFDATA2MSB
	}
	h := []byte(elf.ELFMAG)
	h = append(h, byte(w.Class), byte(data), byte(elf.EV_CURRENT))
	h = append(h, make([]byte, 16-len(h))...)
	h = o.AppendUint16(h, uint16(w.Type))
	h = o.AppendUint16(h, uint16(w.Machine))
	h = o.AppendUint32(h, uint32(elf.EV_CURRENT))
	h = w.appendWord(h, w.Entry)
	h = w.appendWord(h, w.pick(64, 52)) // e_phoff
	h = w.appendWord(h, shoff)
	h = o.AppendUint32(h, w.Flags)
	h = o.AppendUint16(h, uint16(w.pick(64, 52)))
	h = o.AppendUint16(h, uint16(w.pick(56, 32)))
	h = o.AppendUint16(h, uint16(len(w.Segments)))
	h = o.AppendUint16(h, uint16(w.pick(64, 40)))
	if w.NoSectionHeaders {
		h = append(h, 0, 0, 0, 0)
	} else {
		h = o.AppendUint16(h, uint16(len(w.secs)))
		h = o.AppendUint16(h, uint16(len(w.secs)-1)) // .shstrtab is the last
	}
	w.put(0, h)
}

// sectionHeaders writes .shstrtab and the section headers, and returns where.
func (w *writer) sectionHeaders() uint64 {
	names := []byte{0}
	at := make([]uint32, len(w.secs)+1)
	for i, s := range append(w.secs[1:len(w.secs):len(w.secs)], Section{Name: ".shstrtab"}) {
		at[i+1] = uint32(len(names))
		names = append(append(names, s.Name...), 0)
	}
	w.add(Section{Name: ".shstrtab", Type: elf.SHT_STRTAB, Data: names, Addralign: 1})

	o := w.Order
	var sh []byte
	for i, s := range w.secs {
		sh = o.AppendUint32(sh, at[i])
		sh = o.AppendUint32(sh, uint32(s.Type))
		for _, v := range []uint64{uint64(s.Flags), s.Addr, s.off, s.Size} {
			sh = w.appendWord(sh, v)
		}
		sh = o.AppendUint32(sh, s.Link)
		sh = o.AppendUint32(sh, s.info)
		sh = w.appendWord(sh, s.Addralign)
		sh = w.appendWord(sh, s.Entsize)
	}
	shoff := alignUp(uint64(len(w.out)), 8)
	w.put(shoff, sh)
	return shoff
}
