// Package runtimes is what bt's readers of language runtimes have in common. A reader
// knows where one runtime keeps its frames, threads and tasks: each is a folder below
// this one, and a line in runtimes/all.
//
// A reader is asked three times. Find, before the stop, recognises the runtime by the
// mappings and the symbols of a process, and prepares all that can be prepared. Copy, in
// the stop, follows the runtime's pointers, and reads what is needed: nothing else,
// nothing twice. Threads and Process, after the stop, make sense of what was read.
//
// All that is read is hostile: a target may lie with each word. Whoever writes a reader
// bounds every loop, every length and every chain of pointers, takes strings with String,
// and calls a frame by a name only where what was read fits together.
package runtimes

import (
	"fmt"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/stack"
)

// Target is a process, or a core file, in which a reader looks for its runtime.
type Target struct {
	PID   int // 0 where a core does not tell it
	Space *image.Space
	// Memory reads the target's memory. A process runs meanwhile: it serves what does
	// not change as long as the process lives.
	Memory *process.Recorder
	// ClockOffset is what CLOCK_MONOTONIC of the process is ahead of bt's own, in
	// nanoseconds: they differ between time namespaces.
	ClockOffset int64
	// Core tells that it is a core file: nothing of it changes, and all of it is from
	// the moment of the stop.
	Core bool
	// Wants says what is printed.
	Wants Wants
}

// Wants is what of a target is wanted beside its native stacks.
type Wants struct {
	Languages bool // frames of language runtimes, goroutines, tasks
	Waits     bool // what threads sleep for
	Kernel    bool // their stacks inside the kernel
	MaxFrames int  // of a task; 0: no limit
}

// Find looks for a runtime in t. It returns nil, nil where it is not there, and an
// error, which becomes a line of the report, where it is there and cannot be read.
type Find func(t *Target) (Reader, error)

// Reader reads one runtime in one process.
type Reader interface {
	// Language is the word by which the model tells the runtime: "python".
	Language() string
	// Copy is called while the process stands still, maybe more than once: each
	// time it starts anew. The process's memory is read through s.Memory.
	Copy(s *process.Stopped)
	// Threads adds to the threads of p what the runtime knows of them. threads are
	// those that p.Threads were made of, in the same order; m holds what Copy has
	// read, or all that a core holds. The names of frames are not known yet: language
	// frames that Threads puts into a frame's Names stay before the native ones. A
	// core of many threads comes in parts, each with a call. An error becomes a line
	// of the report; what was added before stays.
	Threads(p *stack.Process, threads []process.Unwound, m *process.Recorder) error
	// Process adds what concerns no single thread: goroutines and tasks. It is called
	// once, after all threads.
	Process(p *stack.Process, m *process.Recorder) error
}

// Unwinder is a Reader that knows how to unwind code that no file tells of, such as
// what the runtime has compiled. The walk of the copied stacks then uses the Code that
// it returns, which asks next for all other code. m is as for Reader.Threads.
type Unwinder interface {
	Code(next unwind.Code, m *process.Recorder) unwind.Code
}

// Needer is a Reader that says before the stop how much it is going to read, where that
// is more than a little.
type Needer interface {
	Needs() process.Need
}

// Set is the runtimes that were found in one target.
type Set struct {
	readers []Reader
	failed  []stack.Note // of Find
}

// FindAll looks for each runtime in t.
func FindAll(t *Target, finders []Finder) *Set {
	s := new(Set)
	for _, f := range finders {
		r, err := f.Find(t)
		s.fail(f.Language, err)
		if r != nil {
			s.readers = append(s.readers, r)
		}
	}
	return s
}

// Finder is the Find of a runtime.
type Finder struct {
	Language string // as Reader.Language tells it
	Find     Find
}

// Empty reports whether there is nothing to read.
func (s *Set) Empty() bool { return s == nil || len(s.readers) == 0 }

// Needs is how much the readers are going to read in the stop.
func (s *Set) Needs() (sum process.Need) {
	for _, r := range s.readers {
		if n, ok := r.(Needer); ok {
			need := n.Needs()
			sum.Bytes, sum.Ranges = sum.Bytes+need.Bytes, sum.Ranges+need.Ranges
		}
	}
	return sum
}

// Copy is called in the stop.
func (s *Set) Copy(st *process.Stopped) {
	for _, r := range s.readers {
		r.Copy(st)
	}
}

// Code wraps the code of the target.
func (s *Set) Code(code unwind.Code, m *process.Recorder) unwind.Code {
	if s == nil || m == nil {
		return code
	}
	for _, r := range s.readers {
		if u, ok := r.(Unwinder); ok {
			code = u.Code(code, m)
		}
	}
	return code
}

// Threads adds what the runtimes know of threads. m is nil where nothing was read,
// because the process had to go on before.
func (s *Set) Threads(p *stack.Process, threads []process.Unwound, m *process.Recorder) {
	if s == nil {
		return
	}
	for _, r := range s.readers {
		if m == nil {
			s.fail(r.Language(), fmt.Errorf("the process had to go on before it was read (--max-pause)"))
			continue
		}
		s.fail(r.Language(), r.Threads(p, threads, m))
	}
}

// Process adds what concerns no single thread, and what could not be read.
func (s *Set) Process(p *stack.Process, m *process.Recorder) {
	if s == nil {
		return
	}
	for _, r := range s.readers {
		if m != nil {
			s.fail(r.Language(), r.Process(p, m))
		}
	}
	p.Notes = append(p.Notes, s.failed...)
	s.failed = nil
}

// fail keeps an error for the report, each once.
func (s *Set) fail(language string, err error) {
	if err == nil {
		return
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			s.fail(language, err)
		}
		return
	}
	note := stack.Note{Kind: language, Text: language + ": " + err.Error(), Missing: true}
	for _, n := range s.failed {
		if n == note {
			return
		}
	}
	s.failed = append(s.failed, note)
}

// String reads a string of n bytes at addr, at most limit of them.
func String(m *process.Recorder, addr, n uint64, limit int) (string, bool) {
	b := make([]byte, min(n, uint64(limit)))
	if len(b) == 0 {
		return "", n == 0
	}
	got := m.Read(addr, b)
	return string(b[:got]), got == len(b)
}
