//go:build linux

package report

import (
	"time"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// maxInflated bounds the bytes that compressed debug information may take: the
// worker's memory is bounded, and with it all that the report would still tell.
const maxInflated = 384 << 20

// lines adds source lines and inlined calls to named frames. They come from the
// mapped files and from debug files by build ID, as names do; source files, whose
// paths the process has chosen, are not opened. What takes too long is left out.
func (r *reporter) lines(sym *symbolize.Symbolizer, m *stack.Process) {
	found := make(chan func(), 1)
	go guard.Run(func() { found <- sym.StackLines(m) })
	limit := r.job.Timeout / 8
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case add := <-found:
		add()
	case <-late.C:
		r.problem("source lines are missing: they were not found within %v", limit.Round(time.Millisecond))
	}
}
