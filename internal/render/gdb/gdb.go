// Package gdb prints stacks in the shape of gdb's "thread apply all bt", for the
// programs that read that: pt-pmp, collectors of crashes, stackcollapse-gdb.pl. What
// gdb has no words for stands in brackets on lines of its own, as gdb's own remarks
// do: readers take lines that begin with "Thread" and '#', and skip others.
package gdb

import (
	"bufio"
	"fmt"
	"strconv"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// Writer prints processes; it is a render.Format.
type Writer struct {
	W       *bufio.Writer
	Options render.Options

	processes int
	threads   int // of the process, so far
	line      []byte
}

// Maps does nothing: gdb prints no mappings here.
func (w *Writer) Maps(*render.Head) {}

// Head prints which process it is, and why it died.
func (w *Writer) Head(p *stack.Process, _ render.Sample) {
	if w.processes++; w.processes > 1 {
		w.W.WriteByte('\n')
	}
	w.threads = 0
	fmt.Fprintf(w.W, "[process %d %s]\n", p.PID, escape.Name(p.Name))
	if d := p.Death; d != nil {
		fmt.Fprintf(w.W, "Program terminated with signal %s.\n[%s]\n", escape.Text(d.Signal), escape.Text(d.Text))
	}
}

// Threads prints the threads, numbered as they come.
func (w *Writer) Threads(p *stack.Process) {
	for i := range p.Threads {
		t := &p.Threads[i]
		w.threads++
		fmt.Fprintf(w.W, "\nThread %d (LWP %d \"%s\"):\n", w.threads, t.TID, escape.Name(t.Name))
		w.about(t)
		w.stack(&render.Stack{WordSize: p.WordSizeOf(t), Frames: t.Frames, End: t.End})
	}
}

// about prints what is known of a thread beside its stack.
func (w *Writer) about(t *stack.Thread) {
	if t.NotStopped != "" {
		fmt.Fprintf(w.W, "[not stopped: %s]\n", escape.Text(t.NotStopped))
	}
	for i := range t.Runtimes {
		fmt.Fprintf(w.W, "[%s]\n", render.RuntimeThread(&t.Runtimes[i]))
	}
	if t.Goroutine != 0 {
		fmt.Fprintf(w.W, "[runs goroutine %d]\n", t.Goroutine)
	}
	if t.Waits != nil {
		fmt.Fprintf(w.W, "[waits in %s]\n", escape.Text(t.Waits.Text))
	}
	w.notes(t.Notes)
	for i := range t.Kernel {
		fmt.Fprintf(w.W, "[kernel: %s]\n", render.KernelFrame(&t.Kernel[i]))
	}
}

// Rest prints goroutines and other tasks as threads, as Delve's users know them in
// gdb, then notes and deadlocks.
func (w *Writer) Rest(p *stack.Process) {
	for s := range w.Options.TaskStacks(p) {
		w.threads++
		name := ""
		if s.Name != "" {
			name = " \"" + escape.Name(s.Name) + "\""
		}
		noun := s.Noun
		if s.Task != 0 {
			noun += " " + strconv.FormatInt(s.Task, 10)
		}
		fmt.Fprintf(w.W, "\nThread %d (%s%s [%s]):\n", w.threads, noun, name, escape.Text(s.State))
		w.stack(s)
	}
	w.notes(p.Notes)
	for i := range p.Deadlocks {
		fmt.Fprintf(w.W, "[deadlock: %s]\n", escape.Text(p.Deadlocks[i].Text))
	}
}

func (w *Writer) notes(notes []stack.Note) {
	for i := range notes {
		fmt.Fprintf(w.W, "[%s]\n", escape.Text(notes[i].Text))
	}
}

// Close does nothing: the text has no end.
func (w *Writer) Close() {}

// stack prints the frames, and why there are no more.
func (w *Writer) stack(s *render.Stack) {
	n := 0
	inline := false // the call before this one is inlined into it
	for c := range w.Options.Calls(s) {
		if c.Own && c.Frame.Signal != nil {
			fmt.Fprintf(w.W, "#%-2d <signal handler called>\n", n)
		} else {
			w.call(n, &c, s.WordSize, !inline && (c.Name == nil || c.Name.Language == ""))
		}
		inline = c.Name != nil && c.Name.Inlined
		n++
	}
	if s.Cut() != "" {
		fmt.Fprintf(w.W, "Backtrace stopped: %s\n", escape.Text(s.End.Text))
	}
}

// call prints one call. gdb prints the address of the innermost of those that are
// inlined at it, and none for the functions that these are inlined into.
func (w *Writer) call(n int, c *render.Call, wordSize int, address bool) {
	fmt.Fprintf(w.W, "#%-2d ", n)
	if address {
		w.line = render.AppendAddr(append(w.line[:0], "0x"...), c.Frame.PC, wordSize)
		w.W.Write(append(w.line, " in "...))
	}
	if c.Name != nil && c.Name.Symbol != "" {
		w.W.WriteString(c.Label())
	} else {
		w.W.WriteString("??")
	}
	w.W.WriteString(" ()")
	if place := w.Options.Place(c.Name); place != "" {
		w.W.WriteString(" at " + place)
	} else if path := c.ModulePath(); path != "" {
		w.W.WriteString(" from " + path)
	}
	w.W.WriteByte('\n')
}
