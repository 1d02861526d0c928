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

// maxVariables bounds how many symbols Variables returns.
const maxVariables = 1 << 14

// Variables returns the link-time addresses of the dynamic symbols whose names begin with
// prefix, by name, in one pass over the symbols.
func (im *Image) Variables(prefix string) map[string]uint64 {
	values := make(map[string]uint64)
	guard.Read(func() error {
		for _, t := range im.tables {
			if t.name == ".dynsym" {
				t.prefixed([]byte(prefix), values)
			}
		}
		return nil
	})
	return values
}

// prefixed adds the defined symbols whose names begin with prefix.
func (t *table) prefixed(prefix []byte, values map[string]uint64) {
	for i := range t.n {
		s := t.at(i)
		if uint64(s.name) >= uint64(len(t.strs)) || !bytes.HasPrefix(t.strs[s.name:], prefix) || !s.defined() {
			continue
		}
		name, _, ended := bytes.Cut(t.strs[s.name:], []byte{0})
		if !ended || len(values) >= maxVariables {
			continue
		}
		values[string(name)] = s.value
	}
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
