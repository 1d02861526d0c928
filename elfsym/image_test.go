package elfsym

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

func mustNew(t testing.TB, f testelf.File) *Image {
	t.Helper()
	im, err := New(f.Bytes(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func load(flags elf.ProgFlag, off, vaddr, filesz, memsz uint64) testelf.Segment {
	return testelf.Segment{Type: elf.PT_LOAD, Flags: flags, Off: off, Vaddr: vaddr, Filesz: filesz, Memsz: memsz, Align: 0x1000}
}

const (
	r  = elf.PF_R
	rx = elf.PF_R | elf.PF_X
	rw = elf.PF_R | elf.PF_W
)

func TestBias(t *testing.T) {
	pie := []testelf.Segment{load(r, 0, 0, 0x600, 0x600), load(rx, 0x1000, 0x1000, 0x234, 0x234), load(r, 0x2000, 0x2000, 0x100, 0x100), load(rw, 0x2df0, 0x3df0, 0x240, 0x300)}
	lld := []testelf.Segment{load(r, 0, 0x200000, 0x5d4, 0x5d4), load(rx, 0x5e0, 0x2015e0, 0x1a0, 0x1a0), load(rw, 0x780, 0x202780, 0x180, 0x180)}
	old := []testelf.Segment{load(rx, 0, 0x400000, 0x1e10, 0x1e10), load(rw, 0x1e10, 0x601e10, 0x230, 0x400)}
	bss := []testelf.Segment{load(rx, 0, 0x8048000, 0x800, 0x800), load(rw, 0x800, 0x9049800, 0, 0x1000)}
	huge := []testelf.Segment{load(rx, 1<<63, 0x1000, 1<<63-1, 0), load(rx, ^uint64(0)>>1, 0, 0x1000, 0)}
	for _, tc := range []struct {
		name            string
		segs            []testelf.Segment
		class           elf.Class
		start, end, off uint64
		exec            bool
		bias            uint64
		ok              bool
	}{
		{"pie text", pie, 0, 0x555555555000, 0x555555556000, 0x1000, true, 0x555555554000, true},
		{"pie header", pie, 0, 0x555555554000, 0x555555555000, 0, false, 0x555555554000, true},
		{"pie data", pie, 0, 0x555555557000, 0x555555558000, 0x2000, false, 0x555555555000, true}, // the read-only page looks the same
		{"pie second data page", pie, 0, 0x555555558000, 0x555555559000, 0x3000, false, 0x555555554000, true},
		{"lld text", lld, 0, 0x201000, 0x202000, 0, true, 0, true},
		{"lld text, moved", lld, 0, 0x7f0000001000, 0x7f0000002000, 0, true, 0x7effffe00000, true},
		{"text", old, 0, 0x400000, 0x402000, 0, true, 0, true},
		{"the text's last page as data", old, 0, 0x601000, 0x603000, 0x1000, false, 0, true},
		{"second page of the text", old, 0, 0x401000, 0x402000, 0x1000, true, 0, true},
		{"executable data", old, 0, 0x602000, 0x603000, 0x2000, true, 0, true},
		{"behind the file", old, 0, 0x700000, 0x701000, 0x3000, true, 0, false},
		{"32 bits wrap", bss, elf.ELFCLASS32, 0x1000, 0x2000, 0, true, 0xf7fb9000, true},
		{"segment without bytes", bss[1:], elf.ELFCLASS32, 0x1000, 0x2000, 0, false, 0, false},
		{"empty mapping", pie, 0, 0x1000, 0x1000, 0, true, 0, false},
		{"backward mapping", pie, 0, 0x1000, 0, 0, true, 0, false},
		{"wrapping offset", pie, 0, 0x1000, 0x3000, ^uint64(0xfff), true, 0, false},
		{"wrapping segment", huge, 0, 0x1000, 0x2000, 0x1000, true, 0, false},
	} {
		im := mustNew(t, testelf.File{Class: tc.class})
		im.loads = nil
		for _, s := range tc.segs {
			im.loads = append(im.loads, Segment{s.Vaddr, s.Off, s.Filesz, s.Memsz, s.Flags, s.Align})
		}
		bias, ok := im.Bias(tc.start, tc.end, tc.off, tc.exec)
		if ok != tc.ok || ok && bias != tc.bias {
			t.Errorf("%s: bias %#x %v, want %#x %v", tc.name, bias, ok, tc.bias, tc.ok)
		}
	}
}

func TestGateBias(t *testing.T) {
	for _, tc := range []struct {
		name       string
		file       testelf.File
		start, end uint64
		want       uint64
	}{
		{"vdso", testelf.File{}, 0x7ffff7fc1000, 0x7ffff7fc3000, 0x7ffff7fc1000},
		{"ia64 gate, linked to its place", testelf.File{Machine: elf.EM_IA_64, Base: 0xa000000000000000}, 0xa000000000000000, 0xa000000000020000, 0},
		{"x86-64 vdso of old, linked high", testelf.File{Base: 0xffffffffff700000}, 0x7fff00001000, 0x7fff00002000, 0x7fff00901000},
		{"i386 vdso", testelf.File{Class: elf.ELFCLASS32, Machine: elf.EM_386, Base: 0xffffe000}, 0xf7fd0000, 0xf7fd2000, 0xf7fd2000},
		{"no segments", testelf.File{Segments: []testelf.Segment{{Type: elf.PT_NOTE}, load(r, 0, 0, 0, 0)}}, 0x1000, 0x2000, 0x1000},
	} {
		im := mustNew(t, tc.file)
		got := im.GateBias(tc.start, tc.end)
		if tc.file.Base == 0xffffffffff700000 {
			tc.want = tc.start - 0xffffffffff700000 // modulo 2^64
		}
		if tc.file.Class == elf.ELFCLASS32 {
			tc.want = (tc.start - tc.file.Base) & 0xffffffff
		}
		if got != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.name, got, tc.want)
		}
	}
}

func TestBuildID(t *testing.T) {
	id := []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14")
	property := testelf.Section{Name: ".note.gnu.property", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Addr: 0x400, Addralign: 8,
		// An 8-byte aligned note with a descriptor of 4 bytes, then an ABI tag.
		Data: []byte("\x04\x00\x00\x00\x04\x00\x00\x00\x05\x00\x00\x00GNU\x00abcd\x00\x00\x00\x00" + "\x04\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00GNU\x00abcd")}
	for _, align := range []int{4, 8} {
		for _, strip := range []bool{false, true} {
			im := mustNew(t, testelf.File{BuildID: id, NoteAlign: align, NoSectionHeaders: strip, Sections: []testelf.Section{property}})
			if got := im.BuildID(); !bytes.Equal(got, id) {
				t.Errorf("align %d stripped %v: %x", align, strip, got)
			}
		}
	}
	le := binary.LittleEndian
	note := func(parts ...uint32) (b []byte) {
		for _, p := range parts {
			b = le.AppendUint32(b, p)
		}
		return b
	}
	const gnu = 0x554e47
	for _, tc := range []struct {
		name  string
		notes []byte
		align uint64
		want  int // length
	}{
		{"behind another note", append(note(4, 16, 1, gnu, 0, 2, 2, 0), note(4, 8, 3, gnu, 1, 2)...), 4, 8},
		{"odd name size before it", append(note(5, 1, 7, gnu, 0x41, 0), note(4, 8, 3, gnu, 1, 2)...), 4, 8},
		{"padded to 8", append(note(4, 4, 5, gnu, 1, 0), note(4, 4, 3, gnu, 1, 0)...), 8, 4},
		{"owner is not GNU", note(4, 8, 3, 0x123456, 1, 2), 4, 0},
		{"empty descriptor", note(4, 0, 3, gnu), 4, 0},
		{"descriptor too long", note(4, 9, 3, gnu, 1, 2), 4, 0},
		{"sizes of 4 GiB", note(0xffffffff, 0xffffffff, 3, gnu, 1, 2), 4, 0},
		{"sizes of 4 GiB, padded to 8", note(0xffffffff, 0xffffffff, 3, gnu, 1, 2), 8, 0},
		{"cut", note(4, 8), 4, 0},
		{"nothing", nil, 4, 0},
	} {
		im := mustNew(t, testelf.File{})
		if got := im.findBuildID(noteRange{tc.notes, noteAlign(tc.align)}); len(got) != tc.want {
			t.Errorf("%s: %x", tc.name, got)
		}
	}
}

func TestBytes(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 16)
	im := mustNew(t, testelf.File{Base: 0x10000, Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x10200, Data: text}}})
	for _, tc := range []struct {
		addr uint64
		n    int
		want string
	}{
		{0x10200, 4, "0123"}, {0x102fe, 9, "ef"}, {0x10300, 1, ""}, {0xffff, 1, ""}, {0x10200, 0, ""}, {0x10200, -1, ""}, {^uint64(0), 8, ""},
	} {
		if got := im.Bytes(tc.addr, tc.n); string(got) != tc.want {
			t.Errorf("Bytes(%#x, %d) = %q, want %q", tc.addr, tc.n, got, tc.want)
		}
	}
	if segs := im.Segments(); len(segs) != 1 || segs[0].Vaddr != 0x10000 || segs[0].Filesz != 0x300 || segs[0].Flags != rx {
		t.Errorf("%+v", segs)
	}
}

func TestEhFrameHdr(t *testing.T) {
	hdr := []byte{1, 0x1b, 3, 0x3b}
	for _, strip := range []bool{false, true} {
		im := mustNew(t, testelf.File{NoSectionHeaders: strip, Sections: []testelf.Section{{Name: ".eh_frame_hdr", Flags: elf.SHF_ALLOC, Addr: 0x800, Data: hdr}}})
		if addr, b, ok := im.EhFrameHdr(); !ok || addr != 0x800 || !bytes.Equal(b, hdr) {
			t.Errorf("%#x %x %v", addr, b, ok)
		}
	}
	if _, _, ok := mustNew(t, testelf.File{}).EhFrameHdr(); ok {
		t.Error("a header from nowhere")
	}
}

func TestSection(t *testing.T) {
	plain := bytes.Repeat([]byte("debug info "), 1000)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(plain)
	w.Close()
	le := binary.LittleEndian
	chdr := func(typ, size uint64, b []byte) []byte { // Elf64_Chdr
		h := le.AppendUint32(nil, uint32(typ))
		h = le.AppendUint32(h, 0)
		h = le.AppendUint64(h, size)
		return append(le.AppendUint64(h, 1), b...)
	}
	zdebug := func(size uint64, b []byte) []byte {
		return append(binary.BigEndian.AppendUint64([]byte("ZLIB"), size), b...)
	}
	const zl, zstd = uint64(elf.COMPRESS_ZLIB), uint64(elf.COMPRESS_ZSTD)
	// A zstd frame: magic, single segment with an 8-byte size, one RLE block.
	rle := append(le.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, 1000), 0x43, 0x1f, 0, 'z')
	n := uint64(len(plain))
	im := mustNew(t, testelf.File{Sections: []testelf.Section{
		{Name: ".text", Flags: testelf.TextFlags, Addr: 0x400, Data: []byte("code")},
		{Name: ".bss", Type: elf.SHT_NOBITS, Flags: elf.SHF_ALLOC, Addr: 0x9000, Size: 0x50},
		{Name: ".debug_info", Flags: elf.SHF_COMPRESSED, Data: chdr(zl, n, z.Bytes())},
		{Name: ".debug_str", Flags: elf.SHF_COMPRESSED, Data: chdr(zstd, 1000, rle)},
		{Name: ".zdebug_line", Data: zdebug(n, z.Bytes())},
		{Name: ".debug_lies", Flags: elf.SHF_COMPRESSED, Data: chdr(zl, 1<<40, z.Bytes())},
		{Name: ".debug_short", Flags: elf.SHF_COMPRESSED, Data: chdr(zl, n+1, z.Bytes())},
		{Name: ".debug_ratio", Flags: elf.SHF_COMPRESSED, Data: chdr(zl, 1<<29, z.Bytes())},
		{Name: ".debug_odd", Flags: elf.SHF_COMPRESSED, Data: chdr(77, n, z.Bytes())},
		{Name: ".debug_zero", Flags: elf.SHF_COMPRESSED, Data: chdr(zl, 0, z.Bytes())},
		{Name: ".zdebug_bad", Data: []byte("ZLIBxx")},
		{Name: ".zdebug_junk", Data: zdebug(10, []byte("no stream of zlib's"))},
		{Name: ".zdebug_lies", Data: zdebug(1<<60, z.Bytes())},
	}})
	for range 2 { // the second time from the cache
		for name, want := range map[string]string{
			".text": "code", ".bss": "", ".debug_info": string(plain), ".debug_str": strings.Repeat("z", 1000),
			".debug_line": string(plain), ".zdebug_line": string(plain),
		} {
			if sec, ok := im.Section(name); !ok || string(sec.Data) != want {
				t.Errorf("%s: %d bytes, %v", name, len(sec.Data), ok)
			}
		}
		for _, name := range []string{".debug_lies", ".debug_short", ".debug_ratio", ".debug_odd", ".debug_zero", ".debug_bad", ".debug_junk", ".zdebug_lies", ".nosuch", ""} {
			if sec, ok := im.Section(name); ok {
				t.Errorf("%s: %d bytes", name, len(sec.Data))
			}
		}
	}
	if sec, ok := im.Section(".bss"); !ok || sec.Addr != 0x9000 || sec.Size != 0x50 {
		t.Errorf("%+v", sec)
	}
}

// TestSectionHeadersOutside is an image copied from memory: its section headers
// were not loaded.
func TestSectionHeadersOutside(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		f := testFile(nil, []testelf.Symbol{sy("__kernel_vsyscall", text, 0x14)})
		f.Class, f.BuildID = class, []byte("12345678")
		b := f.Bytes()
		full := mustNew(t, f)
		end := full.loads[0].Filesz
		im, err := New(b[:end], "[vdso]")
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := im.Lookup(text + 4); !ok || s.Name != "__kernel_vsyscall" || s.Table != "dynamic" {
			t.Errorf("%v: %+v %v", class, s, ok)
		}
		if string(im.BuildID()) != "12345678" {
			t.Errorf("%v: build ID %x", class, im.BuildID())
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	header := string(testelf.File{}.Bytes())
	for _, tc := range []struct{ path, want string }{
		{filepath.Join(dir, "none"), "no such file"},
		{dir, "not a regular file"},
		{write("empty", ""), "not an ELF file"},
		{write("script", "#!/bin/sh\nexec true\n"), "not an ELF file"},
		{write("magic", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), ""},
		{write("cut", header[:40]), ""},
		{write("class", header[:4]+"\x07"+header[5:]), "class"},
	} {
		im, err := OpenPath(tc.path)
		if err == nil {
			im.Close()
			t.Errorf("%s: opened", tc.path)
			continue
		}
		if !strings.HasPrefix(err.Error(), tc.path+": ") || !strings.Contains(err.Error(), tc.want) || strings.Count(err.Error(), tc.path) != 1 {
			t.Errorf("%s: %v", tc.path, err)
		}
	}
}

// TestTruncatedWhileOpen shrinks files under an Image: SIGBUS must become a
// miss, not the end of the program.
func TestTruncatedWhileOpen(t *testing.T) {
	var syms []testelf.Symbol
	for i := range uint64(64) {
		syms = append(syms, sy("f", text+8*i, 8))
	}
	f := testFile(syms, syms)
	f.BuildID = []byte("12345678")
	path := filepath.Join(t.TempDir(), "a.so")
	open := func() *Image {
		if err := os.WriteFile(path, f.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		im, err := OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { im.Close() })
		return im
	}
	indexed := open()
	ref, _, ok := indexed.lookupRef(text)
	if !ok {
		t.Fatal("no symbol")
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := indexed.lookupRef(text + 9); !ok {
		t.Error("the index does not need the file")
	}
	if s, ok := indexed.Symbol(ref); ok {
		t.Errorf("Symbol: %+v", s)
	}
	if err := Protect(func() error { indexed.NameBytes(ref); return nil }); !errors.Is(err, ErrFault) {
		t.Errorf("NameBytes under Protect: %v", err)
	}

	im := open()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if s, ok := im.Lookup(text); ok {
		t.Errorf("Lookup: %+v", s)
	}
	if _, ok := im.FuncStart(text); ok {
		t.Error("FuncStart")
	}
	if _, _, ok := im.lookupRef(text); ok {
		t.Error("lookupRef")
	}
	if id := im.BuildID(); id != nil {
		t.Errorf("BuildID: %x", id)
	}
	fd, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	if _, err := Open(fd, "x"); err == nil {
		t.Error("an empty file opened")
	}
	if err := Protect(func() error { return ErrNotELF }); err != ErrNotELF {
		t.Errorf("Protect: %v", err)
	}
	defer func() {
		if recover() != "other" {
			t.Error("Protect swallowed a panic that is no fault")
		}
	}()
	Protect(func() error { panic("other") })
}
