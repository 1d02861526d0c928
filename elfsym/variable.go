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
		if s.shndx == uint16(elf.SHN_UNDEF) || s.shndx == uint16(elf.SHN_ABS) || s.shndx == uint16(elf.SHN_COMMON) {
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
