//go:build unix

package symbolize_test

import (
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/symbolize"
)

// A sizeless dynamic symbol does not name a signal trampoline behind it, as in a
// stripped musl; code of its own it does, and so does a symbol that says that it
// reaches so far.
func TestSizelessTrampoline(t *testing.T) {
	dir := t.TempDir()
	text := make([]byte, 0x300)
	copy(text[0x40:], []byte{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05})
	copy(text[0x140:], []byte{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05})
	copy(text[0x200:], []byte{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05})
	lib := library(0, len(text))
	lib.Sections[0].Data = text
	lib.DynSyms = []testelf.Symbol{sym("setjmp", 0x1000, 0), sym("sized", 0x1100, 0x100), sym("restore", 0x1200, 0)}
	path := write(t, dir, "lib.so", lib.Bytes())
	want := map[uint64]string{
		0x1000: "setjmp+0", 0x103f: "setjmp+3f", 0x1040: "+0", 0x1047: "+0",
		0x1140: "sized+40", 0x1200: "restore+0", 0x1207: "restore+7",
	}
	for _, prepare := range []bool{false, true} {
		mm := parse(t, fmt.Sprintf("%x-%x r-xp 00000000 00:01 12 /lib.so\n", libAt, libAt+0x2000))
		src := &source{files: map[string]string{"/lib.so": path}}
		s, err := newNamer(image.NewSpace(mm, src, new(image.Cache)), symbolize.Options{})
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
	}
}
