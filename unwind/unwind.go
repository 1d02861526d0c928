// Package unwind walks a stack. It is pure: from registers, a memory and a
// source of frame rows it computes the frames, and touches no file, process or
// ELF structure.
package unwind

import (
	"github.com/gatedso/bt/arch"
	"github.com/gatedso/bt/cfi"
)

// Memory is the memory of the target at the moment of the snapshot: stacks
// above all. Implementations return false for what they do not hold.
type Memory interface {
	// Word reads a little-endian word of size bytes (1, 2, 4 or 8) at addr.
	Word(addr uint64, size int) (uint64, bool)
}

// Code is what the unwinder asks about code addresses. All addresses are
// run-time addresses of the target.
type Code interface {
	// Row finds the frame row for pc and says what it was made from. A nil
	// row means that there is none. The row's addresses are link-time ones
	// and mean nothing to the unwinder; it stays valid until the walk ends.
	Row(pc uint64) (row *cfi.Row, how How)
	// Executable reports whether pc lies in executable memory.
	Executable(pc uint64) bool
	// Text reads code bytes at addr into b and returns how many there were.
	Text(addr uint64, b []byte) int
	// FuncStart returns the start of the function that holds pc where a
	// symbol tells it.
	FuncStart(pc uint64) (uint64, bool)
}

// How tells by which means a frame was found.
type How uint8

const (
	HowRegisters    How = iota // the thread's own registers: the innermost frame
	HowCFI                     // call frame information
	HowGo                      // Go's pcln table
	HowSignal                  // across a signal frame
	HowLeaf                    // return address on top of the stack, after a call to nowhere
	HowAnalysis                // by following the function's instructions
	HowFramePointer            // by the frame pointer
)

// Frame is one frame of a stack.
type Frame struct {
	PC     uint64
	SP     uint64 // the stack pointer in this frame
	Exact  bool   // PC is where execution is, not a return address
	Signal bool   // the frame is a signal trampoline
	Signo  int    // for a signal frame: the signal's number, or 0 when unknown
	How    How    // how the frame was found, from the one before it
}

// Lookup is the address to look a frame's code up by: a return address points
// behind the call, which may be the last instruction of its function.
func (f Frame) Lookup() uint64 {
	if f.Exact || f.PC == 0 {
		return f.PC
	}
	return f.PC - 1
}

var _ = arch.MaxRegs
