//go:build linux

package debugfile

import (
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

// noSections clears e_shoff, e_shnum and e_shstrndx.
func noSections(data []byte) []byte {
	data = append([]byte(nil), data...)
	clear(data[40:48])
	clear(data[60:64])
	return data
}

// TestShift compares images with the debug files that they had before they were
// moved.
func TestShift(t *testing.T) {
	lib := build(t, "3")
	moved := testelf.Move(lib.stripped, 0x41000000)
	// Only the data has moved: what names code is still right.
	data := testelf.Move(lib.stripped, 0)
	segments := image(t, lib.stripped, "lib.so").Segments()
	for i, s := range segments {
		if s.Flags&elf.PF_X == 0 {
			ph := 64 + 56*i
			binary.LittleEndian.PutUint64(data[ph+16:], s.Vaddr+0x10000)
		}
	}
	torn := testelf.Move(lib.debug, 0) // its .init is elsewhere
	tearSection(t, torn, ".init", 0x5000)
	for _, test := range []struct {
		name      string
		im, debug []byte
		want      uint64
		err       string
	}{
		{"not moved", lib.stripped, lib.debug, 0, ""},
		{"moved up", moved, lib.debug, 0x41000000, ""},
		{"moved down", lib.stripped, testelf.Move(lib.debug, 0x41000000), 1<<64 - 0x41000000, ""},
		{"no section headers", noSections(moved), lib.debug, 0x41000000, ""},
		{"data moved", noSections(data), lib.debug, 0, ""},
		{"torn", lib.stripped, torn, 0, ".init section does not lie"},
		{"nothing to compare", small(), noSections(small()), 0, ""},
	} {
		got, err := Shift(image(t, test.im, "lib.so"), image(t, test.debug, "lib.debug"))
		if got != test.want || (err == nil) != (test.err == "") || err != nil && (!strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "lib.debug")) {
			t.Errorf("%s: %#x, %v; want %#x, %q", test.name, got, err, test.want, test.err)
		}
	}

	// The finder refuses what is torn, though its build ID is right.
	dir := t.TempDir()
	write(t, dir+"/"+idPath(t, lib.whole), torn)
	f := &Finder{Dirs: []string{dir}}
	defer f.Close()
	if im, _, err := f.Find(image(t, lib.stripped, "lib.so"), "/opt/lib.so"); im != nil || err == nil || !strings.Contains(err.Error(), "does not lie") {
		t.Error(im, err)
	}
}

// tearSection moves one section of a file.
func tearSection(t *testing.T, data []byte, name string, delta uint64) {
	t.Helper()
	le := binary.LittleEndian
	sec, ok := image(t, data, "x").Section(name)
	if !ok {
		t.Fatal("no section", name)
	}
	shoff, n := le.Uint64(data[40:]), uint64(le.Uint16(data[60:]))
	for i := range n {
		if sh := data[shoff+64*i:]; le.Uint64(sh[16:]) == sec.Addr {
			le.PutUint64(sh[16:], sec.Addr+delta)
			return
		}
	}
	t.Fatal("no section header for", name)
}
