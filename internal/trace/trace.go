//go:build linux

// Package trace makes the model of what a snapshot took: stacks and the reason of a
// death, in the terms of package stack. It is the one way from there to what is
// named and printed, for running processes, core files and crash reports alike.
package trace

import (
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/trace/walked"
	"github.com/gatedso/bt/stack"
)

// Process returns the model of a process, whose frames are not named yet. wordSize
// is the size of an address in bytes, 0 where the threads tell it.
func Process(pid int, name string, wordSize int, s *snapshot.Stacks) *stack.Process {
	p := &stack.Process{PID: pid, Name: name, WordSize: wordSize, Threads: make([]stack.Thread, len(s.Threads))}
	for i := range s.Threads {
		t := &s.Threads[i]
		if p.WordSize == 0 && t.Arch != nil {
			p.WordSize = t.Arch.PtrSize
		}
	}
	if p.WordSize == 0 {
		p.WordSize = 8
	}
	for i := range s.Threads {
		p.Threads[i] = thread(&s.Threads[i], s.Space, p.WordSize)
	}
	return p
}

func thread(u *process.Unwound, space *image.Space, wordSize int) stack.Thread {
	t := stack.Thread{TID: u.TID, Name: u.Name, NotStopped: u.NotStopped, Frames: walked.Frames(u)}
	if u.Arch != nil && u.Arch.PtrSize != wordSize {
		t.WordSize = u.Arch.PtrSize
		wordSize = t.WordSize
	}
	if u.Kernel != "" {
		t.Notes = append(t.Notes, stack.Note{Kind: "kernel thread", Text: "kernel thread: " + u.Kernel + ", without a user stack"})
		t.End = stack.End{Reason: stack.Outermost}
		return t
	}
	t.End = walked.End(u, space, wordSize)
	return t
}
