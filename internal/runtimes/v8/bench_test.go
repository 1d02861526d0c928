//go:build linux

package v8_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/internal/runtimes/v8"
	"github.com/gatedso/bt/internal/snapshot"
)

// BenchmarkPause tells how long a process stands still, with and without its JavaScript
// frames, in one run: medians. One program waits below 145 functions, one works.
func BenchmarkPause(b *testing.B) {
	for _, node := range nodes(b) {
		for _, program := range []string{"still.js", "busy.js"} {
			b.Run(node+"/"+program, func(b *testing.B) {
				pid, _ := start(b, node, 1, "testdata/"+program)
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
						o.Finders = []runtimes.Finder{v8.Finder}
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
					b.ReportMetric(all[len(all)/2]/1e3, fmt.Sprintf("µs-pause-js=%v", with))
				}
			})
		}
	}
}
