//go:build linux

package steptest

import (
	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/unwind"
)

// entry is a caller on the shadow stack: where it goes on, and its stack
// pointer then.
type entry struct {
	pc, sp uint64
	slot   uint64 // where the return address lies
	// interrupted: a signal came here, and the entry above is the signal
	// trampoline. The entry goes when the program is at pc and sp again.
	interrupted bool
}

// shadow is the stack of callers as calls and returns make it, outermost first.
// It knows nothing of tables, frame pointers or functions: a call pushes, and a
// return address is gone when the stack pointer has risen above it.
type shadow struct {
	entries []entry
	ptr     uint64 // bytes in an address
}

// newShadow begins with the callers of a function, innermost first.
func newShadow(ptr int, callers []unwind.Frame) *shadow {
	s := &shadow{ptr: uint64(ptr)}
	for i := len(callers) - 1; i >= 0; i-- {
		f := callers[i]
		s.entries = append(s.entries, entry{pc: f.PC, sp: f.SP, slot: f.SP - s.ptr})
	}
	return s
}

// step follows the instruction that led from the place (pc, sp) to where t is.
func (s *shadow) step(t *tracee, sig unix.Signal, pc, sp uint64, code []byte) {
	if sig != 0 && t.pc != pc && t.sp+s.ptr < sp {
		// The kernel made a signal frame. It begins with the address of the
		// trampoline.
		s.entries = append(s.entries, entry{pc: pc, sp: sp, slot: sp, interrupted: true})
		s.push(t)
		return
	}
	if isCall(code, t.arch.PtrSize) && t.sp == sp-s.ptr {
		s.push(t)
		return
	}
	for n := len(s.entries); n > 0; n-- {
		e := &s.entries[n-1]
		back := e.interrupted && t.pc == e.pc && t.sp == e.sp
		if e.slot >= t.sp && !back {
			break
		}
		s.entries = s.entries[:n-1]
	}
}

func (s *shadow) push(t *tracee) {
	ret, _ := t.mem.Word(t.sp, t.arch.PtrSize)
	s.entries = append(s.entries, entry{pc: ret, sp: t.sp + s.ptr, slot: t.sp})
}

// isCall reports whether code begins with a call. A call to the next
// instruction, by which 32-bit code reads its own address, is none: it pushes.
func isCall(code []byte, ptr int) bool {
	for len(code) > 2 {
		switch c := code[0]; {
		case c == 0xe8:
			return len(code) >= 5 && [4]byte(code[1:5]) != [4]byte{}
		case c == 0xff:
			op := code[1] >> 3 & 7
			return op == 2 || op == 3
		case c == 0x66, c == 0x67, c == 0xf2, c == 0xf3, c == 0x2e, c == 0x36, c == 0x3e, c == 0x26, c == 0x64, c == 0x65,
			ptr == 8 && c&0xf0 == 0x40: // prefixes
			code = code[1:]
		default:
			return false
		}
	}
	return false
}

// verdict is how a walk compares with the shadow stack.
type verdict uint8

const (
	right  verdict = iota
	landed         // the stack that the jump out of a longjmp leads to
	short          // the right frames, but not all; the end has a reason
	wrong          // a frame that is none, or a wrong end
	verdicts
)

// compare compares the frames of a walk with the shadow stack below the program
// counter. at is the first frame that differs.
func (s *shadow) compare(pc, sp uint64, got *unwind.Stack) (v verdict, at int) {
	n := len(s.entries)
	if len(got.Frames) == 0 || got.Frames[0].PC != pc || got.Frames[0].SP != sp {
		return wrong, 0
	}
	for i, f := range got.Frames[1:] {
		if i >= n {
			return wrong, i + 1
		}
		if e := &s.entries[n-1-i]; f.PC != e.pc || f.SP != e.sp || (f.Exact && !f.Signal) != e.interrupted {
			return wrong, i + 1
		}
	}
	switch {
	case len(got.Frames) == n+1 && got.End == unwind.EndOutermost:
		return right, 0
	case got.End == unwind.EndOutermost, len(got.Frames) == n+1:
		return wrong, len(got.Frames)
	}
	return short, len(got.Frames)
}
