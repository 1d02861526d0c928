package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var (
	errStalled = errors.New("no data within DEBUGINFOD_TIMEOUT")
	errTooLong = errors.New("not complete within DEBUGINFOD_MAXTIME")
)

// watch cancels a download that takes too long and shows the progress of others.
type watch struct {
	stall    *time.Timer // nil: may stall
	total    *time.Timer
	limit    time.Duration
	progress io.Writer

	size, done  int64
	begun, said time.Time
	shown       bool
}

func (c *Client) watch(cancel context.CancelCauseFunc) *watch {
	w := &watch{limit: c.Stall, progress: c.Progress, begun: time.Now()}
	if c.Stall > 0 {
		w.stall = time.AfterFunc(c.Stall, func() { cancel(errStalled) })
	}
	if c.Total > 0 {
		w.total = time.AfterFunc(c.Total, func() { cancel(errTooLong) })
	}
	return w
}

// counting returns a writer that is told what has come of size bytes, or of an
// unknown number (-1).
func (w *watch) counting(size int64) io.Writer {
	w.size = size
	return w
}

// Write notes that bytes came.
func (w *watch) Write(b []byte) (int, error) {
	if w.stall != nil {
		w.stall.Reset(w.limit)
	}
	w.done += int64(len(b))
	now := time.Now()
	if w.progress != nil && now.Sub(w.begun) > time.Second && now.Sub(w.said) > time.Second/4 {
		w.said, w.shown = now, true
		of := ""
		if w.size > 0 {
			of = fmt.Sprintf(" of %.1f", float64(w.size)/1e6)
		}
		fmt.Fprintf(w.progress, "\r\x1b[Kdownloading debug information: %.1f%s MB", float64(w.done)/1e6, of)
	}
	return len(b), nil
}

// stop ends the watch and removes the line of progress from the terminal.
func (w *watch) stop() {
	if w.stall != nil {
		w.stall.Stop()
	}
	if w.total != nil {
		w.total.Stop()
	}
	if w.shown {
		io.WriteString(w.progress, "\r\x1b[K")
	}
}
