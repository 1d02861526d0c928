package image_test

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

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
)

// A few bytes of a sparse file can claim tables of any size, of which all but the
// first bytes lie in a hole. Each section and segment in turn is such a one: what
// it costs is bounded by what the file really holds.
func TestTablesInHoles(t *testing.T) {
	const huge = 64 << 30
	exe, err := os.Executable() // a Go program
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"c": cProgram(t), "c, no .eh_frame_hdr": cProgram(t, "-g", "-Wl,--no-eh-frame-hdr"), "go": exe} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			le := binary.LittleEndian
			variants := map[string]func(b []byte){
				"section header string table of no section": func(b []byte) { le.PutUint16(b[62:], 0xffff); le.PutUint16(b[60:], 0) },
				"section headers":       func(b []byte) { le.PutUint16(b[60:], 0); le.PutUint64(b[le.Uint64(b[40:])+32:], 1<<30) },
				"large section headers": func(b []byte) { le.PutUint16(b[58:], 0xffff); le.PutUint64(b[40:], hole(b)) },
				"large program headers": func(b []byte) {
					le.PutUint16(b[54:], 0xffff)
					le.PutUint16(b[56:], 0xffff)
					le.PutUint64(b[32:], hole(b))
				},
			}
			symtab := ""
			for i := range int(le.Uint16(data[60:])) {
				if elf.SectionType(le.Uint32(data[le.Uint64(data[40:])+uint64(i)*64+4:])) == elf.SHT_SYMTAB {
					symtab = fmt.Sprintf("section %d", i)
				}
				variants[fmt.Sprintf("section %d", i)] = func(b []byte) {
					h := b[le.Uint64(b[40:])+uint64(i)*64:]
					le.PutUint64(h[32:], huge) // it goes on behind its bytes, and behind all others
				}
				variants[fmt.Sprintf("section %d in a hole", i)] = func(b []byte) {
					h := b[le.Uint64(b[40:])+uint64(i)*64:]
					le.PutUint64(h[24:], hole(b))
					le.PutUint64(h[32:], huge)
				}
			}
			for i := range int(le.Uint16(data[56:])) {
				variants[fmt.Sprintf("segment %d in a hole", i)] = func(b []byte) {
					h := b[le.Uint64(b[32:])+uint64(i)*56:]
					le.PutUint64(h[8:], hole(b))
					le.PutUint64(h[32:], huge)
					le.PutUint64(h[40:], huge)
				}
			}
			dir := t.TempDir()
			for what, change := range variants {
				b := bytes.Clone(data)
				change(b)
				sparse := filepath.Join(dir, "sparse")
				if err := os.WriteFile(sparse, b, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(sparse, int64(hole(b))+2*huge); err != nil {
					t.Skip(err) // a file system without such large files
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if im, err := elfsym.OpenPath(sparse); err == nil {
					askAll(image.NewImage(im))
					if cut := strings.Contains(im.Cut(), ".symtab"); cut != (what == symtab) && what != symtab+" in a hole" {
						t.Errorf("%s: what is cut: %q", what, im.Cut())
					}
					im.Close()
				}
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > 256<<20 {
					t.Errorf("%s: %d MiB were allocated", what, n>>20)
				}
			}
		})
	}
}

// hole is where the hole behind the bytes of a file begins.
func hole(b []byte) uint64 { return (uint64(len(b)) + 1<<20) &^ 0xfff }
