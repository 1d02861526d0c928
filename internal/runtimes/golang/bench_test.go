//go:build linux

package golang_test

import (
	"context"
	"testing"

	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/session"
)

// BenchmarkStop takes the stacks of processes with many goroutines. It reports for how
// long they stand still.
func BenchmarkStop(b *testing.B) {
	prog := build(b, "")
	for _, n := range []string{"10000", "100000"} {
		for _, how := range []string{"channel", "own", "select", "mutex", "sleep"} {
			b.Run(n+" "+how, func(b *testing.B) {
				pid, _ := start(b, prog, n, how, "short")
				ses := session.New(session.Options{})
				defer ses.Close()
				var pause float64
				for range b.N {
					p, err := live.Open(pid, "")
					if err != nil {
						b.Fatal(err)
					}
					s, err := ses.Stop(context.Background(), p, session.StackOptions{MaxFrames: 256})
					if err != nil {
						b.Fatal(err)
					}
					pause += s.Taken.Pause.Seconds()
					if len(s.Model.Goroutines) < 1000 || len(s.Model.Notes) > 0 {
						b.Fatalf("%d goroutines %v", len(s.Model.Goroutines), s.Model.Notes)
					}
					s.Close()
					p.Close()
				}
				b.ReportMetric(pause*1e3/float64(b.N), "pause-ms/op")
			})
		}
	}
}
