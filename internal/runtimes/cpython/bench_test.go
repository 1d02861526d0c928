//go:build linux

package cpython_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/internal/runtimes/cpython"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/testenv"
)

// BenchmarkPause tells how long a process of 17 threads stands still, with and without
// its Python frames, in one run: medians.
func BenchmarkPause(b *testing.B) {
	for _, p := range testenv.Pythons(b) {
		b.Run(p.Name, func(b *testing.B) {
			pid, _ := start(b, p, "still.py")
			l, err := live.Open(pid, "/proc")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			cache := new(image.Cache)
			pauses := make(map[bool][]float64)
			for i := 0; b.Loop(); i++ {
				with := i%2 == 1
				o := snapshot.Options{MaxFrames: 256, Cache: cache, Source: snapshot.Source(l, ""), PID: pid}
				if with {
					o.Finders = []runtimes.Finder{cpython.Finder}
					o.Wants = runtimes.Wants{Languages: true, MaxFrames: 256}
				}
				s, err := snapshot.Process(l, o)
				if err != nil {
					b.Fatal(err)
				}
				pauses[with] = append(pauses[with], float64(s.Pause))
				s.Close()
			}
			for with, all := range pauses {
				slices.Sort(all)
				b.ReportMetric(all[len(all)/2]/1e3, fmt.Sprintf("µs-pause-python=%v", with))
			}
		})
	}
}
