package lines

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/gatedso/bt/stack"
)

// benchSpace answers with the least that an answer can be.
type benchSpace struct{}

func (benchSpace) Frames([]stack.Frame)                 {}
func (benchSpace) WordSize() int                        { return 8 }
func (benchSpace) Locate(string, uint64) (uint64, bool) { return 0, false }

func lines(n int, format string) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for range n {
		fmt.Fprintf(&b, format, 0x7f0000000000+rnd.Uint64N(1<<28))
	}
	return b.Bytes()
}

// TestNoAllocation checks that lines do not cost allocations: twenty times as
// many make no more of them.
func TestNoAllocation(t *testing.T) {
	for _, format := range []string{"%x\n", "%#x\n", "%016x <f+0x1> a.c:1\n", "./a.out(f+0x1) [%#x]\n", "# %x\n", "%x %[1]x\n"} {
		for _, workers := range []int{1, 2} {
			count := func(n int) float64 {
				in := bytes.NewReader(lines(n, format))
				lim := limits{chunk: 4 << 10, flush: 8 << 10, maxLine: 4 << 10}
				return testing.AllocsPerRun(3, func() {
					in.Seek(0, io.SeekStart)
					if _, err := run(in, io.Discard, Options{Append: each(appendRaw), Space: benchSpace{}, Workers: workers}, lim); err != nil {
						t.Fatal(err)
					}
				})
			}
			// The number of chunks in flight differs from run to run.
			if few, many := count(2_000), count(40_000); many > few+150 {
				t.Errorf("%q, %d workers: %v allocations for 2,000 lines, %v for 40,000", format, workers, few, many)
			}
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for _, f := range []struct{ name, format string }{
		{"hex", "%x\n"},
		{"0x", "%#x\n"},
		{"16digits", "%016x\n"},
		{"named", "%016x <std::vector<int>::operator->(int) const+0x12> /usr/lib/lib-x.so.6\n"},
		{"comments", "# %x\n"},
	} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", f.name, workers), func(b *testing.B) {
				const n = 200_000
				in := lines(n, f.format)
				b.SetBytes(int64(len(in)))
				for b.Loop() {
					if _, err := Run(bytes.NewReader(in), io.Discard, Options{Append: each(appendRaw), Space: benchSpace{}, Workers: workers}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/line")
			})
		}
	}
}
