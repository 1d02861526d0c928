package elfsym

import (
	"debug/elf"
	"encoding/binary"
	"testing"
)

// TestVariables finds the defined symbols that begin alike.
func TestVariables(t *testing.T) {
	strs := []byte("\x00v8dbg_a\x00v8dbg_\x00other\x00v8dbg_undefined\x00v8dbg_cut")
	var syms []byte
	add := func(name uint32, shndx elf.SectionIndex, value uint64) {
		b := make([]byte, symSize64)
		binary.LittleEndian.PutUint32(b, name)
		binary.LittleEndian.PutUint16(b[6:], uint16(shndx))
		binary.LittleEndian.PutUint64(b[8:], value)
		syms = append(syms, b...)
	}
	add(1, 3, 0x10)
	add(9, 3, 0x20)
	add(16, 3, 0x30)
	add(22, elf.SHN_UNDEF, 0x40)
	add(39, 3, 0x50)    // its name does not end
	add(1<<20, 3, 0x60) // its name is nowhere
	tab := &table{name: ".dynsym", n: 6, syms: syms, strs: strs, is64: true, order: binary.LittleEndian}
	im := &Image{tables: []*table{tab}}
	got := im.Variables("v8dbg_")
	if len(got) != 2 || got["v8dbg_a"] != 0x10 || got["v8dbg_"] != 0x20 {
		t.Errorf("Variables: %v", got)
	}
}
