//go:build linux

package steptest

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind"
)

// entry is a caller on the shadow stack: where it goes on, and its stack
// pointer then.
type entry struct {
	pc, sp uint64
	slot   uint64 // where the return address lies; on a CPU with a link register, sp
	// interrupted: a signal came here, and the entry above is the signal
	// trampoline. The entry goes when the program is at pc and sp again.
	interrupted bool
}

// shadow is the stack of callers as calls and returns make it, outermost first.
// It knows nothing of tables, frame pointers or functions: a call pushes, and a
// return address is gone when the stack pointer has risen above it, or, with a link
// register, when the program is where it leads to.
type shadow struct {
	entries []entry
	arch    *arch.Arch
	ptr     uint64 // bytes that a call pushes
	left    bool   // the stack pointer has risen above a caller: the next jump goes to a frame further out
}

// newShadow begins with the callers of a function, innermost first.
func newShadow(a *arch.Arch, callers []unwind.Frame) *shadow {
	s := &shadow{arch: a}
	if !a.Entry.Return.InReg {
		s.ptr = uint64(a.PtrSize)
	}
	for i := len(callers) - 1; i >= 0; i-- {
		f := callers[i]
		s.entries = append(s.entries, entry{pc: f.PC, sp: f.SP, slot: f.SP - s.ptr})
	}
	return s
}

// step follows the instruction that led from the place (pc, sp) to where t is.
func (s *shadow) step(t *tracee, sig unix.Signal, pc, sp uint64, code []byte) {
	if sig != 0 && t.pc != pc && t.sp+s.ptr < sp {
		// The kernel made a signal frame. The handler returns to the trampoline.
		s.entries = append(s.entries, entry{pc: pc, sp: sp, slot: sp, interrupted: true})
		s.push(t)
		return
	}
	if s.ptr == 0 {
		s.linked(t, sp, code)
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

// linked is step where calls leave the return address in a register.
func (s *shadow) linked(t *tracee, sp uint64, code []byte) {
	if s.arch.AfterCall(code[:4]) && t.sp == sp {
		s.push(t)
		return
	}
	for n := len(s.entries); n > 0 && s.entries[n-1].sp < t.sp; n-- {
		s.entries = s.entries[:n-1]
		s.left = true
	}
	if !jumps(code) {
		return
	}
	for n := len(s.entries) - 1; n >= 0; n-- {
		if e := &s.entries[n]; e.pc == t.pc && e.sp == t.sp {
			s.entries = s.entries[:n]
			s.left = false
			return
		}
	}
	if !s.left {
		return // to a table's entry, or to another function
	}
	// A longjmp, or an exception: into the function whose callees all have gone.
	s.left = false
	for n := len(s.entries); n > 0 && s.entries[n-1].sp <= t.sp; n-- {
		s.entries = s.entries[:n-1]
	}
}

// jumps reports whether code begins with one of the arm64 instructions br, ret and
// their like, or svc, by which the kernel returns from a signal.
func jumps(code []byte) bool {
	w := binary.LittleEndian.Uint32(code)
	return w>>25 == 0x6b || w == 0xd4000001
}

func (s *shadow) push(t *tracee) {
	if s.ptr == 0 {
		ret, _ := t.regs.Get(s.arch.Entry.Return.Reg)
		s.entries = append(s.entries, entry{pc: ret, sp: t.sp, slot: t.sp})
		return
	}
	ret, _ := t.mem.Word(t.sp, t.arch.PtrSize)
	s.entries = append(s.entries, entry{pc: ret, sp: t.sp + s.ptr, slot: t.sp})
}

// isCall reports whether code begins with a call, of x86. A call to the next
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
