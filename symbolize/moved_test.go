//go:build unix

package symbolize_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/symbolize"
)

// A prelinked library is named by the debug file that was made before, by both
// ways of naming, and its dynamic symbols are not shifted.
func TestMoved(t *testing.T) {
	dir := t.TempDir()
	const delta = 0x4100000
	id := []byte{0xab, 0xcd, 0xef}
	debug := library(0, 0x300, sym("first", 0x1000, 0x100), sym("second", 0x1100, 0x80))
	debug.BuildID = id
	lib := library(delta, 0x300)
	lib.BuildID = id
	lib.DynSyms = []testelf.Symbol{sym("exported", delta+0x1200, 0x40)}
	if err := os.MkdirAll(dir+"/.build-id/ab", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".build-id/ab/cdef.debug", debug.Bytes())
	path := write(t, dir, "lib.so", lib.Bytes())

	want := map[uint64]string{
		0x1000: "first+0", 0x10ff: "first+ff", 0x1101: "second+1", 0x1180: "+0", 0x1200: "exported+0", 0x123f: "exported+3f", 0x1240: "+0",
	}
	for _, prepare := range []bool{false, true} {
		f := &debugfile.Finder{Dirs: []string{dir}}
		mm := parse(t, fmt.Sprintf("%x-%x r-xp 00000000 00:01 12 /lib.so\n", libAt, libAt+0x2000))
		src := &source{files: map[string]string{"/lib.so": path}, ids: map[string][]byte{"/lib.so": id}}
		s, err := newNamer(image.NewSpace(mm, src, new(image.Cache)), symbolize.Options{Debug: f})
		if err != nil {
			t.Fatal(err)
		}
		if prepare {
			var queries []query
			for off := range want {
				queries = append(queries, query{Addr: libAt + off, Exact: true})
			}
			s.Prepare(queries)
		}
		for off, name := range want {
			n := s.Name(libAt+off, true)
			if got := fmt.Sprintf("%s+%x", n.Symbol, n.Offset); got != name {
				t.Errorf("prepared %v: %#x is %s, want %s", prepare, off, got, name)
			}
		}
		f.Close()
	}
}
