// Package walked puts what a walk has found into the model: frames, and why there are
// no more.
package walked

import (
	"fmt"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/stack"
)

// Frames returns the frames of a stack, which are not named yet.
func Frames(u *process.Unwound) []stack.Frame {
	frames := make([]stack.Frame, len(u.Stack.Frames))
	for i := range u.Stack.Frames {
		frames[i] = Frame(&u.Stack.Frames[i])
	}
	return frames
}

// Frame returns a frame, which is not named yet.
func Frame(f *unwind.Frame) stack.Frame {
	out := stack.Frame{PC: f.PC, SP: f.SP, Exact: f.Exact, Found: found(f.How)}
	if f.Signal {
		out.Signal = new(stack.Signal)
		if f.Signo != 0 {
			*out.Signal = stack.Signal{Number: int(f.Signo), Name: fault.SignalName(int(f.Signo))}
		}
	}
	return out
}

// found is the model's word for a means of unwinding.
func found(h unwind.How) stack.How { return stack.How(h.String()) }

// End says why a stack ended, of a process whose addresses have wordSize bytes.
func End(u *process.Unwound, space *image.Space, wordSize int) stack.End {
	at := u.Stack.At
	addr := render.Addr(at, wordSize)
	out := func(r stack.Reason, format string, args ...any) stack.End {
		return stack.End{Reason: r, Addr: at, Text: fmt.Sprintf(format, args...)}
	}
	switch u.Stack.End {
	case unwind.EndMaxFrames:
		frames := "frames"
		if at == 1 {
			frames = "frame"
		}
		e := out(stack.MaxFrames, "cut after %d %s (--max-frames)", at, frames)
		e.Addr = 0
		return e
	case unwind.EndNoInfo:
		return out(stack.NoInfo, "no unwind information for %s", where(space, at))
	case unwind.EndBadRow:
		return out(stack.BadInfo, "unusable unwind information for %s", where(space, at))
	case unwind.EndNoMemory:
		return out(stack.NoMemory, "cannot read the stack at %s", addr)
	case unwind.EndMaxPause:
		return out(stack.MaxPause, "the process had to go on before the stack from %s on was copied (--max-pause)", addr)
	case unwind.EndMaxCopy:
		return out(stack.MaxCopy, "the stack from %s on is more memory than bt copies of a process", addr)
	case unwind.EndNoAdvance:
		return out(stack.NoAdvance, "the next frame would lie below this one, at %s", addr)
	case unwind.EndBadReturn:
		return out(stack.BadReturn, "the return address %s is not code", addr)
	case unwind.EndNotCalled:
		return out(stack.NotCalled, "no call precedes the return address %s, and no chain of frame pointers leads on from it", addr)
	case unwind.EndCoroutine:
		return out(stack.Coroutine, "a coroutine begins here: its return address, %s, is where code begins, and no call precedes it", addr)
	case unwind.EndOtherStack:
		return out(stack.OtherStack, "%s was called on another stack, and nothing leads to it", addr)
	case unwind.EndZeroReturn:
		return out(stack.ZeroReturn, "the return address of %s is zero, and nothing tells that the stack begins there", addr)
	case unwind.EndLoop:
		return out(stack.Loop, "the stack goes round in circles at %s", addr)
	case unwind.EndNoRegister:
		return register(u)
	}
	if !u.HasRegs {
		return register(u)
	}
	return stack.End{Reason: stack.Outermost}
}

// register says which register a stack ended for.
func register(u *process.Unwound) stack.End {
	at := u.Stack.At
	switch {
	case u.Machine != "":
		return stack.End{Reason: stack.UnknownCPU, Text: "bt does not unwind " + u.Machine + " yet"}
	case u.Arch == nil || !u.HasRegs:
		return stack.End{Reason: stack.NoRegisters, Text: "no registers"}
	case at < uint64(len(u.Arch.Names)):
		return stack.End{Reason: stack.UnknownRegister, Text: "the value of " + u.Arch.Names[at] + " is not known"}
	}
	return stack.End{Reason: stack.UnknownRegister, Text: fmt.Sprintf("the value of register %d is not known", at)}
}

// where names the place of a code address for people.
func where(space *image.Space, pc uint64) string {
	p := space.Locate(pc)
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
