package elfsym

import (
	"debug/elf"
	"encoding/binary"
	"math"

	"github.com/gatedso/bt/internal/arch"
)

// findTables lists the symbol tables in the order in which they are asked.
func (im *Image) findTables() []*table {
	var out []*table
	add := func(name string, syms, strs []byte) {
		t := &table{name: name, strs: strs, is64: im.Class == elf.ELFCLASS64, order: im.Order}
		size := int(im.symSize())
		n := min(len(syms)/size, maxSyms)
		if n < len(syms)/size {
			im.cutTable(name, uint64(len(syms)), uint64(n))
		}
		if n < 2 || len(strs) < 2 { // the first symbol and string are always null
			return
		}
		t.n, t.syms = uint32(n), syms[:n*size]
		t.first = Ref(im.numSyms)
		im.numSyms += t.n
		t.exec = im.execSections()
		abi := arch.MachineOf(im.Machine, im.Class, 0)
		t.lowBit, t.mapping = abi.FuncLowBit, abi.MappingSymbols
		t.opd = im.findDescriptors()
		t.bases = im.sectionBases()
		t.common = t.is64 && !t.lowBit && t.opd.data == nil && t.bases == nil && im.Order.String() == binary.LittleEndian.String()
		out = append(out, t)
	}
	if syms, strs := im.sectionTable(elf.SHT_SYMTAB); syms != nil {
		add(".symtab", syms, strs)
	}
	before := len(out)
	if syms, strs := im.sectionTable(elf.SHT_DYNSYM); syms != nil {
		add(".dynsym", syms, strs)
	}
	if len(out) == before {
		if syms, strs := im.dynamicTable(); syms != nil {
			add("dynamic", syms, strs)
		}
	}
	return out
}

// symSize is the size in bytes of a symbol.
func (im *Image) symSize() uint64 {
	if im.Class == elf.ELFCLASS64 {
		return symSize64
	}
	return symSize32
}

// execSections tells for each section index whether a symbol may be defined
// there, or returns nil where sections cannot tell.
func (im *Image) execSections() []bool {
	var exec []bool
	for i, s := range im.secs {
		if !execSection(s) {
			continue
		}
		if exec == nil {
			exec = make([]bool, len(im.secs))
		}
		exec[i] = true
	}
	return exec
}

// sectionTable returns the first symbol table section of a type, and its
// strings. sh_entsize is not asked: the class decides the size of an entry.
func (im *Image) sectionTable(typ elf.SectionType) (syms, strs []byte) {
	for _, s := range im.secs {
		if s.Type != typ || s.Flags&elf.SHF_COMPRESSED != 0 || int64(s.Link) >= int64(len(im.secs)) {
			continue
		}
		str := im.secs[s.Link]
		if str.Type != elf.SHT_STRTAB || str.Flags&elf.SHF_COMPRESSED != 0 {
			continue
		}
		syms, strs = im.clip(s.Offset, s.FileSize), im.clip(str.Offset, str.FileSize)
		if room := uint64(len(im.data)) - min(s.Offset, uint64(len(im.data))); uint64(len(syms)) < min(s.FileSize, room) {
			im.cutTable(s.Name, s.FileSize, uint64(len(syms))/im.symSize())
		}
		return syms, strs
	}
	return nil, nil
}

// dynamicTable finds the symbol table that PT_DYNAMIC points to.
func (im *Image) dynamicTable() (syms, strs []byte) {
	for _, s := range im.secs {
		if s.Type == elf.SHT_NOBITS && s.Name == ".dynamic" {
			// A separate debug file: its program headers describe the file
			// that it was split from.
			return nil, nil
		}
	}
	var symtab, strtab, strsz, hash, gnuHash uint64
	for tag, v := range im.dynamic {
		switch tag {
		case elf.DT_SYMTAB:
			symtab = v
		case elf.DT_STRTAB:
			strtab = v
		case elf.DT_STRSZ:
			strsz = v
		case elf.DT_HASH:
			hash = v
		case elf.DT_GNU_HASH:
			gnuHash = v
		}
	}
	if symtab == 0 || strtab == 0 {
		return nil, nil
	}
	n := uint64(0)
	if hash != 0 {
		n = im.hashCount(im.at(hash))
	}
	if n == 0 && gnuHash != 0 {
		n = im.gnuHashCount(im.at(gnuHash))
	}
	syms, strs = im.at(symtab), im.at(strtab)
	return syms[:min(uint64(len(syms)), n*im.symSize())], strs[:min(uint64(len(strs)), strsz)]
}

// dynamic yields the entries of PT_DYNAMIC.
func (im *Image) dynamic(yield func(tag elf.DynTag, v uint64) bool) {
	size := im.wordSize()
	for b := im.dyn; uint64(len(b)) >= 2*size; b = b[2*size:] {
		tag := elf.DynTag(im.word(b))
		if tag == elf.DT_NULL || !yield(tag, im.word(b[size:])) {
			return
		}
	}
}

func (im *Image) wordSize() uint64 {
	if im.Class == elf.ELFCLASS64 {
		return 8
	}
	return 4
}

// word reads an address-sized word from the start of b, which is long enough.
func (im *Image) word(b []byte) uint64 {
	if im.Class == elf.ELFCLASS64 {
		return im.Order.Uint64(b)
	}
	return uint64(im.Order.Uint32(b))
}

// hashCount reads the number of symbols from a DT_HASH table: nchain, its second
// word. The words have 4 bytes on nearly all machines.
func (im *Image) hashCount(b []byte) uint64 {
	if arch.MachineOf(im.Machine, im.Class, 0).WideHash {
		if len(b) < 16 {
			return 0
		}
		return min(im.Order.Uint64(b[8:]), math.MaxUint32)
	}
	if len(b) < 8 {
		return 0
	}
	return uint64(im.Order.Uint32(b[4:]))
}

// gnuHashCount finds the number of symbols from a DT_GNU_HASH table: the chain
// that begins last ends with the last symbol.
// Layout: nbuckets, symoffset, bloom_size, bloom_shift, Bloom filter words,
// buckets, chains (one word a symbol from symoffset on; bit 0 ends a chain).
func (im *Image) gnuHashCount(b []byte) uint64 {
	if len(b) < 16 {
		return 0
	}
	nbuckets, symoffset, bloom := uint64(im.Order.Uint32(b)), uint64(im.Order.Uint32(b[4:])), uint64(im.Order.Uint32(b[8:]))
	start := 16 + bloom*im.wordSize()
	end := start + nbuckets*4
	if end > uint64(len(b)) {
		return 0
	}
	last := uint64(0)
	for p := start; p < end; p += 4 {
		last = max(last, uint64(im.Order.Uint32(b[p:])))
	}
	if last < symoffset {
		return symoffset // nothing is hashed: undefined symbols only
	}
	for p := end + (last-symoffset)*4; p+4 <= uint64(len(b)); p += 4 {
		last++
		if im.Order.Uint32(b[p:])&1 != 0 {
			return last
		}
	}
	return 0
}
