package elfsym

import (
	"bytes"
	"debug/elf"

	"github.com/gatedso/bt/internal/guard"
)

// maxSpellings bounds at how many places of a string table Variable looks for a name.
const maxSpellings = 64

// Variable returns the link-time address of the data object, or of whatever else is
// defined, that has this name: for variables that debuggers look for. With full set
// it looks into .symtab, otherwise into the dynamic symbols. It reads the strings,
// and the symbols only where the name is among them.
func (im *Image) Variable(name string, full bool) (value uint64, ok bool) {
	guard.Read(func() error {
		for _, t := range im.tables {
			if full != (t.name == ".symtab") {
				continue
			}
			if value, ok = t.data([]byte(name + "\x00")); ok {
				break
			}
		}
		return nil
	})
	return value, ok
}

// Exported returns the link-time address of the dynamic symbol that has this name, found by
// the hash table that the dynamic linker uses (.gnu.hash), or, without one, as by Variable.
func (im *Image) Exported(name string) (value uint64, ok bool) {
	h, found := im.Section(".gnu.hash")
	if !found || h.Addr == 0 {
		return im.Variable(name, false)
	}
	guard.Read(func() error {
		for _, t := range im.tables {
			if t.name == ".dynsym" {
				value, ok = t.hashed(h.Data, name, im.Class)
			}
		}
		return nil
	})
	return value, ok
}

// hashed finds a defined symbol by a GNU hash table: four words, a filter of as many
// addresses as the third word tells, buckets, and a chain of hashes for each bucket, whose
// last one is odd.
func (t *table) hashed(table []byte, name string, class elf.Class) (value uint64, ok bool) {
	const head = 16
	if len(table) < head {
		return 0, false
	}
	word := func(i uint64) uint64 { return uint64(t.order.Uint32(table[4*i:])) }
	words := uint64(len(table) / 4)
	buckets, first := word(0), word(1)
	start := head/4 + word(2) // of the buckets
	if class == elf.ELFCLASS64 {
		start += word(2)
	}
	if buckets == 0 || start > words || buckets > words-start {
		return 0, false
	}
	hash := uint32(5381)
	for _, c := range []byte(name) {
		hash = hash*33 + uint32(c)
	}
	chain := start + buckets
	for i := word(start + uint64(hash)%buckets); i >= first && i < uint64(t.n); i++ {
		at := chain + i - first
		if at >= words {
			break
		}
		c := uint32(word(at))
		if c|1 == hash|1 {
			if s := t.at(uint32(i)); s.defined() && t.is(s, name) {
				return s.value, true
			}
		}
		if c&1 != 0 {
			break
		}
	}
	return 0, false
}

// is reports whether a symbol has a name.
func (t *table) is(s symbol, name string) bool {
	if uint64(s.name)+uint64(len(name)) >= uint64(len(t.strs)) {
		return false
	}
	rest := t.strs[s.name:]
	return string(rest[:len(name)]) == name && rest[len(name)] == 0
}

// defined reports whether the symbol is somewhere in the image.
func (s *symbol) defined() bool {
	return s.shndx != uint16(elf.SHN_UNDEF) && s.shndx != uint16(elf.SHN_ABS) && s.shndx != uint16(elf.SHN_COMMON)
}

// data finds a defined symbol whose name ends in the zero byte at the end of name.
func (t *table) data(name []byte) (value uint64, ok bool) {
	var at []uint32
	for from := 0; len(at) < maxSpellings; {
		i := bytes.Index(t.strs[from:], name)
		if i < 0 {
			break
		}
		at = append(at, uint32(from+i))
		from += i + 1
	}
	if at == nil {
		return 0, false
	}
	for i := range t.n {
		s := t.at(i)
		if !s.defined() {
			continue
		}
		for _, off := range at {
			if s.name == off {
				return s.value, true
			}
		}
	}
	return 0, false
}
