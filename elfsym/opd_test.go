package elfsym

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

const opdAt = 0x2800

// opdFile is a PowerPC64 file of the first ABI: the values of its functions'
// symbols are the addresses of descriptors.
func opdFile(order testelf.ByteOrder) testelf.File {
	var opd []byte
	for _, code := range []uint64{text, text + 0x40, text + 0x80, 0x9999999, ^uint64(0)} {
		opd = order.AppendUint64(opd, code)
		opd = order.AppendUint64(opd, 0x9000) // TOC
		opd = order.AppendUint64(opd, 0)      // environment
	}
	opd = append(opd, 0, 0, 0, 0) // half an address
	f := testFile([]testelf.Symbol{
		sy("f", opdAt, 0x20, ".opd"),
		sy("g", opdAt+0x18, 0x10, ".opd", elf.STB_LOCAL),
		sy("__g", opdAt+0x18, 0x10, ".opd"),
		sy("ifunc", opdAt+0x30, 0, ".opd", elf.STT_GNU_IFUNC),
		sy("nowhere", opdAt+0x48, 8, ".opd"),
		sy("wraps", opdAt+0x60, 8, ".opd"),
		sy("cut", opdAt+0x78, 8, ".opd"),
		sy("behind", opdAt+0x90, 8, ".opd"),
		sy("undefined", opdAt, 8, elf.SHN_UNDEF),
		sy("absolute", opdAt, 8, elf.SHN_ABS),
		sy("table", opdAt+0x18, 8, ".opd", elf.STT_OBJECT),
		sy("code", text+0x60, 0x10), // as the linker's own stubs are
	}, nil)
	f.Machine, f.Order = elf.EM_PPC64, order
	f.Sections = append(f.Sections, testelf.Section{Name: ".opd", Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Addr: opdAt, Data: opd})
	return f
}

func TestFunctionDescriptors(t *testing.T) {
	want := map[uint64]string{
		text: "f+0x0", text + 0x1f: "f+0x1f", text + 0x20: "-", text + 0x4f: "__g+0xf", text + 0x50: "-",
		text + 0x60: "code+0x0", text + 0x70: "-", text + 0x88: "ifunc+0x8", opdAt: "-", opdAt + 0x18: "-",
	}
	for _, order := range []testelf.ByteOrder{binary.BigEndian, binary.LittleEndian} {
		b := opdFile(order).Bytes()
		for addr, want := range want {
			if got := lookups(t, b, addr); got != want {
				t.Errorf("%v: %#x: %s, want %s", order, addr, got, want)
			}
		}
	}

	// Elsewhere .opd is a section as any other.
	f := opdFile(binary.LittleEndian)
	f.Machine = elf.EM_X86_64
	if got := lookups(t, f.Bytes(), text); got != "-" {
		t.Errorf("x86-64: %s", got)
	}
	// What stands there is to be relocated.
	f = opdFile(binary.BigEndian)
	f.Type = elf.ET_REL
	if got := lookups(t, f.Bytes(), text); got != "-" {
		t.Errorf("relocatable: %s", got)
	}
}

// A separate debug file has the symbols, but not the descriptors.
func TestTakeDescriptors(t *testing.T) {
	main := mustNew(t, opdFile(binary.BigEndian))
	split := opdFile(binary.BigEndian)
	opd := &split.Sections[len(split.Sections)-1]
	opd.Type, opd.Size, opd.Data = elf.SHT_NOBITS, uint64(len(opd.Data)), nil
	name := func(im *Image, addr uint64) string {
		s, ok := im.Lookup(addr)
		if !ok {
			return "-"
		}
		return fmt.Sprintf("%s+%#x", s.Name, addr-s.Value)
	}
	debug := mustNew(t, split)
	if got := name(debug, text+4); got != "-" {
		t.Errorf("by itself: %s", got)
	}
	debug = mustNew(t, split)
	debug.TakeDescriptors(main)
	for addr, want := range map[uint64]string{text + 4: "f+0x4", text + 0x44: "__g+0x4", text + 0x64: "code+0x4"} {
		if got := name(debug, addr); got != want {
			t.Errorf("%#x: %s, want %s", addr, got, want)
		}
	}
	// Not where the section lies elsewhere, nor where there is none.
	opd.Addr += 8
	for _, f := range []testelf.File{split, testFile([]testelf.Symbol{sy("f", text, 8)}, nil)} {
		debug = mustNew(t, f)
		before := name(debug, text)
		debug.TakeDescriptors(main)
		if got := name(debug, text); got != before {
			t.Errorf("%s, before %s", got, before)
		}
	}
}
