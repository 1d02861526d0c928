package render

import (
	"bufio"
	"encoding/hex"
	"fmt"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/symbolize"
)

// Stacks prints the stacks of processes as text. Errors of W stay in W, until
// its Flush.
type Stacks struct {
	W       *bufio.Writer
	Options Options
	Symbols *symbolize.Symbolizer
	Space   *image.Space
	// Note, if set, is told where frames come from and why some have no
	// name: what --verbose shows.
	Note func(format string, args ...any)

	line []byte
}

func (s *Stacks) comment(format string, args ...any) {
	s.line = s.Options.AppendComment(s.line[:0], fmt.Sprintf(format, args...))
	s.W.Write(s.line)
}

// Maps prints the maps and the build IDs: all that it takes to name raw
// addresses elsewhere. Code that was moved out of its file's mapping is shown in it.
func (s *Stacks) Maps() {
	entries := s.Space.FileEntries()
	for i := range entries {
		s.line = maps.AppendLine(s.line[:0], &entries[i])
		s.W.WriteString(escape.Text(string(s.line)))
		s.W.WriteByte('\n')
	}
	for _, m := range s.Space.Modules() {
		if !m.HasCode() {
			continue
		}
		if id := m.MappedBuildID(); id != nil {
			fmt.Fprintf(s.W, "# build-id %s %s\n", hex.EncodeToString(id), escape.Name(m.Path))
		}
	}
	for _, sym := range s.Symbols.GateSymbols() {
		fmt.Fprintf(s.W, "# gate-symbol %x %x %s\n", sym.Addr, sym.Size, escape.Name(sym.Name))
	}
}

// Process prints a process's head.
func (s *Stacks) Process(pid int, name string) {
	s.comment("process %d %s", pid, escape.Name(name))
}

// Threads prints threads and reports whether nothing is missing from them.
func (s *Stacks) Threads(threads []process.Unwound) (complete bool) {
	if !s.Options.Raw {
		s.prepare(threads)
	}
	complete = true
	for i := range threads {
		if !s.thread(&threads[i]) {
			complete = false
		}
	}
	return complete
}

func (s *Stacks) prepare(threads []process.Unwound) {
	var queries []symbolize.Query
	seen := make(map[uint64]bool)
	for i := range threads {
		for _, f := range threads[i].Stack.Frames {
			if lookup := f.Lookup(); !seen[lookup] {
				seen[lookup] = true
				queries = append(queries, symbolize.Query{Addr: f.PC, Exact: f.Exact})
			}
		}
	}
	s.Symbols.Prepare(queries)
}

func (s *Stacks) thread(t *process.Unwound) (complete bool) {
	s.comment("thread %d \"%s\"", t.TID, escape.Name(t.Name))
	if t.Arch != nil {
		s.Options.PtrSize = t.Arch.PtrSize
	}
	complete = true
	if t.NotStopped != "" {
		s.comment("not stopped: %s", escape.Text(t.NotStopped))
		complete = false
	}
	for i := range t.Stack.Frames {
		f := &t.Stack.Frames[i]
		if f.Signal {
			s.comment("%s", signalText(f.Signo))
		}
		s.frame(t.TID, f)
	}
	if t.Stack.End == unwind.EndOutermost && t.HasRegs {
		return complete
	}
	s.comment("end: %s", s.endText(t))
	return false
}

func (s *Stacks) frame(tid int, f *unwind.Frame) {
	if s.Options.Raw {
		s.line = s.Options.AppendFrame(s.line[:0], f.PC, nil)
		s.W.Write(s.line)
		return
	}
	n := s.Symbols.Name(f.PC, f.Exact)
	s.line = s.Options.AppendFrame(s.line[:0], f.PC, &n)
	s.W.Write(s.line)
	if s.Note != nil {
		s.note(tid, f, &n)
	}
}

func (s *Stacks) note(tid int, f *unwind.Frame, n *symbolize.Name) {
	s.Note("thread %d: %s found by %s, %s", tid, s.Options.AppendAddr(nil, f.PC), f.How, Explain(n))
}

// Explain says where a name is from, or why there is none.
func Explain(n *symbolize.Name) string {
	var of, in string
	if n.Module != nil {
		file := n.Module.Path
		if via := n.Module.Via(); via != "" {
			file += " (opened by " + via + ")"
		} else if _, err := n.Module.Image(); err != nil {
			file += ": " + err.Error()
		}
		of, in = " of "+file, ", "+file
	}
	if n.Symbol != "" {
		return "named by " + n.Source + of
	}
	return "not named: " + n.Miss.String() + in
}

func signalText(signo uint8) string {
	if signo == 0 {
		return "signal"
	}
	return "signal " + SignalName(int(signo))
}

// endText says why a stack ended before its outermost frame.
func (s *Stacks) endText(t *process.Unwound) string {
	at := t.Stack.At
	addr := string(s.Options.AppendAddr(nil, at))
	switch t.Stack.End {
	case unwind.EndMaxFrames:
		return fmt.Sprintf("cut after %d frames (--max-frames)", at)
	case unwind.EndNoInfo:
		return "no unwind information for " + s.where(at)
	case unwind.EndBadRow:
		return "unusable unwind information for " + s.where(at)
	case unwind.EndNoMemory:
		return "cannot read the stack at " + addr
	case unwind.EndMaxPause:
		return "the process had to go on before the stack from " + addr + " on was copied (--max-pause)"
	case unwind.EndMaxCopy:
		return "the stack from " + addr + " on is more memory than bt copies of a process"
	case unwind.EndNoAdvance:
		return "the next frame would lie below this one, at " + addr
	case unwind.EndBadReturn:
		return "the return address " + addr + " is not code"
	case unwind.EndNotCalled:
		return "no call precedes the return address " + addr + ", and no chain of frame pointers leads on from it"
	case unwind.EndOtherStack:
		return addr + " was called on another stack, and nothing leads to it"
	case unwind.EndZeroReturn:
		return "the return address of " + addr + " is zero, and nothing tells that the stack begins there"
	case unwind.EndLoop:
		return "the stack goes round in circles at " + addr
	case unwind.EndNoRegister:
		if t.Machine != "" {
			return "bt does not unwind " + t.Machine + " yet"
		}
		if t.Arch == nil || !t.HasRegs {
			return "no registers"
		}
		if int(at) < len(t.Arch.Names) {
			return "the value of " + t.Arch.Names[at] + " is not known"
		}
		return fmt.Sprintf("the value of register %d is not known", at)
	}
	return "the outermost frame"
}

// where names the place of a code address for people.
func (s *Stacks) where(pc uint64) string {
	p := s.Space.Locate(pc)
	switch {
	case p.Module != nil:
		return escape.Name(p.Module.Path)
	case p.Mapping != nil && p.Mapping.Path != "":
		return escape.Name(p.Mapping.Path)
	case p.Mapping != nil:
		return "(anon)"
	}
	return "unmapped memory"
}
