// Package folded prints stacks one a line, "thread;outer;inner COUNT", as the tools
// for flame graphs take them: Brendan Gregg's flamegraph.pl, inferno, speedscope.
// Stacks that are alike are one line.
package folded

import (
	"bufio"
	"slices"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// Writer counts stacks, and prints them at its Close; it is a render.Format.
type Writer struct {
	W       *bufio.Writer
	Options render.Options

	n      int64 // of the process: how often it was seen so
	counts map[string]int64
	line   []string
}

// Maps does nothing: the format has no mappings.
func (w *Writer) Maps(*render.Head) {}

// Head begins a process.
func (w *Writer) Head(_ *stack.Process, s render.Sample) { w.n = s.N() }

// Threads counts the stacks of threads.
func (w *Writer) Threads(p *stack.Process) {
	for s := range render.ThreadStacks(p) {
		w.add(s)
	}
}

// Rest counts the stacks of goroutines and other tasks.
func (w *Writer) Rest(p *stack.Process) {
	for s := range w.Options.TaskStacks(p) {
		w.add(s)
	}
}

func (w *Writer) add(s *render.Stack) {
	w.line = w.line[:0]
	for c := range w.Options.Calls(s) {
		name := field(c.Label())
		if c.Kernel != nil {
			name += "_[k]" // as stackcollapse-perf.pl marks them, for flamegraph.pl's colours
		}
		w.line = append(w.line, name)
	}
	if cut := s.Cut(); cut != "" {
		w.line = append(w.line, field(cut))
	}
	w.line = append(w.line, field(s.Label()))
	slices.Reverse(w.line)
	if w.counts == nil {
		w.counts = make(map[string]int64)
	}
	w.counts[strings.Join(w.line, ";")] += w.n
}

// field is an escaped name as one field: a semicolon would end it.
func field(s string) string { return strings.ReplaceAll(s, ";", `\x3b`) }

// Close prints the lines, sorted.
func (w *Writer) Close() {
	lines := make([]string, 0, len(w.counts))
	for line := range w.counts {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	for _, line := range lines {
		w.W.WriteString(line)
		w.W.WriteByte(' ')
		w.W.WriteString(strconv.FormatInt(w.counts[line], 10))
		w.W.WriteByte('\n')
	}
}
