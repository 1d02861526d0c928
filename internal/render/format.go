package render

import (
	"time"

	"github.com/gatedso/bt/stack"
)

// Format is an output format. What it is given, process after process, makes one
// document. It writes to a bufio.Writer, which keeps errors until its Flush.
//
// A process comes as Head, Threads any number of times, and Rest: a core can have
// more threads than should be in memory at once. The Process of each call has the
// same PID, Name and WordSize.
type Format interface {
	// Maps gives the mappings of the process that comes next. It may be left out.
	Maps(h *Head)
	// Head begins a process, and tells when and how often it was seen so.
	Head(p *stack.Process, s Sample)
	// Threads gives the threads of p.
	Threads(p *stack.Process)
	// Rest ends a process: it gives what of p concerns no single thread, goroutines
	// and other tasks, notes and deadlocks.
	Rest(p *stack.Process)
	// Close ends the document. It does not flush the writer.
	Close()
}

// Process gives a whole process to f.
func Process(f Format, p *stack.Process, s Sample) {
	f.Head(p, s)
	f.Threads(p)
	f.Rest(p)
}

// Sample is when, and how often, the stacks of a process were seen.
type Sample struct {
	Time   time.Time     // zero where it is not known
	Count  int64         // how many samples this stands for; 0 is 1
	Period time.Duration // between two samples; 0 where there is one only
}

// N is Count, at least 1.
func (s Sample) N() int64 { return max(s.Count, 1) }

// Options are what the formats have in common.
type Options struct {
	Raw       bool // addresses without names
	Basenames bool // of source files the last part of the path
	Group     bool // stacks that are alike once, with whose they are
	Brief     bool // no frames that are a language runtime's own
	Verbose   bool // also the tasks that a runtime has started for itself
}
