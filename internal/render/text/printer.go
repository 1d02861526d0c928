package text

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// Printer prints processes; it is a render.Format. Errors of W stay in W, until its Flush.
type Printer struct {
	W       *bufio.Writer
	Options Options

	line []byte
}

func (p *Printer) comment(format string, args ...any) {
	p.line = p.Options.AppendComment(p.line[:0], fmt.Sprintf(format, args...))
	p.W.Write(p.line)
}

// Maps prints the head of a report: all that it takes to name raw addresses
// elsewhere.
func (p *Printer) Maps(h *render.Head) {
	for i := range h.Maps {
		p.line = maps.AppendLine(p.line[:0], &h.Maps[i])
		p.W.WriteString(escape.Text(string(p.line)))
		p.W.WriteByte('\n')
	}
	for _, b := range h.BuildIDs {
		fmt.Fprintf(p.W, "# build-id %s %s\n", b.ID, escape.Name(b.Path))
	}
	for _, s := range h.GateSymbols {
		fmt.Fprintf(p.W, "# gate-symbol %x %x %s\n", s.Addr, s.Size, escape.Name(s.Name))
	}
}

// Process prints a process.
func (p *Printer) Process(m *stack.Process) {
	render.Process(p, m, render.Sample{})
}

// Head prints a process's head, and why it died.
func (p *Printer) Head(m *stack.Process, s render.Sample) {
	p.comment("process %d %s", m.PID, escape.Name(m.Name))
	if s.Period > 0 {
		what := "samples"
		if s.N() == 1 {
			what = "sample"
		}
		p.comment("%d %s, %.3g s, of each stack:", s.N(), what, (time.Duration(s.N()) * s.Period).Seconds())
	}
	if m.Death != nil {
		p.death(m.Death)
	}
}

// Threads prints the threads.
func (p *Printer) Threads(m *stack.Process) {
	if p.Options.Group {
		for _, g := range render.Groups(m.Threads) {
			p.thread(g, m.WordSizeOf(g[0]))
		}
	} else {
		for i := range m.Threads {
			p.thread(render.Group{&m.Threads[i]}, m.WordSizeOf(&m.Threads[i]))
		}
	}
}

// Rest prints what concerns no single thread: goroutines and other tasks, notes,
// deadlocks.
func (p *Printer) Rest(m *stack.Process) {
	p.tasks("goroutine", m.Goroutines, m.WordSize)
	p.tasks("task", m.Tasks, m.WordSize)
	p.notes(m.Notes)
	for i := range m.Deadlocks {
		p.comment("deadlock: %s", escape.Text(m.Deadlocks[i].Text))
	}
}

// Close does nothing: text has no end.
func (p *Printer) Close() {}

func (p *Printer) notes(notes []stack.Note) {
	for i := range notes {
		p.comment("%s", escape.Text(notes[i].Text))
	}
}

// thread prints a thread, and whose stacks are like its own.
func (p *Printer) thread(g render.Group, wordSize int) {
	t := g[0]
	p.comment("thread %d \"%s\"", t.TID, escape.Name(t.Name))
	if t.NotStopped != "" {
		p.comment("not stopped: %s", escape.Text(t.NotStopped))
	}
	if len(g) > 1 {
		p.comment("%s", others(g))
	}
	p.about(t)
	p.notes(t.Notes)
	for i := range t.Kernel {
		p.comment("kernel: %s", render.KernelFrame(&t.Kernel[i]))
	}
	p.frames(t.Frames, wordSize)
	if t.End.Reason != stack.Outermost {
		p.comment("end: %s", escape.Text(t.End.Text))
	}
}

// about prints what is known of a thread beside its stack.
func (p *Printer) about(t *stack.Thread) {
	for i := range t.Runtimes {
		p.comment("%s", render.RuntimeThread(&t.Runtimes[i]))
	}
	isGo := func(r stack.RuntimeThread) bool { return r.Language == "go" }
	if t.Goroutine != 0 && !slices.ContainsFunc(t.Runtimes, isGo) { // which says so
		p.comment("runs goroutine %d", t.Goroutine)
	}
	if t.Waits != nil {
		p.comment("waits in %s", escape.Text(t.Waits.Text))
	}
}

// frames prints a stack, with Fold of frames that recur the first only.
func (p *Printer) frames(frames []stack.Frame, wordSize int) {
	p.Options.first = true
	for i := 0; i < len(frames); {
		if p.Options.Fold {
			if period, times := render.Run(frames[i:]); times > 0 {
				for j := range period {
					p.frame(&frames[i+j], wordSize)
				}
				p.comment("%s", render.Folded(period, times-1))
				i += period * times
				continue
			}
		}
		p.frame(&frames[i], wordSize)
		i++
	}
}

func (p *Printer) frame(f *stack.Frame, wordSize int) {
	if p.Options.Brief && f.Runtime && f.Signal == nil && !hasLanguage(f.Names) {
		return
	}
	if f.Signal != nil {
		p.comment("%s", strings.TrimRight("signal "+f.Signal.Name, " "))
	}
	p.line = p.Options.AppendFrame(p.line[:0], f, wordSize)
	p.W.Write(p.line)
}

// death prints why a process died: one line, and those of the instruction and the
// registers where they are known.
func (p *Printer) death(d *stack.Death) {
	p.comment("%s", escape.Text(d.Text))
	if i := d.Instruction; i != nil {
		p.comment("instruction %s: %s", render.AppendAddr(nil, i.Addr, d.WordSize), escape.Text(i.Text))
	}
	if len(d.Code) > 0 {
		p.comment("code %s", codeText(d.Code, d.PC-d.CodeAddr))
	}
	const perLine = 4
	var line []byte
	for i, r := range d.Registers {
		line = append(append(append(line, ' '), r.Name...), '=')
		line = render.AppendAddr(line, r.Value, d.WordSize)
		if i%perLine == perLine-1 || i == len(d.Registers)-1 {
			p.comment("registers%s", line)
			line = line[:0]
		}
	}
}

// codeText prints bytes with the one at index at marked.
func codeText(code []byte, at uint64) string {
	var b strings.Builder
	for i := range code {
		if i > 0 {
			b.WriteByte(' ')
		}
		digits := hex.EncodeToString(code[i : i+1])
		if uint64(i) == at {
			digits = "<" + digits + ">"
		}
		b.WriteString(digits)
	}
	return b.String()
}
