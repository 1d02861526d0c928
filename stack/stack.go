package stack

import "slices"

// Process is a process at one moment, or what is left of one in a core file.
type Process struct {
	// PID is the process's number, 0 where it is not known.
	PID int `json:"pid,omitempty"`
	// Name is what the process was called by (its first argument), or its
	// command name in brackets: "[kworker/0:1]".
	Name string `json:"name"`
	// WordSize is the size of an address in bytes, 4 or 8.
	WordSize int `json:"word_size"`
	// Death is why the process died, nil if it did not.
	Death *Death `json:"death,omitempty"`
	// Notes say what concerns no single thread, such as a deadlock.
	Notes []Note `json:"notes,omitempty"`
	// Threads are those that were asked for, a crashed one first.
	Threads []Thread `json:"threads"`
	// Goroutines are those of a Go program that run on none of Threads, the lowest
	// number first.
	Goroutines []Task `json:"goroutines,omitempty"`
	// Tasks are the other stacks of language runtimes that no thread runs at the
	// moment, such as the tasks of Python's asyncio that wait.
	Tasks []Task `json:"tasks,omitempty"`
	// Deadlocks are the circles of threads that wait for each other, also those
	// that lead through other processes.
	Deadlocks []Deadlock `json:"deadlocks,omitempty"`
}

// Complete reports whether nothing is missing: no frames of a thread, goroutine or task,
// and nothing that a note tells of.
func (p *Process) Complete() bool {
	missing := func(n Note) bool { return n.Missing }
	if slices.ContainsFunc(p.Notes, missing) {
		return false
	}
	for i := range p.Threads {
		if t := &p.Threads[i]; !t.Complete() || slices.ContainsFunc(t.Notes, missing) {
			return false
		}
	}
	for _, tasks := range [][]Task{p.Goroutines, p.Tasks} {
		for i := range tasks {
			if !tasks[i].Complete() {
				return false
			}
		}
	}
	return true
}

// WordSizeOf returns the size in bytes of an address in a thread of p.
func (p *Process) WordSizeOf(t *Thread) int {
	if t.WordSize != 0 {
		return t.WordSize
	}
	return p.WordSize
}

// Thread is a thread and its stack.
type Thread struct {
	// TID is the thread's number.
	TID int `json:"tid"`
	// Name is its command name, of at most 15 bytes.
	Name string `json:"name"`
	// WordSize is the size of an address in bytes where it differs from that of
	// the process: a process can have threads in 32-bit and in 64-bit mode. 0:
	// as the process.
	WordSize int `json:"word_size,omitempty"`
	// NotStopped says why the thread could not be stopped; its stack may be wrong
	// then. It is empty for one that was stopped.
	NotStopped string `json:"not_stopped,omitempty"`
	// Runtimes are what language runtimes know of the thread.
	Runtimes []RuntimeThread `json:"runtimes,omitempty"`
	// Goroutine is the number of the goroutine that a thread of a Go program runs,
	// 0 for none. What else is known of it is among the facts of Runtimes.
	Goroutine int64 `json:"goroutine,omitempty"`
	// Waits is what the thread sleeps for; nil where it runs, or that is not known.
	Waits *Wait `json:"waits,omitempty"`
	// Kernel is the thread's stack inside the kernel, the innermost function first.
	Kernel []KernelFrame `json:"kernel,omitempty"`
	// Notes are what else is known of the thread as a whole.
	Notes []Note `json:"notes,omitempty"`
	// Frames are the stack, the innermost frame first.
	Frames []Frame `json:"frames"`
	// End says why there are no more frames.
	End End `json:"end"`
}

// Complete reports whether nothing is missing from the thread: it was stopped,
// and its stack ends at the outermost frame, or where a coroutine begins.
func (t *Thread) Complete() bool {
	return t.NotStopped == "" && (t.End.Reason == Outermost || t.End.Reason == Coroutine)
}

// Note is one statement for people, and the kind that programs can tell it by.
type Note struct {
	// Kind is what the note is about: "missing", "kernel thread", or the language
	// whose runtime it is about: "python", "js", "java", "go".
	Kind string `json:"kind"`
	// Text is the statement, one line without a line end.
	Text string `json:"text"`
	// Missing tells that the note says why something was left out that was asked for.
	Missing bool `json:"missing,omitempty"`
}

// Frame is one call that had not returned.
type Frame struct {
	// PC is the address: where the thread is, or where a call returns to. Of an
	// address in a file by itself it is the link-time address.
	PC uint64 `json:"pc"`
	// SP is the value of the stack pointer in this frame, 0 where it is not known.
	SP uint64 `json:"sp,omitempty"`
	// Exact tells that PC is an instruction that was interrupted. Otherwise it is a
	// return address: the call is in front of it, and so is what names it.
	Exact bool `json:"exact"`
	// Found tells by which means the frame was found from the one before it.
	Found How `json:"found,omitempty"`
	// Signal is set for a signal trampoline, the code that a signal handler
	// returns to. The next frame is the one that the signal interrupted.
	Signal *Signal `json:"signal,omitempty"`

	// Module is the file that is mapped at PC; nil where there is none. Frames
	// share it.
	Module *Module `json:"module,omitempty"`
	// ModuleOffset is PC as a link-time address of the module, as addr2line takes
	// it. Where the module cannot be read it is the offset in the file.
	ModuleOffset uint64 `json:"module_offset,omitempty"`

	// Names are what the address is called, the innermost function first: calls
	// that the compiler inlined, and last the function that holds the code. Frames
	// of a language runtime that this native frame runs come before them.
	Names []Name `json:"names,omitempty"`
	// Managed tells that there is no native frame: the frame is one of a language
	// runtime alone, and PC is where its own code goes on.
	Managed bool `json:"managed,omitempty"`
	// Runtime tells that the native frame is a language runtime's own code, which
	// does not say where the program is: its interpreter, its scheduler.
	Runtime bool `json:"runtime,omitempty"`
	// Miss says why no symbol names the address; it is empty when one does.
	Miss Miss `json:"miss,omitempty"`
}

// Function returns the name of the function that holds the frame's code, which is
// the last of Names. It returns nil when there is none.
func (f *Frame) Function() *Name {
	if len(f.Names) == 0 {
		return nil
	}
	if n := &f.Names[len(f.Names)-1]; n.Language == "" && !n.Inlined {
		return n
	}
	return nil
}

// Calls returns the names before that of Function: inlined calls, and the frames of a
// language runtime.
func (f *Frame) Calls() []Name {
	if f.Function() == nil {
		return f.Names
	}
	return f.Names[:len(f.Names)-1]
}

// Signal is a signal that was being handled.
type Signal struct {
	// Number is the signal's number, 0 where it is not known.
	Number int `json:"number,omitempty"`
	// Name is its name, "SIGUSR1", or its number; empty where it is not known.
	Name string `json:"name,omitempty"`
}

// Module is a file that a process has mapped, or an image of the kernel's.
type Module struct {
	// Path is the file's path as the maps have it, or a name such as "[vdso]".
	Path string `json:"path"`
	// BuildID is the build ID of what is mapped in hexadecimal; empty if it has
	// none, or it is not known.
	BuildID string `json:"build_id,omitempty"`
	// Via tells how the file was found: "map_files", "path", "sysroot", or
	// "memory" for what the process's memory holds of it.
	Via string `json:"via,omitempty"`
	// Error says why the file could not be read; empty if it could.
	Error string `json:"error,omitempty"`
	// Refused tells that this was for want of permission.
	Refused bool `json:"refused,omitempty"`
}

// Name is what an address is called.
type Name struct {
	// Symbol is the function's name, demangled if that was asked for. It is empty
	// where only the place in the source is known.
	Symbol string `json:"symbol"`
	// Plain tells that Symbol is known to be printable ASCII without a backslash,
	// so that whoever prints it need not look for what to escape. Where it is
	// false nothing is known.
	Plain bool `json:"-"`
	// PlainFile is Plain of File.
	PlainFile bool `json:"-"`
	// Version is the version of the symbol as it is written behind its name,
	// "@@GLIBC_2.34" or "@GLIBC_2.2.5", where that was asked for and it has one.
	Version string `json:"version,omitempty"`
	// Offset is the distance from the start of the symbol to PC, in bytes. It
	// means nothing for an inlined call and for a frame of a language runtime.
	Offset uint64 `json:"offset,omitempty"`

	// File is the path of the source file, empty where it is not known.
	File string `json:"file,omitempty"`
	// Line is the line in File, from 1; 0 for code that belongs to no line. For a
	// return address it is the line of the call.
	Line int `json:"line,omitempty"`
	// Column is the column in Line, from 1; 0 where it is not known.
	Column int `json:"column,omitempty"`
	// Inlined tells that the function is inlined into that of the next name.
	Inlined bool `json:"inlined,omitempty"`

	// Language is set for a frame of a language runtime: "python", "js", "java".
	// It is empty for native code, whatever it was compiled from.
	Language string `json:"language,omitempty"`
	// Excerpt is the source around Line, where that was asked for and could be read.
	// Names of the same address share it.
	Excerpt *Excerpt `json:"excerpt,omitempty"`

	// Source is what the name was read from: a symbol table (".symtab",
	// "gopclntab"), or the path of a debug file.
	Source string `json:"source,omitempty"`
}
