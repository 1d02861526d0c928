package elfsym

import (
	"debug/elf"
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

const (
	versymAt  = 0x2200
	verdefAt  = 0x2300
	verneedAt = 0x2400
	strAt     = 0x2500 // stands in for .dynstr
)

// versioned is a file whose dynamic symbols have versions.
func versioned(class elf.Class, order testelf.ByteOrder) testelf.File {
	strs := "\x00lib.so\x00V_1\x00V_2\x00N_1\x00"
	at := func(s string) uint32 { return uint32(strings.Index(strs, s)) }
	half := func(b []byte, vs ...uint16) []byte {
		for _, v := range vs {
			b = order.AppendUint16(b, v)
		}
		return b
	}
	word := func(b []byte, vs ...uint32) []byte {
		for _, v := range vs {
			b = order.AppendUint32(b, v)
		}
		return b
	}
	// Definitions 1 (the file itself), 2 and 3; 4 is needed.
	def := word(half(nil, 1, 1, 1, 1), 0, 20, 28)
	def = word(def, at("lib.so"), 0)
	def = word(half(def, 1, 0, 2, 1), 0, 20, 28)
	def = word(def, at("V_1"), 0)
	def = word(half(def, 1, 0, 3, 2), 0, 20, 0)
	def = word(def, at("V_2"), 8, at("V_1"), 0)
	need := word(half(nil, 1, 1), at("lib.so"), 16, 0)
	need = word(need, 0)
	need = word(half(need, 0, 4), at("N_1"), 0)
	f := testFile(nil, []testelf.Symbol{
		sy("def", text, 8), sy("old", text+8, 8), sy("need", text+16, 8),
		sy("base", text+24, 8), sy("local", text+32, 8), sy("none", text+40, 8), sy("two", text+48, 8),
		sy("behind@@LITERAL", text+56, 8), // not in DT_VERSYM any more
	})
	f.Class, f.Order = class, order
	section := func(name string, addr uint64, b []byte) {
		f.Sections = append(f.Sections, testelf.Section{Name: name, Flags: elf.SHF_ALLOC, Addr: addr, Data: b})
	}
	section(".gnu.version", versymAt, half(nil, 0, 2, 0x8002, 4, 1, 0, 77, 3))
	section(".gnu.version_d", verdefAt, def)
	section(".gnu.version_r", verneedAt, need)
	f.DynTags = []testelf.DynTag{
		{Tag: elf.DT_VERSYM, Val: versymAt}, {Tag: elf.DT_VERDEF, Val: verdefAt}, {Tag: elf.DT_VERDEFNUM, Val: 3},
		{Tag: elf.DT_VERNEED, Val: verneedAt}, {Tag: elf.DT_VERNEEDNUM, Val: 1},
	}
	section(".strs", strAt, []byte(strs))
	f.DynTags = append(f.DynTags, testelf.DynTag{Tag: elf.DT_STRTAB, Val: strAt}, testelf.DynTag{Tag: elf.DT_STRSZ, Val: uint64(len(strs))})
	return f
}

// versionAt returns the version of the symbol that names addr.
func versionAt(t *testing.T, im *Image, addr uint64) string {
	t.Helper()
	ref, _, ok := im.lookupRef(addr)
	if !ok {
		t.Fatalf("%#x has no name", addr)
	}
	return im.Version(ref)
}

func TestVersion(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		for _, order := range []testelf.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			im := mustNew(t, versioned(class, order))
			for addr, want := range map[uint64]string{
				text: "@@V_1", text + 8: "@V_1", text + 16: "@N_1", text + 24: "", text + 32: "", text + 40: "", text + 48: "@@V_2", text + 56: "@@LITERAL",
			} {
				if got := versionAt(t, im, addr); got != want {
					t.Errorf("%v %v %#x: %q, want %q", class, order, addr, got, want)
				}
			}
		}
	}
	// The names of .symtab carry it.
	im := mustNew(t, testFile([]testelf.Symbol{
		sy("a@@V2", text, 4), sy("b@V1", text+4, 4), sy("c", text+8, 4), sy("d@8", text+12, 4), sy("e@"+strings.Repeat("x", 2*maxVersion), text+16, 4),
	}, nil))
	for addr, want := range map[uint64]string{text: "@@V2", text + 4: "@V1", text + 8: "", text + 12: "", text + 16: "@" + strings.Repeat("x", maxVersion-1)} {
		if got := versionAt(t, im, addr); got != want {
			t.Errorf("%#x: %q, want %q", addr, got, want)
		}
	}
	if v := im.Version(99); v != "" {
		t.Errorf("of no symbol: %q", v)
	}
}

// TestHostileVersions has lists that lead back, out of the file, or nowhere.
func TestHostileVersions(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(f *testelf.File, def, need []byte)
	}{
		{"a definition that is its own next", func(f *testelf.File, def, need []byte) { f.Order.PutUint32(def[28+16:], 1<<32-28) }},
		{"each byte a definition", func(f *testelf.File, def, need []byte) { f.Order.PutUint32(def[16:], 1) }},
		{"names outside", func(f *testelf.File, def, need []byte) { f.Order.PutUint32(def[28+20:], 1<<31) }},
		{"names behind", func(f *testelf.File, def, need []byte) { f.Order.PutUint32(def[28+12:], 1<<32-1) }},
		{"needed ones that never end", func(f *testelf.File, def, need []byte) { f.Order.PutUint32(need[16+12:], 1) }},
		{"tables outside", func(f *testelf.File, def, need []byte) {
			for i := range f.DynTags {
				f.DynTags[i].Val = 1<<64 - 8
			}
		}},
		{"lists at the end of the file", func(f *testelf.File, def, need []byte) {
			f.DynTags[1].Val, f.DynTags[3].Val = strAt, strAt
		}},
	} {
		f := versioned(elf.ELFCLASS64, binary.LittleEndian)
		tc.edit(&f, f.Sections[4].Data, f.Sections[5].Data)
		im := mustNew(t, f)
		for ref := range Ref(im.numSyms) {
			if v := im.Version(ref); len(v) > maxVersion+2 {
				t.Errorf("%s: %q", tc.name, v)
			}
		}
	}
}

// TestReadelfVersions compares every function's version with readelf's.
func TestReadelfVersions(t *testing.T) {
	readelf := testenv.Need(t, "readelf", "binutils")
	row := regexp.MustCompile(`^ *(\d+): [0-9a-f]+ +\S+ +I?FUNC +\S+ +\S+ +(?:\[.*\] +)?[0-9]+ ([^@\s]+)(@\S*)?`)
	for _, path := range realFiles(t) {
		im, err := OpenPath(path)
		if err != nil {
			continue // a script
		}
		defer im.Close()
		i := slices.IndexFunc(im.tables, func(t *table) bool { return t.name == ".dynsym" })
		if i < 0 || im.numSyms > 100_000 { // readelf takes seconds for the latter
			continue
		}
		dyn := im.tables[i]
		t.Run(filepath.Base(path), func(t *testing.T) {
			out, err := exec.Command(readelf, "-W", "--dyn-syms", path).Output()
			if err != nil {
				t.Fatal(err)
			}
			n, with, bad := 0, 0, 0
			for line := range strings.Lines(string(out)) {
				m := row.FindStringSubmatch(line)
				if m == nil {
					continue
				}
				num, err := strconv.ParseUint(m[1], 10, 31)
				if err != nil {
					t.Fatal(err)
				}
				n++
				if m[3] != "" {
					with++
				}
				ref := dyn.first + Ref(num)
				if got := im.Version(ref); got != m[3] || string(im.NameBytes(ref)) != m[2] {
					if bad++; bad < 10 {
						t.Errorf("%s%s, readelf: %s", im.NameBytes(ref), got, strings.TrimSpace(line))
					}
				}
			}
			t.Logf("%d functions, %d with a version", n, with)
		})
	}
}
