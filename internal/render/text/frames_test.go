package text

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/stack"
)

// Many frames at once are printed as one by one, and end where they should.
func TestAppendFrames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var frames []stack.Frame
	for i := range 200 {
		f := stack.Frame{PC: rnd.Uint64() >> rnd.IntN(64), Module: &stack.Module{Path: "/lib/x.so", BuildID: "ab"}, ModuleOffset: uint64(i)}
		for k := range rnd.IntN(3) {
			n := stack.Name{Symbol: fmt.Sprintf("f%d<int, %d>", i, k), Plain: true, Offset: rnd.Uint64() >> rnd.IntN(64)}
			switch rnd.IntN(6) {
			case 0:
				n.Symbol, n.Plain = "a\x1b\\b", false
			case 1:
				n.Symbol, n.File, n.Line = "", "a.c", i
			case 2:
				n.Language = "python"
			}
			f.Names = append(f.Names, n)
		}
		frames = append(frames, f)
	}
	for _, o := range []Options{{}, {Raw: true}, {Module: true}, {BuildID: true}, {Source: true}, {Source: true, Inlines: true}, {Color: true}} {
		for _, wordSize := range []int{4, 8} {
			want := ""
			for i := range frames {
				want += string(o.AppendFrame(nil, &frames[i], wordSize))
			}
			all, n := o.AppendFrames(nil, frames, wordSize, math.MaxInt)
			if d := cmp.Diff(want, string(all)); d != "" || n != len(frames) {
				t.Errorf("%+v: %d frames, (-want +got):\n%s", o, n, d)
			}
			var parts strings.Builder
			for rest := frames; len(rest) > 0; {
				out, n := o.AppendFrames(nil, rest, wordSize, 100)
				if last, _ := o.AppendFrames(nil, rest[:n-1], wordSize, math.MaxInt); len(last) >= 100 || n < len(rest) && len(out) < 100 {
					t.Fatalf("%d frames of %d bytes for a limit of 100", n, len(out))
				}
				parts.Write(out)
				rest = rest[n:]
			}
			if d := cmp.Diff(want, parts.String()); d != "" {
				t.Errorf("%+v in parts (-want +got):\n%s", o, d)
			}
		}
	}
}

func TestAppendFramesAllocates(t *testing.T) {
	frames := []stack.Frame{{PC: 1, Names: []stack.Name{{Symbol: "f", Plain: true, Offset: 1}}}, {PC: 2}}
	buf := make([]byte, 0, 1<<10)
	o := new(Options)
	if allocs := testing.AllocsPerRun(100, func() { buf, _ = o.AppendFrames(buf[:0], frames, 8, 1<<10) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
