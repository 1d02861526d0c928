package elfsym

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

const (
	text = 0x1000 // of the test images; 0x400 bytes
	fini = 0x1400 // 0x100 bytes
	data = 0x2000 // 0x100 bytes
)

func testFile(syms, dynsyms []testelf.Symbol) testelf.File {
	return testelf.File{
		Sections: []testelf.Section{
			{Name: ".text", Flags: testelf.TextFlags, Addr: text, Data: make([]byte, 0x400)},
			{Name: ".fini", Flags: testelf.TextFlags, Addr: fini, Data: make([]byte, 0x100)},
			{Name: ".data", Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Addr: data, Data: make([]byte, 0x100)},
		},
		Symbols: syms, DynSyms: dynsyms,
	}
}

// fn is a global function in .text; opts change that.
func sy(name string, value, size uint64, opts ...any) testelf.Symbol {
	s := testelf.Symbol{Name: name, Value: value, Size: size, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"}
	for _, o := range opts {
		switch o := o.(type) {
		case elf.SymType:
			s.Type = o
		case elf.SymBind:
			s.Bind = o
		case string:
			s.Section = o
		case elf.SectionIndex:
			s.Section, s.Shndx = "", o
		}
	}
	return s
}

// lookups asks for an address in every way there is and fails when the answers
// differ.
func lookups(t *testing.T, b []byte, addr uint64) string {
	t.Helper()
	name := func(s Symbol, ok bool) string {
		if !ok {
			return "-"
		}
		return fmt.Sprintf("%s+%#x", s.Name, addr-s.Value)
	}
	im, err := New(b, "test")
	if err != nil {
		t.Fatal(err)
	}
	var refs [1]uint32
	refs[0] = none
	if !im.scanAll([]uint64{addr}, refs[:]) {
		t.Fatalf("%#x: scan gave up", addr)
	}
	scanned := name(im.symbol(Ref(refs[0])))
	looked := name(im.Lookup(addr))
	indexed := "-"
	if ref, value, ok := im.lookupRef(addr); ok {
		s, ok2 := im.Symbol(ref)
		if s.Value != value || string(im.NameBytes(ref)) != s.Name {
			t.Errorf("%#x: lookupRef value %#x, Symbol %+v, NameBytes %q", addr, value, s, im.NameBytes(ref))
		}
		indexed = name(s, ok2)
	}
	if scanned != indexed || scanned != looked {
		t.Errorf("%#x: scan says %s, index %s, Lookup %s", addr, scanned, indexed, looked)
	}
	return scanned
}

func TestRules(t *testing.T) {
	type want map[uint64]string
	for _, tc := range []struct {
		name string
		syms []testelf.Symbol
		dyn  []testelf.Symbol
		want want
		edit func(*testelf.File)
	}{
		{name: "sized covers its bytes only",
			syms: []testelf.Symbol{sy("f", text+0x10, 0x10)},
			want: want{text: "-", text + 0xf: "-", text + 0x10: "f+0x0", text + 0x1f: "f+0xf", text + 0x20: "-"}},
		{name: "sizeless reaches to the next symbol",
			syms: []testelf.Symbol{sy("f", text+0x10, 0), sy("g", text+0x20, 0)},
			want: want{text + 0xf: "-", text + 0x1f: "f+0xf", text + 0x20: "g+0x0"}},
		{name: "sizeless reaches to the end of its section",
			syms: []testelf.Symbol{sy("f", text+0x10, 0)},
			want: want{text + 0x3ff: "f+0x3ef", fini: "-"}},
		{name: "sizeless does not jump over a sized one",
			syms: []testelf.Symbol{sy("f", text, 0), sy("g", text+0x20, 0x10)},
			want: want{text + 0x1f: "f+0x1f", text + 0x20: "g+0x0", text + 0x30: "-"}},
		{name: "sizeless inside a sized one names nothing",
			syms: []testelf.Symbol{sy("f", text, 0x20), sy("label", text+0x10, 0, elf.STT_NOTYPE)},
			want: want{text + 0x10: "f+0x10", text + 0x1f: "f+0x1f", text + 0x20: "-", text + 0x40: "-"}},
		{name: "sizeless at the end of a sized one",
			syms: []testelf.Symbol{sy("f", text, 0x20), sy("g", text+0x20, 0)},
			want: want{text + 0x1f: "f+0x1f", text + 0x20: "g+0x0"}},
		{name: "sized before sizeless at one start",
			syms: []testelf.Symbol{sy("aa", text, 0), sy("_b", text, 0x20, elf.STT_NOTYPE, elf.STB_LOCAL)},
			want: want{text: "_b+0x0", text + 0x1f: "_b+0x1f", text + 0x20: "-"}},
		{name: "the innermost covers, the outer goes on behind it",
			syms: []testelf.Symbol{sy("outer", text, 0x100), sy("inner", text+0x10, 0x10), sy("innermost", text+0x18, 4)},
			want: want{text + 0xf: "outer+0xf", text + 0x10: "inner+0x0", text + 0x18: "innermost+0x0", text + 0x1c: "inner+0xc", text + 0x20: "outer+0x20", text + 0xff: "outer+0xff", text + 0x100: "-"}},
		{name: "partial overlap",
			syms: []testelf.Symbol{sy("f", text, 0x20), sy("g", text+0x10, 0x20)},
			want: want{text + 0xf: "f+0xf", text + 0x10: "g+0x0", text + 0x20: "g+0x10", text + 0x30: "-"}},
		{name: "the shorter of two at one start wins its part only",
			syms: []testelf.Symbol{sy("long", text, 0x40, elf.STB_LOCAL), sy("short", text, 0x10), sy("mid", text, 0x20, elf.STB_WEAK)},
			want: want{text: "short+0x0", text + 0x10: "mid+0x10", text + 0x20: "long+0x20", text + 0x40: "-"}},
		{name: "functions, objects, no type",
			syms: []testelf.Symbol{sy("o", text, 8, elf.STT_OBJECT), sy("n", text, 8, elf.STT_NOTYPE), sy("ff", text, 8, elf.STB_LOCAL),
				sy("o2", text+8, 8, elf.STT_OBJECT, elf.STB_LOCAL), sy("n2", text+8, 8, elf.STT_NOTYPE)},
			want: want{text: "ff+0x0", text + 8: "o2+0x0"}},
		{name: "an ifunc is a function",
			syms: []testelf.Symbol{sy("memcpy", text, 8, elf.STT_GNU_IFUNC), sy("obj", text, 8, elf.STT_OBJECT)},
			want: want{text: "memcpy+0x0"}},
		{name: "global, weak, local; unique is global",
			syms: []testelf.Symbol{sy("l", text, 8, elf.STB_LOCAL), sy("ww", text, 8, elf.STB_WEAK), sy("ggg", text, 8),
				sy("l2", text+8, 8, elf.STB_LOCAL), sy("ww2", text+8, 8, elf.STB_WEAK), sy("w3", text+16, 8, elf.STB_WEAK), sy("uuu3", text+16, 8, stbGNUUnique)},
			want: want{text: "ggg+0x0", text + 8: "ww2+0x0", text + 16: "uuu3+0x0"}},
		{name: "a weak name that people know, of a global one that is reserved",
			syms: []testelf.Symbol{sy("__fork", text, 8), sy("fork", text, 8, elf.STB_WEAK), sy("for", text, 8, elf.STB_LOCAL),
				sy("_IO_puts", text+8, 8), sy("puts", text+8, 8, elf.STB_WEAK), sy("puts_", text+16, 8, elf.STB_WEAK), sy("puts_too", text+16, 8)},
			want: want{text: "fork+0x0", text + 8: "puts+0x0", text + 16: "puts_too+0x0"}},
		{name: "the gate DSO's own names",
			syms: []testelf.Symbol{sy("clock_gettime", text, 8, elf.STB_WEAK), sy("__vdso_clock_gettime", text, 8),
				sy("rt_sigreturn", text+8, 8, elf.STB_WEAK), sy("__kernel_rt_sigreturn", text+8, 8)},
			want: want{text: "__vdso_clock_gettime+0x0", text + 8: "__kernel_rt_sigreturn+0x0"}},
		{name: "but a function of any name before an object",
			syms: []testelf.Symbol{sy("__f", text, 8), sy("o", text, 8, elf.STT_OBJECT, elf.STB_WEAK)},
			want: want{text: "__f+0x0"}},
		{name: "underscores, length, order",
			syms: []testelf.Symbol{sy("__k", text, 8), sy("_kill", text, 8), sy("kill", text, 8), sy("kill2", text, 8), sy("kilx", text, 8)},
			want: want{text: "kill+0x0"}},
		{name: "like libc's kill",
			syms: []testelf.Symbol{sy("__GI_kill", text, 8, elf.STB_LOCAL), sy("__GI___kill", text, 8, elf.STB_LOCAL), sy("kill", text, 8, elf.STB_WEAK), sy("__kill", text, 8, elf.STB_WEAK)},
			want: want{text: "kill+0x0"}},
		{name: "glibc's internal aliases come last",
			syms: []testelf.Symbol{sy("__GI_strtol", text, 8, elf.STB_LOCAL), sy("____strtol_l_internal", text, 8, elf.STB_LOCAL), sy("__GI_only", text+8, 8)},
			want: want{text: "____strtol_l_internal+0x0", text + 8: "__GI_only+0x0"}},
		{name: "ties of sizeless ones",
			syms: []testelf.Symbol{sy("n", text, 0, elf.STT_NOTYPE), sy("ff", text, 0), sy("_f", text, 0)},
			want: want{text + 4: "ff+0x4"}},
		{name: "never section, file, TLS, common, others",
			syms: []testelf.Symbol{sy("s", text, 8, elf.STT_SECTION), sy("f", text, 8, elf.STT_FILE), sy("t", text, 8, elf.STT_TLS), sy("c", text, 8, elf.STT_COMMON), sy("p", text, 8, elf.STT_LOPROC)},
			want: want{text: "-"}},
		{name: "never undefined, absolute, common, reserved or nonsense sections",
			syms: []testelf.Symbol{sy("u", text, 8, elf.SHN_UNDEF), sy("a", text, 8, elf.SHN_ABS), sy("c", text, 8, elf.SHN_COMMON), sy("r", text, 8, elf.SectionIndex(0xff20)), sy("x", text, 8, elf.SectionIndex(99))},
			want: want{text: "-"}},
		{name: "an extended section index is taken on trust",
			syms: []testelf.Symbol{sy("x", text, 8, elf.SHN_XINDEX), sy("d", data, 8, elf.SHN_XINDEX)},
			want: want{text: "x+0x0", data: "-"}},
		{name: "never in data, by section or by value",
			syms: []testelf.Symbol{sy("d", data, 8, ".data"), sy("e", text, 8, ".data"), sy("g", data+0x10, 8)},
			want: want{data: "-", text: "-", data + 0x10: "-"}},
		{name: "data symbols are no next symbol",
			syms: []testelf.Symbol{sy("f", text, 0), sy("e", text+8, 0, ".data")},
			want: want{text + 8: "f+0x8"}},
		{name: "empty names and assembler labels",
			syms: []testelf.Symbol{sy("", text, 8), sy(".L5", text, 8, elf.STT_NOTYPE, elf.STB_LOCAL), sy(".Ltmp0", text, 8, elf.STT_OBJECT, elf.STB_LOCAL), sy(".annobin_x.c", text, 8, elf.STT_NOTYPE, elf.STB_LOCAL)},
			want: want{text: "-"}},
		{name: "labels are no next symbol",
			syms: []testelf.Symbol{sy("f", text, 0), sy(".L5", text+8, 0, elf.STT_NOTYPE, elf.STB_LOCAL), sy("$x", text+0x10, 0, elf.STT_NOTYPE, elf.STB_LOCAL), sy("g", text+0x20, 0)},
			want: want{text + 8: "f+0x8", text + 0x10: "$x+0x0", text + 0x20: "g+0x0"}},
		{name: "a function may be called .Load or $x",
			syms: []testelf.Symbol{sy(".Load", text, 8), sy("$x", text+8, 8)},
			want: want{text: ".Load+0x0", text + 8: "$x+0x0"}},
		{name: "mapping symbols",
			syms: []testelf.Symbol{sy("f", text, 0), sy("$x", text, 0, elf.STT_NOTYPE, elf.STB_LOCAL), sy("$d", text+8, 0, elf.STT_NOTYPE, elf.STB_LOCAL), sy("$x.3", text+12, 0, elf.STT_NOTYPE, elf.STB_LOCAL), sy("$xyz", text+16, 0, elf.STT_NOTYPE, elf.STB_LOCAL)},
			edit: func(f *testelf.File) { f.Machine = elf.EM_AARCH64 },
			want: want{text: "f+0x0", text + 8: "f+0x8", text + 12: "f+0xc", text + 16: "$xyz+0x0"}},
		{name: "Thumb",
			syms: []testelf.Symbol{sy("f", text+1, 8), sy("o", text+9, 2, elf.STT_OBJECT), sy("g", text+0x11, 0)},
			edit: func(f *testelf.File) { f.Machine, f.Class = elf.EM_ARM, elf.ELFCLASS32 },
			want: want{text: "f+0x0", text + 7: "f+0x7", text + 8: "-", text + 9: "o+0x0", text + 0x10: "g+0x0"}},
		{name: "odd functions elsewhere stay odd",
			syms: []testelf.Symbol{sy("f", text+1, 8)},
			want: want{text: "-", text + 1: "f+0x0"}},
		{name: "versions are dropped, suffixes kept",
			syms: []testelf.Symbol{sy("a@@GLIBC_2.34", text, 1), sy("b@V1", text+1, 1), sy("c.cold", text+2, 1), sy("d.part.0", text+3, 1), sy("e.abi0", text+4, 1), sy("f@8", text+5, 1), sy("@g@V", text+6, 1), sy("?h@@YAXXZ", text+7, 1), sy("i@", text+8, 1)},
			want: want{text: "a+0x0", text + 1: "b+0x0", text + 2: "c.cold+0x0", text + 3: "d.part.0+0x0", text + 4: "e.abi0+0x0", text + 5: "f@8+0x0", text + 6: "@g@V+0x0", text + 7: "?h@@YAXXZ+0x0", text + 8: "i@+0x0"}},
		{name: "sizes are cut at the end of the section",
			syms: []testelf.Symbol{sy("f", text+0x10, 1<<63), sy("g", text+0x20, ^uint64(0))},
			want: want{text + 0x1f: "f+0xf", text + 0x3ff: "g+0x3df", fini: "-"}},
		{name: ".dynsym names what .symtab does not",
			syms: []testelf.Symbol{sy("s", text, 0x10), sy("s2", text+0x20, 0x10)},
			dyn:  []testelf.Symbol{sy("d", text, 0x20), sy("d2", text+0x28, 0x10), sy("d3", text+0x40, 0)},
			want: want{text: "s+0x0", text + 0x10: "d+0x10", text + 0x1f: "d+0x1f", text + 0x28: "s2+0x8", text + 0x30: "d2+0x8", text + 0x38: "-", text + 0x48: "d3+0x8"}},
		{name: ".dynsym where .symtab is empty",
			syms: []testelf.Symbol{},
			dyn:  []testelf.Symbol{sy("d", text, 0x20)},
			want: want{text: "d+0x0"}},
		{name: "PT_DYNAMIC with DT_HASH",
			dyn:  []testelf.Symbol{sy("u", 0, 0, elf.SHN_UNDEF), sy("d", text, 0x20), sy("o", data, 4, ".data"), sy("A", text+4, 2, elf.SHN_ABS)},
			edit: func(f *testelf.File) { f.NoSectionHeaders = true },
			want: want{text + 4: "d+0x4", text + 0x20: "-", data: "o+0x0"}}, // one segment: all is executable
		{name: "PT_DYNAMIC with DT_GNU_HASH",
			dyn:  []testelf.Symbol{sy("d", text, 0x20), sy("e", text+0x20, 0x10)},
			edit: func(f *testelf.File) { f.NoSectionHeaders, f.Hash = true, testelf.GNUHash },
			want: want{text + 4: "d+0x4", text + 0x2f: "e+0xf", text + 0x30: "-"}},
		{name: "PT_DYNAMIC without a hash table says nothing",
			dyn:  []testelf.Symbol{sy("d", text, 0x20)},
			edit: func(f *testelf.File) { f.NoSectionHeaders, f.Hash = true, testelf.NoHash },
			want: want{text: "-"}},
		{name: "PT_DYNAMIC next to a .symtab",
			syms: []testelf.Symbol{sy("s", text, 0x10)},
			dyn:  []testelf.Symbol{sy("d", text, 0x20)},
			want: want{text: "s+0x0", text + 0x10: "d+0x10"}},
		{name: "relocatable: .text, and behind it the others",
			syms: []testelf.Symbol{sy("f", 0, 8), sy("g", 0, 8, ".fini"), sy("h", 0, 8, ".init"), sy("o", 0, 8, ".data")},
			edit: func(f *testelf.File) {
				f.Type = elf.ET_REL
				f.Sections = append([]testelf.Section{{Name: ".init", Flags: testelf.TextFlags, Data: make([]byte, 0x11)}}, f.Sections...)
				f.Sections[2].Addralign = 16
			},
			want: want{4: "f+0x4", 8: "-", 0x400: "h+0x0", 0x410: "-", 0x420: "g+0x0", 0x427: "g+0x7", 0x428: "-"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := testFile(tc.syms, tc.dyn)
			if tc.edit != nil {
				tc.edit(&f)
			}
			b := f.Bytes()
			for addr, want := range tc.want {
				if got := lookups(t, b, addr); got != want {
					t.Errorf("%#x: %s, want %s", addr, got, want)
				}
			}
		})
	}
}

// TestLayouts reads one table in all classes and byte orders.
func TestLayouts(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		for _, order := range []testelf.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, strip := range []bool{false, true} {
				syms := []testelf.Symbol{sy("outer", text, 0x40), sy("inner", text+8, 8), sy("asm", text+0x80, 0)}
				f := testFile(syms, syms)
				f.Class, f.Order, f.Machine, f.NoSectionHeaders = class, order, elf.EM_IA_64, strip
				b := f.Bytes()
				for addr, want := range map[uint64]string{text + 4: "outer+0x4", text + 9: "inner+0x1", text + 0x10: "outer+0x10", text + 0x50: "-", text + 0x90: "asm+0x10"} {
					if got := lookups(t, b, addr); got != want {
						t.Errorf("%v %v stripped %v: %#x: %s, want %s", class, order, strip, addr, got, want)
					}
				}
			}
		}
	}
}

func TestSymbolFields(t *testing.T) {
	f := testFile([]testelf.Symbol{sy("f@@V2", text, 8, elf.STB_WEAK)}, []testelf.Symbol{sy("d", text+8, 4, elf.STT_OBJECT)})
	im, err := New(f.Bytes(), "x")
	if err != nil {
		t.Fatal(err)
	}
	want := Symbol{Name: "f", Value: text, Size: 8, Type: elf.STT_FUNC, Bind: elf.STB_WEAK, Table: ".symtab"}
	if got, ok := im.Lookup(text + 3); !ok || got != want {
		t.Errorf("got %+v %v", got, ok)
	}
	if got, ok := im.Lookup(text + 9); !ok || got.Table != ".dynsym" || got.Type != elf.STT_OBJECT {
		t.Errorf("got %+v %v", got, ok)
	}
	if start, ok := im.FuncStart(text + 3); !ok || start != text {
		t.Errorf("FuncStart: %#x %v", start, ok)
	}
	if _, ok := im.FuncStart(text + 9); ok {
		t.Error("FuncStart of an object")
	}
	if _, ok := im.FuncStart(text + 0x100); ok {
		t.Error("FuncStart of nothing")
	}
	if !im.hasSymbols() || im.NumSymbols() != 4 {
		t.Errorf("%d symbols", im.NumSymbols())
	}
	if s, ok := im.Symbol(99); ok || s.Name != "" || im.NameBytes(99) != nil {
		t.Errorf("Ref 99: %+v", s)
	}
}

// TestAdaptive follows an image from scanning to its index.
func TestAdaptive(t *testing.T) {
	var syms []testelf.Symbol
	for i := range uint64(100) {
		syms = append(syms, sy(fmt.Sprint("f", i), text+8*i, 8))
	}
	im, err := New(testFile(syms, nil).Bytes(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(2 * maxScans) {
		if s, ok := im.Lookup(text + 8*i); !ok || s.Name != fmt.Sprint("f", i) {
			t.Errorf("lookup %d: %v", i, s)
		}
		if has, want := im.index.Load() != nil, i >= maxScans; has != want {
			t.Errorf("after lookup %d: index built %v, want %v", i, has, want)
		}
	}
	addr := uint64(text)
	if n := testing.AllocsPerRun(1000, func() {
		ref, _, ok := im.lookupRef(addr)
		if !ok || len(im.NameBytes(ref)) < 2 {
			t.Error(addr)
		}
		addr = text + (addr-text+8)%800
	}); n != 0 {
		t.Errorf("lookupRef and NameBytes: %v allocations", n)
	}
}

func TestLookupAll(t *testing.T) {
	f := testFile([]testelf.Symbol{sy("f", text, 8), sy("g", text+8, 8)}, nil)
	for _, addrs := range [][]uint64{{}, {text}, {0, text, text, text + 7, text + 8, text + 16, ^uint64(0)}, {text + 8, text, 0}} {
		im, err := New(f.Bytes(), "x")
		if err != nil {
			t.Fatal(err)
		}
		out := make([]Match, len(addrs))
		for i := range out {
			out[i] = Match{Symbol{Name: "stale"}, 9, true}
		}
		im.LookupAll(addrs, out)
		for i, a := range addrs {
			want := map[uint64]string{0: "f", 1: "g"}[(a-text)/8]
			if out[i].OK != (want != "") || out[i].Name != want {
				t.Errorf("%#x of %#x: %+v", a, addrs, out[i])
			}
		}
	}
}

func TestLongName(t *testing.T) {
	long := strings.Repeat("x", maxName+5)
	b := testFile([]testelf.Symbol{sy(long, text, 8), sy(long+"y", text, 8), sy(long[:tieName], text+8, 8)}, nil).Bytes()
	im, err := New(b, "x")
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := im.Lookup(text); !ok || len(s.Name) != maxName {
		t.Errorf("%d bytes, %v", len(s.Name), ok)
	}
}

// TestConcurrent is for the race detector: the index is built while others look
// up.
func TestConcurrent(t *testing.T) {
	f := testFile([]testelf.Symbol{sy("f", text, 8), sy("g", text+8, 8)}, nil)
	im, err := New(f.Bytes(), "x")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2 * maxScans {
				if s, ok := im.Lookup(text + 9); !ok || s.Name != "g" {
					t.Error(s)
				}
				if ref, _, ok := im.lookupRef(text + 1); !ok || string(im.NameBytes(ref)) != "f" {
					t.Error(ref)
				}
				im.Section(".text")
				im.BuildID()
			}
		})
	}
	wg.Wait()
}
