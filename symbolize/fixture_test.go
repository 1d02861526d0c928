//go:build unix

package symbolize_test

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
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

// namer is a symbolizer whose answers can be compared.
type namer struct {
	*symbolize.Symbolizer
	prepared map[query]name
}

// query is an address to be named.
type query struct {
	Addr  uint64
	Exact bool
}

// name is what is known of an address that no call is inlined at.
type name struct {
	Symbol, Version string
	Offset          uint64
	Miss            stack.Miss
	Source          string
	Module          *stack.Module
	ModOff          uint64
}

func nameOfFrame(f *stack.Frame) name {
	n := name{Miss: f.Miss, Module: f.Module, ModOff: f.ModuleOffset}
	if own := f.Function(); own != nil {
		n.Symbol, n.Version, n.Offset, n.Source = own.Symbol, own.Version, own.Offset, own.Source
	}
	return n
}

// Prepare names addresses together, as those of a stack. Name returns these names.
func (s *namer) Prepare(queries []query) {
	p := stack.Process{Threads: make([]stack.Thread, 1)}
	for _, q := range queries {
		p.Threads[0].Frames = append(p.Threads[0].Frames, stack.Frame{PC: q.Addr, Exact: q.Exact})
	}
	s.Stacks(&p)
	s.prepared = make(map[query]name)
	for i, q := range queries {
		s.prepared[q] = nameOfFrame(&p.Threads[0].Frames[i])
	}
}

// Name names an address by itself.
func (s *namer) Name(addr uint64, exact bool) name {
	if n, ok := s.prepared[query{addr, exact}]; ok {
		return n
	}
	return s.NameAll([]uint64{addr}, exact)[0]
}

// NameAll names addresses at once.
func (s *namer) NameAll(addrs []uint64, exact bool) []name {
	return all(addrs, exact, s.Frames)
}

// Image names a link-time address.
func (s *namer) Image(im *image.Image, link uint64, exact bool) name {
	return s.ImageAll(im, []uint64{link}, exact)[0]
}

// ImageAll names link-time addresses at once.
func (s *namer) ImageAll(im *image.Image, links []uint64, exact bool) []name {
	return all(links, exact, func(f []stack.Frame) { s.InImage(im, f) })
}

func all(addrs []uint64, exact bool, frames func([]stack.Frame)) []name {
	f := make([]stack.Frame, len(addrs))
	for i, addr := range addrs {
		f[i] = stack.Frame{PC: addr, Exact: exact}
	}
	frames(f)
	names := make([]name, len(addrs))
	for i := range f {
		names[i] = nameOfFrame(&f[i])
	}
	return names
}

func newNamer(space *image.Space, o symbolize.Options) (*namer, error) {
	s, err := symbolize.New(space, o)
	return &namer{Symbolizer: s}, err
}

func newSymbolizer(t testing.TB, m string, src *source, o symbolize.Options) (*namer, *image.Space) {
	t.Helper()
	space := image.NewSpace(parse(t, m), src, new(image.Cache))
	s, err := newNamer(space, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, space
}

// open returns the image of a file by itself, and its symbolizer.
func open(t testing.TB, f testelf.File, d symbolize.Demangle) (*namer, *image.Image) {
	t.Helper()
	path := write(t, t.TempDir(), "x.so", f.Bytes())
	src := &source{files: map[string]string{"/x": path}}
	space := image.NewSpace(parse(t, "7f0000000000-7f0000100000 r-xp 00000000 08:01 1 /x\n"), src, new(image.Cache))
	im, err := space.Modules()[0].Image()
	if err != nil {
		t.Fatal(err)
	}
	return &namer{Symbolizer: symbolize.NewForImage(symbolize.Options{Demangle: d})}, im
}

// show is a name in short.
func show(n name) string {
	if n.Symbol == "" {
		return "?" + n.Miss.Text()
	}
	if n.Miss != "" {
		return fmt.Sprintf("%s+%x, but %s", escape.Name(n.Symbol), n.Offset, n.Miss)
	}
	return fmt.Sprintf("%s+%x", escape.Name(n.Symbol), n.Offset)
}

var live = gate.Setting{Value: gate.Live, From: "test"}
