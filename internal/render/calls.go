package render

import (
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/stack"
)

// Stack is a stack for formats that treat threads and the tasks of language
// runtimes alike.
type Stack struct {
	TID      int    // 0 for a task
	Task     int64  // the number of a task, 0 for none
	Noun     string // what a task is: "goroutine", "task"; empty for a thread
	Name     string // as the program has given it; not escaped
	State    string // what it waits for, or does; empty where that is not known
	WordSize int    // in bytes
	Kernel   []stack.KernelFrame
	Frames   []stack.Frame
	End      stack.End
	// NotStopped is that of the thread.
	NotStopped string
}

// Label is what the stack is headed by in trees of stacks, escaped: the name of the
// thread, or the number where it has no name, or what kind of task it is.
func (s *Stack) Label() string {
	switch {
	case s.Noun != "" && s.State != "":
		return s.Noun + " [" + escape.Text(s.State) + "]"
	case s.Noun != "":
		return s.Noun
	case s.Name != "":
		return escape.Name(s.Name)
	}
	return strconv.Itoa(s.TID)
}

// Cut is the text that stands for what is missing from the stack, or empty.
func (s *Stack) Cut() string {
	switch {
	case s.NotStopped != "":
		return "[not stopped]"
	case s.End.Reason == stack.Outermost || s.End.Reason == stack.Coroutine || s.End.Reason == "":
		return ""
	}
	return "[incomplete: " + escape.Text(string(s.End.Reason)) + "]"
}

// ThreadStacks are the stacks of the threads of p.
func ThreadStacks(p *stack.Process) iter.Seq[*Stack] {
	return func(yield func(*Stack) bool) {
		for i := range p.Threads {
			t := &p.Threads[i]
			s := &Stack{TID: t.TID, Name: t.Name, State: ThreadState(t), WordSize: p.WordSizeOf(t),
				Kernel: t.Kernel, Frames: t.Frames, End: t.End, NotStopped: t.NotStopped}
			if !yield(s) {
				return
			}
		}
	}
}

// TaskStacks are the stacks of the goroutines and the other tasks of p. Those that
// a runtime has started for itself come with Verbose.
func (o *Options) TaskStacks(p *stack.Process) iter.Seq[*Stack] {
	return func(yield func(*Stack) bool) {
		for _, of := range []struct {
			noun  string
			tasks []stack.Task
		}{{"goroutine", p.Goroutines}, {"task", p.Tasks}} {
			for i := range of.tasks {
				t := &of.tasks[i]
				if t.System && !o.Verbose {
					continue
				}
				s := &Stack{Task: t.ID, Noun: of.noun, Name: t.Name, State: t.State, WordSize: p.WordSize, Frames: t.Frames, End: t.End}
				if !yield(s) {
					return
				}
			}
		}
	}
}

// ThreadState is what a thread waits for in few words, or what a language runtime
// says that it does; empty where that is not known.
func ThreadState(t *stack.Thread) string {
	if w := t.Waits; w != nil {
		switch {
		case w.Kind != "":
			return w.Kind
		case w.Call != "":
			return w.Call
		}
	}
	for i := range t.Runtimes {
		if s := t.Runtimes[i].State; s != "" {
			return s
		}
	}
	return ""
}

// Call is one function of a stack: also one that is inlined, one of a language
// runtime, one of the kernel.
type Call struct {
	Frame  *stack.Frame       // nil for one of the kernel
	Name   *stack.Name        // nil where nothing names the frame
	Kernel *stack.KernelFrame // nil but for one of the kernel
	// Own tells that the address of the frame is in this function's own code.
	// Otherwise it is an inlined call or one of a language runtime.
	Own bool
}

// Calls are the calls of a stack, the innermost first.
func (o *Options) Calls(s *Stack) iter.Seq[Call] {
	return func(yield func(Call) bool) {
		for i := range s.Kernel {
			if !yield(Call{Kernel: &s.Kernel[i]}) {
				return
			}
		}
		for i := range s.Frames {
			f := &s.Frames[i]
			if o.hides(f) {
				continue
			}
			calls := f.Calls()
			// The native function is the runtime's own, or there is none: compiled code
			// has as many addresses as calls, which no count would bring together.
			compiled := f.Module == nil && f.Function() == nil
			runs := (o.Brief || f.Managed || compiled) && hasLanguage(calls)
			for j := range calls {
				if runs && calls[j].Language == "" {
					continue
				}
				if !yield(Call{Frame: f, Name: &calls[j]}) {
					return
				}
			}
			if runs {
				continue
			}
			if !yield(Call{Frame: f, Name: f.Function(), Own: true}) {
				return
			}
		}
	}
}

// hides reports whether Brief leaves out a frame.
func (o *Options) hides(f *stack.Frame) bool {
	return o.Brief && f.Runtime && f.Signal == nil && !hasLanguage(f.Names)
}

func hasLanguage(names []stack.Name) bool {
	return slices.ContainsFunc(names, func(n stack.Name) bool { return n.Language != "" })
}

// Language is the language of a runtime's frame, "kernel" in the kernel, or "native".
func (c *Call) Language() string {
	switch {
	case c.Kernel != nil:
		return "kernel"
	case c.Name != nil && c.Name.Language != "":
		return c.Name.Language
	}
	return "native"
}

// Label is the name of the function, escaped. For one without a name it is the place
// in the module, or the address.
func (c *Call) Label() string {
	switch {
	case c.Kernel != nil:
		return escape.Name(c.Kernel.Symbol)
	case c.Name != nil && c.Name.Symbol != "":
		return escape.Name(c.Name.Symbol)
	case !c.Own:
		return "?"
	case c.Frame.Module != nil:
		return escape.Name(path.Base(c.Frame.Module.Path)) + "+0x" + strconv.FormatUint(c.Frame.ModuleOffset, 16)
	}
	return "0x" + strconv.FormatUint(c.Frame.PC, 16)
}

// Place is FILE:LINE of the call, escaped, or empty where it is not known.
func (o *Options) Place(n *stack.Name) string {
	if n == nil || n.File == "" {
		return ""
	}
	file := o.File(n)
	if n.Line == 0 {
		return file + ":?"
	}
	return file + ":" + strconv.Itoa(n.Line)
}

// File is the file of a name as it is printed, escaped.
func (o *Options) File(n *stack.Name) string {
	if o.Basenames && n.File != "" {
		return escape.Name(path.Base(n.File))
	}
	return escape.Name(n.File)
}

// ModulePath is the path of the module of a call, escaped, or empty.
func (c *Call) ModulePath() string {
	switch {
	case c.Kernel != nil && c.Kernel.Module != "":
		return "[" + escape.Name(c.Kernel.Module) + "]"
	case c.Kernel != nil:
		return "[kernel]"
	case c.Frame.Module == nil:
		return ""
	}
	return escape.Name(c.Frame.Module.Path)
}

// OneWord is s with blanks that a digit follows as '_': where a number after a blank
// begins the next field.
func OneWord(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == ' ' && (i+1 == len(b) || b[i+1] >= '0' && b[i+1] <= '9' || b[i+1] == ' ') {
			b[i] = '_'
		}
	}
	return string(b)
}

// RuntimeThread is what a language runtime knows of a thread, in one line.
func RuntimeThread(r *stack.RuntimeThread) string {
	text := r.Language + " thread"
	if r.Name != "" {
		text += " \"" + escape.Name(r.Name) + "\""
	}
	if r.State != "" {
		text += " [" + escape.Text(r.State) + "]"
	}
	for i, fact := range r.Facts {
		if i > 0 || r.Name != "" || r.State != "" {
			text += ","
		}
		text += " " + escape.Text(fact)
	}
	return text
}

// KernelFrame is a frame of the kernel as text.
func KernelFrame(f *stack.KernelFrame) string {
	text := escape.Name(f.Symbol)
	if f.Offset != 0 {
		text += fmt.Sprintf("+0x%x", f.Offset)
	}
	if f.Module != "" {
		text += " [" + escape.Name(f.Module) + "]"
	}
	return text
}
