//go:build unix

package symbolize

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/stack"
)

// What is handed out stays as it is when there is no more room for names, and what
// is asked for afterwards is named all the same.
func TestTextsFull(t *testing.T) {
	const n = 5000
	f := testelf.File{Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x1000, Data: make([]byte, 16*n)}}}
	long := strings.Repeat("x", 100)
	for i := range n {
		f.Symbols = append(f.Symbols, testelf.Symbol{Name: fmt.Sprintf("%s%d", long, i), Value: 0x1000 + 16*uint64(i), Size: 16, Type: 2, Section: ".text"})
	}
	im, err := elfsym.New(f.Bytes(), "x")
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewImage(im)
	s := NewForImage(Options{})
	first := s.texts.Load()
	first.used = (maxChunks - 1) * chunkSize // a chunk is left: half of the names
	names := func() []stack.Frame {
		frames := make([]stack.Frame, n)
		for i := range frames {
			frames[i] = stack.Frame{PC: 0x1000 + 16*uint64(i), Exact: true}
		}
		s.InImage(img, frames)
		return frames
	}
	check := func(frames []stack.Frame) {
		t.Helper()
		for i := range frames {
			if got := frames[i].Function(); got == nil || got.Symbol != f.Symbols[i].Name || !got.Plain {
				t.Fatalf("%d: %+v", i, got)
			}
		}
	}
	frames := names()
	check(frames)
	if s.texts.Load() == first {
		t.Error("there is room for all names")
	}
	check(names())
	check(frames)
	if size := s.texts.Load().used; size > n*200 {
		t.Errorf("%d bytes are in use", size)
	}
}

func TestTexts(t *testing.T) {
	var x texts
	type kept struct {
		name string
		at   uint64
	}
	var all []kept
	for i := range 5000 {
		name := strings.Repeat(string(rune('a'+i%26)), 1+i*37%1500)
		at, ok := x.put(name)
		if !ok {
			t.Fatal("full")
		}
		all = append(all, kept{name, at})
	}
	for _, k := range all {
		if got := x.get(k.at, uint64(len(k.name))); got != k.name {
			t.Fatalf("%q at %d is %q", k.name, k.at, got)
		}
	}
	x.used = maxChunks*chunkSize - 3
	if _, ok := x.put("four"); ok {
		t.Error("a name beyond the end was kept")
	}
	if at, ok := x.put("end"); !ok || x.get(at, 3) != "end" {
		t.Error("the last bytes are not used")
	}
}
