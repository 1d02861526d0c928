//go:build linux

package live_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/process/live"
)

// BenchmarkPause compares how long the target stands still with what the least
// that can be done costs, testdata/floor.c. The figures are medians of
// measurements taken in turns; ns/op is that of a snapshot, not the pause.
func BenchmarkPause(b *testing.B) {
	floor := build(b, "floor")
	for _, c := range []struct{ threads, depth int }{{1, 20}, {100, 20}, {1000, 28}} {
		b.Run(fmt.Sprintf("threads=%d", c.threads), func(b *testing.B) {
			ch := start(b, exec.Command(build(b, "threads"), strconv.Itoa(c.threads), strconv.Itoa(c.depth)))
			until(b, "the reporting thread's end", func() bool { return len(tasks(b, ch.pid)) == c.threads })
			p := open(b, ch.pid)
			mm := readMaps(b, p)
			var ours, least []float64
			measure := func() {
				out, err := exec.Command(floor, strconv.Itoa(ch.pid), "3").Output()
				if err != nil {
					b.Fatal(err)
				}
				for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
					ns, _ := strconv.ParseFloat(s.Text(), 64)
					least = append(least, ns)
				}
			}
			for i := 0; b.Loop(); i++ {
				s, err := p.Snapshot(mm, live.Options{Arches: all.Native()})
				if err != nil {
					b.Fatal(err)
				}
				ours = append(ours, float64(s.Pause))
				if i < 100 && i%3 == 0 {
					b.StopTimer()
					measure()
					b.StartTimer()
				}
			}
			slices.Sort(ours)
			slices.Sort(least)
			x, y := ours[len(ours)/2], least[len(least)/2]
			b.ReportMetric(x/1e3, "µs-pause")
			b.ReportMetric(y/1e3, "µs-floor")
			b.ReportMetric(x/y, "ratio")
		})
	}
}
