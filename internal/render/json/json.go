// Package json prints stacks as JSON. docs/schema describes the documents, and every
// document names its schema. Addresses are strings, "0x1f", since JSON's numbers are
// exact to 53 bits only. Names and paths of the target are escaped as package escape
// has them, so that they are UTF-8.
package json

import (
	"bufio"
	"time"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// SchemaBase is where the schemas are published.
const SchemaBase = "https://github.com/gatedso/bt/raw/main/docs/schema/"

// The schemas of stacks, and of an address that was given.
const (
	StacksSchema  = SchemaBase + "stacks-1.json"
	AddressSchema = SchemaBase + "address-1.json"
)

// Writer prints processes as one object, in one line; it is a render.Format.
type Writer struct {
	W       *bufio.Writer
	Options render.Options

	e        buffer
	begun    bool
	threads  bool // some of the process have been printed
	complete bool
	modules  []*stack.Module
	known    map[*stack.Module]bool
	maps     *render.Head
}

func (w *Writer) flush() {
	w.W.Write(w.e.b)
	w.e.b = w.e.b[:0]
}

func (w *Writer) begin() {
	if w.begun {
		return
	}
	w.begun = true
	w.e.open('{')
	w.e.key("$schema")
	w.e.text(StacksSchema)
	w.e.key("processes")
	w.e.open('[')
}

// Maps prints the mappings in the process that comes next.
func (w *Writer) Maps(h *render.Head) { w.maps = h }

// Head begins a process.
func (w *Writer) Head(p *stack.Process, s render.Sample) {
	w.begin()
	w.threads, w.complete, w.modules, w.known = false, true, nil, make(map[*stack.Module]bool)
	e := &w.e
	e.open('{')
	e.intOf("pid", int64(p.PID))
	e.key("name")
	e.name(p.Name)
	e.key("word_size")
	e.int(int64(p.WordSize))
	if !s.Time.IsZero() {
		e.key("time")
		e.text(s.Time.UTC().Format(time.RFC3339Nano))
	}
	e.intOf("count", s.Count)
	if w.maps != nil {
		e.head(w.maps)
		w.maps = nil
	}
	if p.Death != nil {
		e.death(p.Death)
	}
	e.key("threads")
	e.open('[')
	w.flush()
}

// Threads prints the threads.
func (w *Writer) Threads(p *stack.Process) {
	w.complete = w.complete && p.Complete()
	if w.Options.Group {
		for _, g := range render.Groups(p.Threads) {
			w.thread(g[0], g[1:])
		}
		return
	}
	for i := range p.Threads {
		w.thread(&p.Threads[i], nil)
	}
}

// Rest prints what concerns no single thread, and ends the process.
func (w *Writer) Rest(p *stack.Process) {
	e := &w.e
	e.close(']')
	w.tasks("goroutines", p.Goroutines)
	w.tasks("tasks", p.Tasks)
	e.notes(p.Notes)
	e.list("deadlocks", len(p.Deadlocks), func(i int) { e.deadlock(&p.Deadlocks[i]) })
	e.list("modules", len(w.modules), func(i int) { e.module(w.modules[i]) })
	e.key("complete")
	e.bool(w.complete)
	e.close('}')
	w.flush()
}

// Close ends the object.
func (w *Writer) Close() {
	w.begin()
	w.e.close(']')
	w.e.close('}')
	w.e.b = append(w.e.b, '\n')
	w.flush()
}

// thread prints a thread, and those whose stacks are like its own.
func (w *Writer) thread(t *stack.Thread, others []*stack.Thread) {
	e := &w.e
	e.open('{')
	e.key("tid")
	e.int(int64(t.TID))
	e.key("name")
	e.name(t.Name)
	e.list("others", len(others), func(i int) {
		e.open('{')
		e.key("tid")
		e.int(int64(others[i].TID))
		e.key("name")
		e.name(others[i].Name)
		e.close('}')
	})
	e.intOf("word_size", int64(t.WordSize))
	e.sentenceOf("not_stopped", t.NotStopped)
	e.list("runtimes", len(t.Runtimes), func(i int) { e.runtimeThread(&t.Runtimes[i]) })
	e.intOf("goroutine", t.Goroutine)
	e.wait(t.Waits)
	e.list("kernel", len(t.Kernel), func(i int) { e.kernelFrame(&t.Kernel[i]) })
	e.notes(t.Notes)
	w.frames(t.Frames, &t.End)
	e.close('}')
	w.flush()
}

// frames prints a stack and why it ends.
func (w *Writer) frames(frames []stack.Frame, end *stack.End) {
	e := &w.e
	e.array("frames", len(frames), func(i int) {
		f := &frames[i]
		if m := f.Module; m != nil && !w.known[m] {
			w.known[m] = true
			w.modules = append(w.modules, m)
		}
		if !w.Options.Brief || !f.Runtime || f.Signal != nil || hasLanguage(f) {
			w.frame(f)
		}
		if len(e.b) > 1<<16 {
			w.flush()
		}
	})
	e.key("end")
	e.open('{')
	e.key("reason")
	e.sentence(string(end.Reason))
	e.addrOf("addr", end.Addr)
	e.sentenceOf("text", end.Text)
	e.close('}')
}

func hasLanguage(f *stack.Frame) bool {
	return len(f.Names) > 0 && f.Names[0].Language != ""
}

func (w *Writer) frame(f *stack.Frame) {
	e := &w.e
	e.open('{')
	e.frame(f, &w.Options)
	e.close('}')
}

func (w *Writer) tasks(key string, tasks []stack.Task) {
	e := &w.e
	e.list(key, len(tasks), func(i int) {
		t := &tasks[i]
		e.open('{')
		e.intOf("id", t.ID)
		e.nameOf("name", t.Name)
		e.key("state")
		e.sentence(t.State)
		e.intOf("minutes", t.Minutes)
		e.nameOf("created_by", t.CreatedBy)
		e.intOf("creator", t.Creator)
		e.intOf("thread", int64(t.Thread))
		e.boolOf("system", t.System)
		e.list("labels", len(t.Labels), func(i int) {
			e.open('{')
			e.key("key")
			e.name(t.Labels[i].Key)
			e.key("value")
			e.name(t.Labels[i].Value)
			e.close('}')
		})
		e.wait(t.Waits)
		w.frames(t.Frames, &t.End)
		e.close('}')
		w.flush()
	})
}

// Addresses prints addresses that were given, each as one object in one line, until
// dst has limit bytes. It returns how many it has taken.
func Addresses(dst []byte, frames []stack.Frame, o *render.Options, limit int) (out []byte, n int) {
	e := buffer{b: dst}
	for n < len(frames) {
		f := &frames[n]
		e.comma = false
		e.open('{')
		e.key("$schema")
		e.text(AddressSchema)
		e.frame(f, o)
		if m := f.Module; m != nil {
			e.moduleFacts(m)
		}
		e.close('}')
		e.b = append(e.b, '\n')
		if n++; len(e.b) >= limit {
			break
		}
	}
	return e.b, n
}
