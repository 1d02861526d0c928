package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

// Offsets in 64-bit headers.
const (
	ehPhoff, ehShoff                        = 32, 40
	ehPhnum, ehShnum                        = 56, 60
	ehShstrndx                              = 62
	shType, shFlags, shAddr, shOff, shSize  = 4, 8, 16, 24, 32
	shLink, shEntsize                       = 40, 56
	phType, phOff, phVaddr, phFilesz, phMem = 0, 8, 16, 32, 40
)

// victim is a well-formed file that hostile ones are made of.
type victim struct {
	t *testing.T
	b []byte
}

func newVictim(t *testing.T, strip bool) *victim {
	syms := []testelf.Symbol{sy("f", text, 0x20), sy("g", text+0x20, 0x10), sy("h", text+0x40, 0)}
	f := testFile(syms, syms)
	f.NoSectionHeaders, f.BuildID = strip, []byte("12345678")
	return &victim{t, f.Bytes()}
}

// section returns the header of a section.
func (v *victim) section(name string) []byte {
	f, err := elf.NewFile(bytes.NewReader(v.b))
	if err != nil {
		v.t.Fatal(err)
	}
	for i, s := range f.Sections {
		if s.Name == name {
			return v.header(i)
		}
	}
	v.t.Fatalf("no section %s", name)
	return nil
}

func (v *victim) header(i int) []byte {
	return v.b[binary.LittleEndian.Uint64(v.b[ehShoff:])+uint64(i)*64:][:64]
}

// segment returns the first program header of a type.
func (v *victim) segment(typ elf.ProgType) []byte {
	for i := range int(binary.LittleEndian.Uint16(v.b[ehPhnum:])) {
		if h := v.b[64+56*i:]; elf.ProgType(binary.LittleEndian.Uint32(h)) == typ {
			return h[:56]
		}
	}
	v.t.Fatalf("no segment %v", typ)
	return nil
}

// dynamic sets the value of a tag.
func (v *victim) dynamic(tag elf.DynTag, val uint64) {
	dyn := v.segment(elf.PT_DYNAMIC)
	for b := v.b[binary.LittleEndian.Uint64(dyn[phOff:]):]; len(b) >= 16; b = b[16:] {
		if elf.DynTag(binary.LittleEndian.Uint64(b)) == tag {
			put64(b, 8, val)
			return
		}
	}
	v.t.Fatalf("no %v", tag)
}

func put64(b []byte, at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
func put32(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
func put16(b []byte, at int, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }

// TestHostileHeaders opens files whose headers lie. Each must yield an image or an
// error that names the file; whatever is asked of it, memory stays within bounds
// that are not those of the headers, and every loop ends.
func TestHostileHeaders(t *testing.T) {
	huge := []uint64{1 << 32, 1<<32 - 1, 1 << 63, ^uint64(0), ^uint64(0) - 7}
	type edit struct {
		name  string
		strip bool
		do    func(v *victim)
	}
	edits := []edit{
		{"a symbol table that is its own string table", false, func(v *victim) {
			h := v.section(".symtab")
			i := (bytes.Index(v.b, h) - int(binary.LittleEndian.Uint64(v.b[ehShoff:]))) / 64
			put32(h, shLink, uint32(i))
		}},
		{"a symbol table in its string table's place", false, func(v *victim) {
			str, sym := v.section(".strtab"), v.section(".symtab")
			copy(str[shOff:shOff+16], sym[shOff:shOff+16])
		}},
		{"a symbol table that is the whole file", false, func(v *victim) {
			h := v.section(".symtab")
			put64(h, shOff, 0)
			put64(h, shSize, ^uint64(0))
		}},
		{"both of them the whole file", false, func(v *victim) {
			for _, name := range []string{".symtab", ".strtab", ".dynsym", ".dynstr"} {
				h := v.section(name)
				put64(h, shOff, 0)
				put64(h, shSize, uint64(len(v.b)))
			}
		}},
		{"names past the end", false, func(v *victim) {
			h := v.section(".symtab")
			for i, at := range []uint32{1 << 31, ^uint32(0), uint32(len(v.b))} {
				put32(v.b[binary.LittleEndian.Uint64(h[shOff:]):], 24*(i+1), at)
			}
		}},
		{"a name without an end", false, func(v *victim) {
			h := v.section(".strtab")
			put64(h, shSize, 2) // "\0f"
		}},
		{"links to no section", false, func(v *victim) {
			put32(v.section(".symtab"), shLink, ^uint32(0))
			put32(v.section(".dynsym"), shLink, 0)
		}},
		{"entries of no size", false, func(v *victim) {
			put64(v.section(".symtab"), shEntsize, 0)
			put64(v.section(".dynsym"), shEntsize, 1<<63)
		}},
		{"65,535 sections", false, func(v *victim) { put16(v.b, ehShnum, 0xffff) }},
		{"sections' names in none", false, func(v *victim) { put16(v.b, ehShstrndx, 0xfff0) }},
		{"65,535 segments", false, func(v *victim) { put16(v.b, ehPhnum, 0xffff) }},
		{"segments in the section headers", false, func(v *victim) {
			put64(v.b, ehPhoff, binary.LittleEndian.Uint64(v.b[ehShoff:]))
		}},
		{"every segment is the first", false, func(v *victim) {
			n := int(binary.LittleEndian.Uint16(v.b[ehPhnum:]))
			for i := 1; i < n; i++ {
				copy(v.b[64+56*i:][:56], v.b[64:64+56])
			}
		}},
		{"sections one over the other", false, func(v *victim) {
			for _, name := range []string{".text", ".fini"} {
				h := v.section(name)
				put64(h, shAddr, text)
				put64(h, shSize, 1<<40)
			}
		}},
		{"a text that ends behind the last address", false, func(v *victim) {
			h := v.section(".text")
			put64(h, shAddr, 1<<63)
			put64(h, shSize, 1<<63)
		}},
	}
	for _, n := range huge {
		at := func(name string, do func(v *victim)) {
			edits = append(edits, edit{fmt.Sprintf("%s %#x", name, n), false, do})
		}
		stripped := func(name string, do func(v *victim)) {
			edits = append(edits, edit{fmt.Sprintf("%s %#x", name, n), true, do})
		}
		for _, name := range []string{".symtab", ".strtab", ".dynsym", ".dynstr", ".text", ".shstrtab"} {
			at("size of "+name, func(v *victim) { put64(v.section(name), shSize, n) })
			at("offset of "+name, func(v *victim) { put64(v.section(name), shOff, n) })
			at("address of "+name, func(v *victim) { put64(v.section(name), shAddr, n) })
		}
		at("compressed text of", func(v *victim) {
			h := v.section(".data")
			put64(h, shFlags, uint64(elf.SHF_COMPRESSED))
			put32(v.b[binary.LittleEndian.Uint64(h[shOff:]):], 0, uint32(elf.COMPRESS_ZLIB))
			put64(v.b[binary.LittleEndian.Uint64(h[shOff:]):], 8, n)
		})
		at("section headers at", func(v *victim) { put64(v.b, ehShoff, n) })
		// e_shnum 0: the number of sections is the size of the first one.
		at("number of sections", func(v *victim) {
			put64(v.header(0), shSize, n)
			put16(v.b, ehShnum, 0)
		})
		for _, strip := range []bool{false, true} {
			for _, typ := range []elf.ProgType{elf.PT_LOAD, elf.PT_DYNAMIC, elf.PT_NOTE} {
				for field, off := range map[string]int{"offset": phOff, "address": phVaddr, "file size": phFilesz, "memory size": phMem} {
					edits = append(edits, edit{fmt.Sprintf("%s of %v %#x, stripped %v", field, typ, n, strip), strip, func(v *victim) { put64(v.segment(typ), off, n) }})
				}
			}
		}
		for _, tag := range []elf.DynTag{elf.DT_SYMTAB, elf.DT_STRTAB, elf.DT_STRSZ, elf.DT_HASH} {
			stripped(tag.String(), func(v *victim) { v.dynamic(tag, n) })
		}
		stripped("symbols in the hash table", func(v *victim) {
			i := bytes.Index(v.b, []byte{1, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0}) // nbucket, nchain
			if i < 0 {
				v.t.Fatal("no hash table")
			}
			put32(v.b, i+4, uint32(n))
		})
	}
	dir := t.TempDir()
	for i, e := range edits {
		v := newVictim(t, e.strip)
		e.do(v)
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, v.b, 0o644); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if im, err := OpenPath(path); err == nil {
			im.Close()
		} else if !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: the error does not name the file: %v", e.name, err)
		}
		exercise(v.b)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 { // debug/elf reads what a header promises by 10 MiB at a time
			t.Errorf("%s: %d KiB allocated for a file of %d bytes", e.name, n>>10, len(v.b))
		}
	}
	t.Logf("%d files", len(edits))
}

// TestManySymbolsOneName has as many symbols as fit, all with the start, the size and
// the name of each other, and that name as long as the table: comparing them must
// not take the square of anything.
func TestManySymbolsOneName(t *testing.T) {
	long := strings.Repeat("_", 1<<20)
	syms := make([]testelf.Symbol, 1<<16)
	for i := range syms {
		syms[i] = sy("", text, 0x100)
	}
	syms[0].Name = long
	b := testFile(syms, nil).Bytes()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	table := f.Section(".symtab")
	for i := range syms {
		put32(b, int(table.Offset)+24*(i+1), 1+uint32(i%7))
	}
	im, err := New(b, "x")
	if err != nil {
		t.Fatal(err)
	}
	for addr := uint64(text); addr < text+0x100; addr += 0x10 {
		ref, value, ok := im.Find(addr)
		if !ok || value != text {
			t.Fatalf("%#x: %d %#x %v", addr, ref, value, ok)
		}
	}
	if ref, _, ok := im.lookupRef(text); !ok || len(im.NameBytes(ref)) < 1<<20-7 {
		t.Errorf("%d bytes", len(im.NameBytes(ref)))
	}
}
