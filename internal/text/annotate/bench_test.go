package annotate

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/gatedso/bt/internal/render/text"
)

func BenchmarkFilter(b *testing.B) {
	root := sysroot(b)
	target := mapped(b, root, sampleMaps)
	rnd := rand.New(rand.NewPCG(1, 2))
	addr := func() uint64 { return 0x7f0000001100 + rnd.Uint64N(0x500) }
	for _, bm := range []struct {
		name string
		line func() string
	}{
		{"log", func() string {
			return fmt.Sprintf("2026-11-23T22:05:%02d.%06d host-%d service[%d]: GET /index/%d.html?q=abc 200 %d bytes, facade deadbeat\n",
				rnd.IntN(60), rnd.IntN(1e6), rnd.IntN(10), rnd.IntN(1e5), rnd.IntN(1e6), rnd.IntN(1e6))
		}},
		{"prose", func() string { return "the quick brown fox jumps over the lazy dog and feeds a decade of bad cafes\n" }},
		{"hex", func() string { return fmt.Sprintf("%#x\n", addr()) }},
		{"raw", func() string { return fmt.Sprintf("%016x\n", addr()) }},
		{"gdb", func() string { return fmt.Sprintf("#1  %#016x in ?? () from /lib/libfoo.so\n", addr()) }},
		{"glibc", func() string { a := addr(); return fmt.Sprintf("/lib/libfoo.so(+0x%x) [%#x]\n", a-0x7f0000000000, a) }},
		{"unmapped", func() string { return fmt.Sprintf("buffer at %#x\n", rnd.Uint64()) }},
	} {
		var in bytes.Buffer
		lines := 0
		for in.Len() < 4<<20 {
			in.WriteString(bm.line())
			lines++
		}
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", bm.name, workers), func(b *testing.B) {
				b.SetBytes(int64(in.Len()))
				for b.Loop() {
					if err := Run(bytes.NewReader(in.Bytes()), io.Discard, Options{Append: new(text.Options).AppendName, Target: target, Workers: workers}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lines), "ns/line")
			})
		}
	}
}
