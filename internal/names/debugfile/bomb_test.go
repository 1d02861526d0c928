//go:build linux

package debugfile

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
)

// packedZlib and packedZstd are the contents of a section that is said to yield
// size bytes, all 0, and does.
func packedZlib(t *testing.T, size int) []byte {
	t.Helper()
	b := chdr(1, size)
	w := zlib.NewWriter(b)
	zeros := make([]byte, 1<<20)
	for n := size; n > 0; n -= len(zeros) {
		w.Write(zeros[:min(n, len(zeros))])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A zstd frame (RFC 8878) of RLE blocks has 4 bytes for 128 KiB.
func packedZstd(size int) []byte {
	b := chdr(2, size)
	b.Write([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3}) // a window of 8 MiB, no content size
	for size > 0 {
		n := min(size, 128<<10)
		size -= n
		h := uint32(n)<<3 | 1<<1
		if size == 0 {
			h |= 1
		}
		b.Write([]byte{byte(h), byte(h >> 8), byte(h >> 16), 0})
	}
	return b.Bytes()
}

// chdr is an Elf64_Chdr.
func chdr(typ uint32, size int) *bytes.Buffer {
	b := new(bytes.Buffer)
	binary.Write(b, binary.LittleEndian, []uint64{uint64(typ), uint64(size), 1})
	return b
}

// TestCompressedBombs has sections that say, truly or not, to hold a gigabyte
// where bt looks for debug files and symbols.
func TestCompressedBombs(t *testing.T) {
	const size = 1 << 29
	bombs := map[string][]byte{"zlib": packedZlib(t, size), "zstd": packedZstd(size), "a lie": chdr(1, 1<<40).Bytes(), "short": {1}}
	for name, data := range bombs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, section := range []string{".gnu_debuglink", ".gnu_debugdata"} {
			im := image(t, testelf.File{Sections: []testelf.Section{{Name: section, Flags: elf.SHF_COMPRESSED, Data: data}}}.Bytes(), "hostile.so")
			if link, ok := ReadDebuglink(im); ok {
				t.Errorf("%s %s: %v", name, section, link)
			}
			if mini, _ := MiniDebug(im); mini != nil {
				t.Errorf("%s %s: %v", name, section, mini)
			}
		}
		// A debug file whose symbol table or strings are compressed has none.
		for _, section := range []string{".symtab", ".strtab"} {
			id := []byte("0123")
			f := testelf.File{BuildID: id, Sections: []testelf.Section{
				{Name: ".symtab", Type: elf.SHT_SYMTAB, Link: 2, Data: make([]byte, 240)},
				{Name: ".strtab", Type: elf.SHT_STRTAB, Data: make([]byte, 240)},
			}}
			for i := range f.Sections {
				if s := &f.Sections[i]; s.Name == section {
					s.Flags, s.Data = elf.SHF_COMPRESSED, data
				}
			}
			dir := t.TempDir()
			write(t, dir+"/.build-id/30/313233.debug", f.Bytes())
			finder := Finder{Dirs: []string{dir}}
			im, _, err := finder.Find(image(t, testelf.File{BuildID: id}.Bytes(), "lib.so"), "/lib.so")
			if im != nil || err == nil || !strings.Contains(err.Error(), "313233.debug") {
				t.Errorf("%s %s: %v, %v", name, section, im, err)
			}
			finder.Close()
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20 {
			t.Errorf("%s takes %d MiB", name, got>>20)
		}
	}
}
