// Package perf prints stacks as "perf script" does, for what reads that: FlameGraph's
// stackcollapse-perf.pl, inferno, speedscope, the Firefox Profiler. Each thread is an
// event "bt:" whose period is how often it was seen so.
//
// The form is that of perf-script(1) with the fields comm, pid, tid, time, period,
// event, ip, sym, symoff and dso:
//
//	worker  1234/1235  17.000000:          1 bt:
//		    7f2b5a0dc6e0 poll+0x4f (/usr/lib/libc.so.6)
package perf

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// Writer prints processes; it is a render.Format.
type Writer struct {
	W       *bufio.Writer
	Options render.Options

	begun  bool
	start  time.Time // the time of the first sample
	sample render.Sample
}

// Maps does nothing: perf script prints no mappings.
func (w *Writer) Maps(*render.Head) {}

// Head begins a process. What is known of it as a whole is comment lines, which
// readers of perf's output skip.
func (w *Writer) Head(p *stack.Process, s render.Sample) {
	if !w.begun {
		w.begun, w.start = true, s.Time
	}
	w.sample = s
	if p.Death != nil {
		fmt.Fprintf(w.W, "# process %d: %s\n", p.PID, escape.Text(p.Death.Text))
	}
}

// Threads prints the threads.
func (w *Writer) Threads(p *stack.Process) {
	for s := range render.ThreadStacks(p) {
		name := s.Name
		if name == "" {
			name = ":" + fmt.Sprint(s.TID) // as perf calls a thread without a name
		}
		w.event(name, p.PID, int64(s.TID), s)
	}
}

// Rest prints goroutines and other tasks as threads: "goroutine [select]", with their
// own numbers.
func (w *Writer) Rest(p *stack.Process) {
	for s := range w.Options.TaskStacks(p) {
		w.event(s.Label(), p.PID, s.Task, s)
	}
	for i := range p.Notes {
		fmt.Fprintf(w.W, "# process %d: %s\n", p.PID, escape.Text(p.Notes[i].Text))
	}
	for i := range p.Deadlocks {
		fmt.Fprintf(w.W, "# process %d: deadlock: %s\n", p.PID, escape.Text(p.Deadlocks[i].Text))
	}
}

// Close does nothing: the text has no end.
func (w *Writer) Close() {}

func (w *Writer) event(name string, pid int, tid int64, s *render.Stack) {
	var at time.Duration
	if !w.sample.Time.IsZero() {
		at = w.sample.Time.Sub(w.start)
	}
	fmt.Fprintf(w.W, "%s %7d/%-7d %d.%06d: %10d bt:\n", comm(name), pid, tid, at/time.Second, at%time.Second/time.Microsecond, w.sample.N())
	for c := range w.Options.Calls(s) {
		w.call(&c)
	}
	if cut := s.Cut(); cut != "" {
		fmt.Fprintf(w.W, "\t%16x %s (%s)\n", 0, cut, unknown)
	}
	w.W.WriteByte('\n')
}

// unknown is what perf prints for a function or file that it does not know.
const unknown = "[unknown]"

func (w *Writer) call(c *render.Call) {
	var pc uint64
	if c.Frame != nil {
		pc = c.Frame.PC
	}
	symbol, offset := unknown, ""
	switch {
	case c.Kernel != nil:
		symbol, offset = c.Label(), fmt.Sprintf("+0x%x", c.Kernel.Offset)
	case c.Name != nil && c.Name.Symbol != "":
		symbol = c.Label()
		if c.Own {
			offset = fmt.Sprintf("+0x%x", c.Name.Offset)
		}
	}
	dso := c.ModulePath()
	switch {
	case !c.Own && c.Kernel == nil && c.Name.Language != "":
		if dso = w.Options.File(c.Name); dso == "" {
			dso = c.Name.Language
		}
	case !c.Own && c.Kernel == nil:
		dso = "inlined"
	case dso == "":
		dso = unknown
	}
	// Readers take the file from the last pair of parentheses.
	dso = strings.NewReplacer("(", "[", ")", "]").Replace(dso)
	fmt.Fprintf(w.W, "\t%16x %s%s (%s)\n", pc, symbol, offset, dso)
}

// comm is a thread's name as the first field of an event: what follows it begins at
// the first number behind a blank.
func comm(name string) string {
	name = render.OneWord(escape.Name(name))
	if strings.HasPrefix(name, " ") || strings.HasPrefix(name, "#") {
		name = "_" + name[1:]
	}
	return name
}
