// Package unwind walks a stack. It is pure: from registers, a memory and a
// source of frame rows it computes the frames, and touches no file, process or
// ELF structure.
package unwind

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Memory is the memory of the target at the moment of the snapshot: stacks
// above all. Implementations return false for what they do not hold.
type Memory interface {
	// Word reads a little-endian word of size bytes (1, 2, 4 or 8) at addr.
	Word(addr uint64, size int) (uint64, bool)
}

// Code is what the unwinder asks about code. All addresses are run-time
// addresses of the target.
type Code interface {
	// Row finds the frame row for pc and says what it was made from. A nil
	// row means that there is none. exact is false when pc was reached by a
	// return address. The row's own addresses are link-time ones; the row
	// is not changed afterwards, by either side.
	Row(pc uint64, exact bool) (row *cfi.Row, how How)
	// Executable reports whether pc lies in executable memory.
	Executable(pc uint64) bool
	// Text reads code bytes at addr into b and returns how many there were.
	Text(addr uint64, b []byte) int
	// FuncStart returns the start of the function that holds pc where call
	// frame information or a symbol tells it.
	FuncStart(pc uint64) (uint64, bool)
}

// LastResort is a Code that has rows for what nothing else tells how to unwind. They are
// used after the instructions of the function were followed in vain.
type LastResort interface {
	// LastRow finds the row that holds in most of the function at pc.
	LastRow(pc uint64) (row *cfi.Row, how How)
}

// How tells by which means a frame was found.
type How uint8

const (
	HowRegisters    How = iota // the thread's own registers: the innermost frame
	HowCFI                     // call frame information
	HowGo                      // Go's pcln table
	HowInjected                // the same, where a signal handler injected the call: the caller is exact
	HowSignal                  // across a signal frame
	HowLeaf                    // return address on top of the stack, after a call to nowhere
	HowAnalysis                // by following the function's instructions
	HowFramePointer            // by the frame pointer
	HowRuntime                 // by what a language runtime knows of code that it has made

	// What Code says of Go's functions that change from stack to stack; the
	// caller of each counts as found by HowGo.
	HowGoSwitch   // its callee runs on the system stack, itself on the goroutine's
	HowGoCgo      // the same, for C code: its row is for its stack pointer on the goroutine's stack
	HowGoLeft     // the goroutine has left its stack for the scheduler's
	HowGoGrows    // the same, to get a larger stack
	HowGoCallback // it came from C on the system stack, its callee runs on the goroutine's
	HowGoEntry    // C code has called it; without a row
)

var howNames = [...]string{"registers", "cfi", "go", "go, injected call", "signal", "leaf", "analysis", "frame pointer", "runtime"}

func (h How) String() string {
	switch {
	case int(h) < len(howNames):
		return howNames[h]
	case h <= HowGoEntry:
		return howNames[HowGo]
	}
	return "?"
}

// Frame is one frame of a stack.
type Frame struct {
	PC     uint64
	SP     uint64 // the stack pointer in this frame
	FP     uint64 // the register arch.Arch.FP in this frame, 0 when unknown
	Exact  bool   // PC is where execution is, not a return address
	Signal bool   // the frame is a signal trampoline; the next one is exact
	Signo  uint8  // of a signal frame: the signal's number, 0 when unknown
	How    How    // how the frame was found from the one before it
}

// Lookup is the address to look a frame's code up by: a return address points
// behind the call, which may be the last instruction of its function.
func (f Frame) Lookup() uint64 {
	if f.Exact || f.PC == 0 {
		return f.PC
	}
	return f.PC - 1
}

// End tells why a stack has no further frame.
type End uint8

const (
	EndOutermost  End = iota // the outermost frame was reached
	EndMaxFrames             // there are more frames than were asked for
	EndNoInfo                // nothing tells how to unwind the last frame (At: its pc)
	EndNoMemory              // the stack cannot be read (At: the address)
	EndNoAdvance             // the caller's frame would lie below this one (At: its stack pointer)
	EndBadReturn             // the return address is not code (At: the return address)
	EndNoRegister            // a register that the frame is found by is not known (At: its number)
	EndBadRow                // the frame row cannot be evaluated (At: the pc)
	EndLoop                  // the stack switches to and fro without end
	EndNotCalled             // the return address is code, but no call precedes it (At: the return address)
	EndCoroutine             // the outermost frame of a stack that the program has made (At: the return address that it put there)
	EndOtherStack            // the frame was called on another stack, to which nothing leads (At: its pc)
	EndZeroReturn            // the return address is zero, and nothing tells that nobody called (At: the last frame's pc)

	// Whoever copied the stack knows of these, not the walk:

	EndMaxPause // the process had to go on before the rest was copied (At: the address)
	EndMaxCopy  // the rest is more than is copied (At: the address)
)

// Stack is the result of a walk.
type Stack struct {
	Frames []Frame // innermost first
	End    End
	At     uint64 // what End is about
}

// maxSwitches bounds the frames of one stack that may lie below their callee:
// those across signal frames and Go's stack switches. Everything else must
// advance, so that a walk terminates whatever the memory holds.
const maxSwitches = 1024

// stackCheck is the number of frames after which to look whether there is a
// stack at all. Tables that compute callers without reading memory could
// otherwise lead on through all addresses.
const stackCheck = 4096

// maxText bounds the bytes of one function that are read to analyze it.
const maxText = 64 << 10

// maxPlans bounds the plans of a generation, which take about 1 KiB each. A
// process rarely has more than a few thousand places in all its stacks.
const maxPlans = 8192

// Walker unwinds the stacks of one address space. It remembers what it learned
// about each pc, so that deep recursion and a thousand similar threads cost
// little. It is not safe for concurrent use.
type Walker struct {
	arch *arch.Arch
	code Code
	mask uint64 // an address's bits
	data uint64 // those of a data address that the CPU does not ignore

	// Plans by planKey, in two generations: when recent is full it becomes
	// older, and what was older is forgotten unless it was used meanwhile.
	recent, older map[uint64]*plan

	hot  [512]*plan // the plans used last, by their pc's low bits
	text []byte     // scratch for code bytes
}

// New returns a walker for a process of CPU a.
func New(a *arch.Arch, code Code) *Walker {
	w := &Walker{arch: a, code: code, mask: ^uint64(0), recent: make(map[uint64]*plan)}
	if a.PtrSize == 4 {
		w.mask = 1<<32 - 1
	}
	w.data = w.mask &^ a.Tag
	return w
}

// Start is where a walk begins.
type Start struct {
	Regs arch.Regs
	// Blocked is the thread's set of blocked signals, valid when HasBlocked:
	// it helps to tell a signal frame's siginfo from what was left there.
	Blocked    uint64
	HasBlocked bool
	// PACMask is the thread's mask for arch.Arch.StripPAC, 0 if not known.
	PACMask uint64
	// Called tells that the pc is a return address: of a stack that no thread runs
	// at the moment. The link register, if its value is given, is the frame's own.
	Called bool
	// MaxFrames is the number of frames wanted; 0 means all.
	MaxFrames int
}

// Walk unwinds one stack, innermost frame first.
func (w *Walker) Walk(s Start, mem Memory) Stack {
	return w.WalkInto(nil, s, mem)
}

// WalkInto is Walk with a buffer for the frames.
func (w *Walker) WalkInto(buf []Frame, s Start, mem Memory) Stack {
	st := state{Walker: w, mem: mem, regs: s.Regs, pacMask: s.PACMask, blocked: s.Blocked, hasBlocked: s.HasBlocked}
	st.linked = s.Called && st.hasLink()
	out := Stack{Frames: buf[:0]}
	pc, ok := s.Regs.Get(w.arch.PC)
	if !ok {
		out.End, out.At = EndNoRegister, uint64(w.arch.PC)
		return out
	}
	sp, _ := s.Regs.Get(w.arch.SP)
	fp, _ := s.Regs.Get(w.arch.FP)
	frame := Frame{PC: pc & w.mask, SP: sp & w.mask, FP: fp & w.mask, Exact: !s.Called}
	for {
		if s.MaxFrames > 0 && len(out.Frames) == s.MaxFrames {
			out.End, out.At = EndMaxFrames, uint64(s.MaxFrames)
			return out
		}
		if len(out.Frames)%stackCheck == stackCheck-1 && !st.onStack(frame.SP) {
			out.End, out.At = EndNoMemory, frame.SP
			return out
		}
		p := w.plan(frame.PC, frame.Exact)
		if p.signal {
			frame.Exact, frame.Signal = true, true
			frame.Signo = st.signo(p)
		}
		out.Frames = append(out.Frames, frame)
		if len(out.Frames) == 1 && frame.Exact && st.newborn(frame) {
			return out
		}
		next, end, at := st.step(frame, p)
		if end != stepOn {
			out.End, out.At = end, at
			return out
		}
		frame = next
	}
}

// onStack reports whether there is memory around the stack pointer sp.
func (s *state) onStack(sp uint64) bool {
	_, above := s.mem.Word(sp, 1)
	_, below := s.mem.Word((sp-1)&s.mask, 1)
	return above || below
}

// stepOn is step's word that there is a caller; it never leaves the package.
const stepOn End = 255
