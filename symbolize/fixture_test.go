package symbolize_test

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

const libAt = 0x7f0000000000

// sym is a function of a test's ELF file.
func sym(name string, value, size uint64) testelf.Symbol {
	return testelf.Symbol{Name: name, Value: value, Size: size, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"}
}

// library is an ELF file with text from base+0x1000 onwards.
func library(base uint64, size int, syms ...testelf.Symbol) testelf.File {
	return testelf.File{
		Base:     base,
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: base + 0x1000, Data: make([]byte, size)}},
		Symbols:  syms,
	}
}

func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func parse(t testing.TB, text string) *maps.Map {
	t.Helper()
	m, err := maps.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// source is an address space made by hand.
type source struct {
	files map[string]string // path in the maps: path of the file
	mem   map[uint64][]byte // by address
	ids   map[string][]byte
}

func (s *source) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	path, ok := s.files[m.Path]
	if !ok {
		return nil, "", false, os.ErrNotExist
	}
	f, err := procfs.Open(path)
	return f, "test", true, err
}

func (s *source) ReadMemory(addr uint64, b []byte) (int, error) {
	for at, data := range s.mem {
		if addr-at < uint64(len(data)) {
			return copy(b, data[addr-at:]), nil
		}
	}
	return 0, errors.New("no such memory")
}

func (s *source) BuildID(m *maps.Mapping) []byte { return s.ids[m.Path] }

func newSymbolizer(t testing.TB, m string, src *source, o symbolize.Options) (*symbolize.Symbolizer, *image.Space) {
	t.Helper()
	space := image.NewSpace(parse(t, m), src, new(image.Cache))
	s, err := symbolize.New(space, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, space
}

// open returns the image of a file by itself, and its symbolizer.
func open(t testing.TB, f testelf.File, d symbolize.Demangle) (*symbolize.Symbolizer, *image.Image) {
	t.Helper()
	path := write(t, t.TempDir(), "x.so", f.Bytes())
	src := &source{files: map[string]string{"/x": path}}
	space := image.NewSpace(parse(t, "7f0000000000-7f0000100000 r-xp 00000000 08:01 1 /x\n"), src, new(image.Cache))
	im, err := space.Modules()[0].Image()
	if err != nil {
		t.Fatal(err)
	}
	return symbolize.NewForImage(symbolize.Options{Demangle: d}), im
}

// show is a name in short.
func show(n symbolize.Name) string {
	if n.Symbol == "" {
		return "?" + n.Miss.String()
	}
	if n.Miss != symbolize.Named {
		return fmt.Sprintf("%s+%x, but %s", n.Symbol, n.Offset, n.Miss)
	}
	return fmt.Sprintf("%s+%x", n.Symbol, n.Offset)
}

var live = gate.Setting{Value: gate.Live, From: "test"}
