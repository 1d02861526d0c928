package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/arch/plt"
	"github.com/gatedso/bt/internal/testelf"
)

// Link-time addresses of the synthetic files.
const (
	pltText = 0x400
	pltCode = 0x800
	pltGOT  = 0x1000
)

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func words(insns ...uint32) (out []byte) {
	for _, w := range insns {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// ripJump is jmp *slot(%rip) where the instruction ends at end.
func ripJump(slot, end uint32) []byte { return append([]byte{0xff, 0x25}, le32(slot-end)...) }

// TestPLTStub decodes stubs as the ABIs' documents and the linkers have them;
// code lies at pltCode, its slot is the second one.
func TestPLTStub(t *testing.T) {
	const slot = pltGOT + 8
	endbr := []byte{0xf3, 0x0f, 0x1e, 0xfa}
	endbr32 := []byte{0xf3, 0x0f, 0x1e, 0xfb}
	push := func(n uint32) []byte { return append([]byte{0x68}, le32(n)...) }
	jump := func(from uint32) []byte { return append([]byte{0xe9}, le32(pltCode-0x10-(from+5))...) }
	bnd := []byte{0xf2}
	for _, tc := range []struct {
		name    string
		machine elf.Machine
		code    []byte
		want    string
	}{
		{"lazy", elf.EM_X86_64, join(ripJump(slot, pltCode+6), push(3), jump(pltCode+11)), "16 slot 0x1008"},
		{"non-lazy", elf.EM_X86_64, join(ripJump(slot, pltCode+6), []byte{0x66, 0x90}), "8 slot 0x1008"},
		{"non-lazy, cut", elf.EM_X86_64, ripJump(slot, pltCode+6), "8 slot 0x1008"},
		{"IBT, pushes", elf.EM_X86_64, join(endbr, push(3), jump(pltCode+9), []byte{0x66, 0x90}), "16 index 3 of 0x7f0"},
		{"IBT and bnd, pushes", elf.EM_X86_64, join(endbr, push(3), bnd, jump(pltCode+10), []byte{0x90}), "16 index 3 of 0x7f0"},
		{"IBT, jumps", elf.EM_X86_64, join(endbr, ripJump(slot, pltCode+10), make([]byte, 6)), "16 slot 0x1008"},
		{"IBT and bnd, jumps", elf.EM_X86_64, join(endbr, bnd, ripJump(slot, pltCode+11), make([]byte, 5)), "16 slot 0x1008"},
		{"bnd, pushes", elf.EM_X86_64, join(push(3), bnd, jump(pltCode+6), make([]byte, 5)), "16 index 3 of 0x7f0"},
		{"bnd, jumps", elf.EM_X86_64, join(bnd, ripJump(slot, pltCode+7), []byte{0x90}), "8 slot 0x1008"},
		{"mold", elf.EM_X86_64, join(endbr, []byte{0x41, 0xbb}, le32(3), ripJump(slot, pltCode+16)), "16 slot 0x1008"},
		{"common part", elf.EM_X86_64, join([]byte{0xff, 0x35}, le32(8), ripJump(slot, pltCode+12), []byte{0x0f, 0x1f, 0x40, 0}), "-"},
		{"cut jump", elf.EM_X86_64, ripJump(slot, pltCode+6)[:5], "-"},
		{"cut push", elf.EM_X86_64, push(3), "-"},
		{"endbr64 alone", elf.EM_X86_64, endbr, "-"},
		{"empty", elf.EM_X86_64, nil, "-"},

		{"absolute", elf.EM_386, join([]byte{0xff, 0x25}, le32(slot), push(24), jump(pltCode+11)), "16 slot 0x1008 index 3"},
		{"relative", elf.EM_386, join([]byte{0xff, 0xa3}, le32(8), push(24), jump(pltCode+11)), "16 GOT+0x8 index 3"},
		{"relative, below", elf.EM_386, join([]byte{0xff, 0xa3}, le32(^uint32(7)), []byte{0x66, 0x90}), "8 GOT+0xfffffff8"},
		{"IBT, pushes", elf.EM_386, join(endbr32, push(24), jump(pltCode+9), []byte{0x66, 0x90}), "16 index 3 of 0x7f0"},
		{"IBT, jumps", elf.EM_386, join(endbr32, []byte{0xff, 0xa3}, le32(8), make([]byte, 6)), "16 GOT+0x8"},
		{"mold", elf.EM_386, join(endbr32, []byte{0xb9}, le32(24), []byte{0xff, 0xa3}, le32(8)), "16 GOT+0x8 index 3"},

		{"plain", elf.EM_AARCH64, words(0xb0000010, 0xf9400611, 0x91002210, 0xd61f0220), "16 slot 0x1008"},
		{"BTI", elf.EM_AARCH64, words(0xd503245f, 0xb0000010, 0xf9400611, 0x91002210, 0xd61f0220, 0xd503201f), "24 slot 0x1008"},
		{"PAC", elf.EM_AARCH64, words(0xb0000010, 0xf9400611, 0x91002210, 0xd503219f, 0xd61f0220, 0xd503201f), "24 slot 0x1008"},
		{"BTI and PAC", elf.EM_AARCH64, words(0xd503245f, 0xb0000010, 0xf9400611, 0x91002210, 0xd503219f, 0xd61f0220), "24 slot 0x1008"},
		{"no add", elf.EM_AARCH64, words(0xb0000010, 0xf9400611, 0xd61f0220, 0xd503201f), "16 slot 0x1008"},
		{"page below", elf.EM_AARCH64, words(0xf0fffff0, 0xf9400611, 0x91002210, 0xd61f0220), "16 slot 0xfffffffffffff008"},
		{"far page", elf.EM_AARCH64, words(0x90080010, 0xf9400611, 0x91002210, 0xd61f0220), "16 slot 0x10000008"},
		{"common part", elf.EM_AARCH64, words(0xa9bf7bf0, 0xb0000010, 0xf9400611, 0x91002210, 0xd61f0220), "-"},
		{"other register", elf.EM_AARCH64, words(0xb0000010, 0xf9400612, 0x91002210, 0xd61f0240), "-"},
		{"cut", elf.EM_AARCH64, words(0xb0000010, 0xf9400611), "-"},
	} {
		im := &Image{Class: elf.ELFCLASS64, plt: linkage{cpu: plt.For(tc.machine)}}
		if tc.machine == elf.EM_386 {
			im.Class = elf.ELFCLASS32
		}
		got := "-"
		if j, ok := im.decodeStub(tc.code, pltCode); ok {
			got = fmt.Sprint(j.Size)
			if j.Relative {
				got += fmt.Sprintf(" GOT+%#x", j.Slot)
			} else if j.Slotted {
				got += fmt.Sprintf(" slot %#x", j.Slot)
			}
			if j.Indexed {
				got += fmt.Sprintf(" index %d", j.Index)
			}
			if !j.Slotted {
				got += fmt.Sprintf(" of %#x", j.Common)
			}
		}
		if got != tc.want {
			t.Errorf("%v, %s: %s, want %s", tc.machine, tc.name, got, tc.want)
		}
	}
}

// pltFile has stubs for the symbols a, b (through .rela.dyn) and c, whose
// relocation is IRELATIVE, as relocations say.
func pltFile(machine elf.Machine, bare bool) testelf.File {
	f := testelf.File{Machine: machine, Class: elf.ELFCLASS64, NoSectionHeaders: bare}
	rel := func(slot uint64, sym, typ uint32) []byte {
		if machine == elf.EM_386 {
			return append(le32(uint32(slot)), le32(sym<<8|typ)...)
		}
		r := binary.LittleEndian.AppendUint64(nil, slot)
		r = binary.LittleEndian.AppendUint64(r, uint64(sym)<<32|uint64(typ))
		return binary.LittleEndian.AppendUint64(r, pltText)
	}
	var code []byte
	word := uint64(8)
	types := plt.For(machine)
	switch machine {
	case elf.EM_X86_64:
		for i := range uint32(3) {
			code = join(code, ripJump(pltGOT+8*i, pltCode+8*i+6), []byte{0x66, 0x90})
		}
	case elf.EM_386:
		f.Class, word = elf.ELFCLASS32, 4
		for i := range uint32(3) {
			code = join(code, []byte{0xff, 0xa3}, le32(4*i), []byte{0x66, 0x90})
		}
	case elf.EM_AARCH64:
		for i := range uint32(3) {
			code = append(code, words(0xb0000010, 0xf9400211+i<<10, 0x91000210, 0xd61f0220)...)
		}
	}
	got := make([]byte, 3*word)
	copy(got[2*word:], le32(pltText)) // the addend of c in an Elf_Rel
	jmprel := join(rel(pltGOT, 1, types.JumpSlot), rel(pltGOT+2*word, 0, types.IRelative))
	dyn := rel(pltGOT+word, 2, types.GlobDat)
	name, typ, tag := ".rela", elf.SHT_RELA, elf.DT_RELA
	if machine == elf.EM_386 {
		name, typ, tag = ".rel", elf.SHT_REL, elf.DT_REL
	}
	f.Sections = []testelf.Section{
		{Name: name + ".plt", Type: typ, Flags: elf.SHF_ALLOC, Addr: 0x300, Data: jmprel},
		{Name: name + ".dyn", Type: typ, Flags: elf.SHF_ALLOC, Addr: 0x380, Data: dyn},
		{Name: ".text", Flags: testelf.TextFlags, Addr: pltText, Data: make([]byte, 16)},
		{Name: ".plt", Flags: testelf.TextFlags, Addr: pltCode, Data: code},
		{Name: ".got", Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Addr: pltGOT, Data: got},
	}
	f.DynSyms = []testelf.Symbol{
		{Name: "a@V1", Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC},
		{Name: "b", Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC},
		{Name: "resolver", Value: pltText, Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC, Section: ".text"},
		{Name: "c", Value: pltText, Bind: elf.STB_GLOBAL, Type: elf.STT_GNU_IFUNC, Section: ".text"},
	}
	if bare {
		sizeTag := elf.DT_RELASZ
		if machine == elf.EM_386 {
			sizeTag = elf.DT_RELSZ
		}
		f.DynTags = []testelf.DynTag{
			{Tag: elf.DT_JMPREL, Val: 0x300}, {Tag: elf.DT_PLTRELSZ, Val: uint64(len(jmprel))}, {Tag: elf.DT_PLTREL, Val: uint64(tag)},
			{Tag: tag, Val: 0x380}, {Tag: sizeTag, Val: uint64(len(dyn))}, {Tag: elf.DT_PLTGOT, Val: pltGOT},
		}
	}
	return f
}

var pltTestMachines = []elf.Machine{elf.EM_X86_64, elf.EM_386, elf.EM_AARCH64}

// stubNames asks for the whole text and lists the answers.
func stubNames(t *testing.T, im *Image) string {
	t.Helper()
	var out []string
	for addr := uint64(pltText); addr < pltCode+0x100; {
		name, start, size, ok := im.PLT(addr)
		if !ok {
			addr++
			continue
		}
		if start != addr || size == 0 {
			t.Fatalf("%#x: %s at %#x+%d", addr, name, start, size)
		}
		out = append(out, fmt.Sprintf("%s+%d", name, size))
		addr += size
	}
	return strings.Join(out, " ")
}

func TestPLTSynthetic(t *testing.T) {
	for _, machine := range pltTestMachines {
		want := "a+8 b+8 c+8"
		if machine == elf.EM_AARCH64 {
			want = "a+16 b+16 c+16"
		}
		if got := stubNames(t, mustNew(t, pltFile(machine, false))); got != want {
			t.Errorf("%v: %s, want %s", machine, got, want)
		}
		// Only the slots of DT_JMPREL prove that code is a stub.
		want = strings.Join([]string{strings.Fields(want)[0], strings.Fields(want)[2]}, " ")
		if got := stubNames(t, mustNew(t, pltFile(machine, true))); got != want {
			t.Errorf("%v without section headers: %s, want %s", machine, got, want)
		}
	}
}

// TestPLTLies changes one thing of a good file.
func TestPLTLies(t *testing.T) {
	const rela = 24
	put32 := func(section, off int, v uint32) func(f *testelf.File) {
		return func(f *testelf.File) { binary.LittleEndian.PutUint32(f.Sections[section].Data[off:], v) }
	}
	for _, tc := range []struct {
		name string
		lie  func(f *testelf.File)
		want string
	}{
		{"symbol out of range", put32(0, 12, 5), "b+8 c+8"},
		{"symbol far out of range", put32(0, 12, 1<<32-1), "b+8 c+8"},
		{"no symbol", put32(0, 12, 0), "b+8 c+8"},
		{"another type", put32(0, 8, 1), "b+8 c+8"},
		{"slot elsewhere", put32(0, 0, pltGOT+0x100), "b+8 c+8"},
		{"two relocations of a slot: the first counts", put32(0, rela, pltGOT), "a+8 b+8"},
		{"resolver without a symbol", put32(0, rela+16, pltText+1), "a+8 b+8"},
		{"a function is no resolver", func(f *testelf.File) { f.DynSyms[3].Type = elf.STT_FUNC }, "a+8 b+8"},
		{"no name", func(f *testelf.File) { f.DynSyms[1].Name = "" }, "a+8 c+8"},
		{"stubs are no code", func(f *testelf.File) { f.Sections[3].Flags = elf.SHF_ALLOC }, ""},
		{"debug file", func(f *testelf.File) { f.Sections[3].Type, f.Sections[3].Size = elf.SHT_NOBITS, 24 }, ""},
		{"half a relocation", func(f *testelf.File) { f.Sections[0].Data = f.Sections[0].Data[:2*rela-1] }, "a+8 b+8"},
		{"half a stub", func(f *testelf.File) { f.Sections[3].Data = f.Sections[3].Data[:21] }, "a+8 b+8"},
		{"another machine", func(f *testelf.File) { f.Machine = elf.EM_RISCV }, ""},
		{"relocatable file", func(f *testelf.File) { f.Type = elf.ET_REL }, ""},
	} {
		f := pltFile(elf.EM_X86_64, false)
		tc.lie(&f)
		if got := stubNames(t, mustNew(t, f)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestPLTMissAllocates(t *testing.T) {
	im := mustNew(t, pltFile(elf.EM_X86_64, false))
	if n := testing.AllocsPerRun(100, func() { im.PLT(pltText) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if im.plt.stubs != nil {
		t.Error("built for an address in no table")
	}
}

// exercisePLT asks for addresses in and around all that may be a table.
func exercisePLT(t *testing.T, data []byte) {
	im, err := New(data, "fuzz")
	if err != nil {
		return
	}
	addrs := []uint64{0, pltCode, ^uint64(0)}
	for _, s := range im.plt.secs {
		addrs = append(addrs, s.addr, s.addr+8, s.addr+uint64(len(s.code))/2, s.addr+uint64(len(s.code))-1)
	}
	for _, a := range im.areas.list[:min(len(im.areas.list), 8)] {
		for off := uint64(0); off < min(a.size, 64); off += 3 {
			addrs = append(addrs, a.lo+off)
		}
	}
	for _, addr := range addrs {
		if name, start, size, ok := im.PLT(addr); ok && (name == "" || addr-start >= size) {
			t.Fatalf("%#x: %q at %#x+%d", addr, name, start, size)
		}
	}
	if n := len(im.plt.stubs); n > len(pltSections)*len(data)/plt.Align+len(pltSections) {
		t.Fatalf("%d stubs in %d bytes", n, len(data))
	}
}

func FuzzPLT(f *testing.F) {
	for _, machine := range pltTestMachines {
		f.Add(pltFile(machine, false).Bytes())
		f.Add(pltFile(machine, true).Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 1<<16 {
			exercisePLT(t, data)
		}
	})
}

// TestPLTMutations is a short fuzzing with words that headers and relocations
// can lie with.
func TestPLTMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	values := []uint64{0, 1, 8, 0xffff, 0xffffffff, 1 << 31, 1 << 63, ^uint64(0), pltCode, pltGOT}
	for _, machine := range pltTestMachines {
		for _, bare := range []bool{false, true} {
			seed := pltFile(machine, bare).Bytes()
			for range 2000 {
				b := bytes.Clone(seed)
				for range 1 + rng.IntN(3) {
					at := rng.IntN(len(b) - 8)
					v := values[rng.IntN(len(values))]
					if rng.IntN(2) == 0 {
						binary.LittleEndian.PutUint32(b[at&^3:], uint32(v))
					} else {
						binary.LittleEndian.PutUint64(b[at&^3:], v)
					}
				}
				exercisePLT(t, b[:len(b)-rng.IntN(2)*rng.IntN(len(b))])
			}
		}
	}
}
