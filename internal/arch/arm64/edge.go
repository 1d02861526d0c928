package arm64

import (
	"encoding/binary"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// Forms of the instructions at a function's edges.
const (
	movFPSP = 0x910003fd // mov x29, sp
	svc     = 0xd4000001 // svc #0
)

// isRecord reports whether w is the load or the store of a frame record that moves
// the stack pointer, and by how much: stp x29, x30, [sp, #-n]! and ldp x29, x30, [sp], #n.
func isRecord(w uint32, form uint32) (n int64, ok bool) {
	const imm7 = 0x7f << 15
	return 8 * signed(w, 15, 7), w&^imm7 == form
}

const (
	pushRecord = 0xa9807bfd
	popRecord  = 0xa8c07bfd
	pushPLT    = 0xa9bf7bf0 // stp x16, x30, [sp, #-16]!, the first PLT stub's
)

// isHint reports whether w is one of paciasp, autiasp and their like, or a landing
// pad: it changes no address and no stack pointer.
func isHint(w uint32) bool { return w&0xfffff01f == 0xd503201f }

// edge implements arch.Arch.Edge.
func edge(before, code []byte) (arch.Layout, bool) {
	var words []uint32
	for ; len(code) >= 4; code = code[4:] {
		words = append(words, binary.LittleEndian.Uint32(code))
	}
	for len(words) > 0 && isHint(words[0]) {
		words = words[1:]
	}
	if len(words) == 0 {
		return arch.Layout{}, false
	}
	if words[0] == pushPLT {
		return entry, isStub(words[1:])
	}
	if inFirstStub(before, words) {
		return arch.Layout{Base: SP, Offset: 16, Return: arch.Return{InReg: true, Reg: LR}}, true
	}
	if _, ok := isRecord(words[0], pushRecord); ok && len(words) > 1 && words[1] == movFPSP {
		return entry, true
	}
	if words[0] == movFPSP && len(before) >= 4 {
		if n, ok := isRecord(binary.LittleEndian.Uint32(before[len(before)-4:]), pushRecord); ok && n < 0 {
			return record(-n), true
		}
	}
	var in inst
	decode(binary.LittleEndian.AppendUint32(nil, words[0]), &in)
	if in.flow == follow.Return || isStub(words) {
		return entry, true
	}
	if n, ok := isRecord(words[0], popRecord); ok && n > 0 {
		for words = words[1:]; len(words) > 0 && isHint(words[0]); words = words[1:] {
		}
		if len(words) > 0 {
			decode(binary.LittleEndian.AppendUint32(nil, words[0]), &in)
			return record(n), in.flow == follow.Return
		}
	}
	return arch.Layout{}, false
}

// inFirstStub reports whether words are the rest of the first PLT stub, behind its
// first instruction, which leaves what the resolver needs on the stack. The return
// address is in the link register still.
func inFirstStub(before []byte, words []uint32) bool {
	if !isStub(words) {
		return false
	}
	for ; len(before) >= 4; before = before[:len(before)-4] {
		w := word(before[len(before)-4:])
		if w == pushPLT {
			return true
		}
		if !isStubMiddle(w) {
			return false
		}
	}
	return false
}

// isStub reports whether words are the rest of a PLT stub: adrp x16; ldr x17, [x16, #…];
// add x16, x16, #…; br x17, with hints for branch protection among them (ELF for the Arm
// 64-bit Architecture, appendix "PLT sequences").
func isStub(words []uint32) bool {
	for _, w := range words {
		switch {
		case w == 0xd61f0220: // br x17
			return true
		case isHint(w), isStubMiddle(w):
		default:
			return false
		}
	}
	return false
}

// isStubMiddle reports whether w is one of the first three instructions that isStub
// tells of.
func isStubMiddle(w uint32) bool {
	return w&0x9f00001f == 0x90000010 || w&0xffc003ff == 0xf9400211 || w&0xffc003ff == 0x91000210
}

// word is the instruction at the start of code.
func word(code []byte) uint32 { return binary.LittleEndian.Uint32(code) }

// record is the frame of size bytes that has a frame record at its bottom, where the
// stack pointer is.
func record(size int64) arch.Layout {
	return arch.Layout{Base: SP, Offset: size, Return: arch.Return{Offset: 8 - size}, Saved: []arch.SavedReg{
		{Reg: FP, Offset: -size}, {Reg: LR, Offset: arch.NoOffset},
	}}
}

// read implements follow.Reader. A jump by x16 or x17 leads to another function:
// linkers' stubs make it (AAPCS64, section 6.1.1).
func read(code []byte, at int) (follow.Insn, bool) {
	var in inst
	if !decode(code[at:], &in) {
		return follow.Insn{}, false
	}
	return follow.Insn{Size: 4, Flow: in.flow, Target: at + int(in.displacement), Slot: in.rn == 16 || in.rn == 17}, true
}

func noReturn(code []byte) bool { return follow.Reader(read).NoReturn(code) }

// extent implements arch.Arch.Extent. gcc aligns functions to 16 bytes, LLVM to 4: of
// its code a tail call is taken for a jump inside of the function.
func extent(code []byte, addr uint64) ([]arch.Span, bool) {
	return follow.Reader(read).Extent(code, addr, 16)
}

// startsThread implements arch.Arch.StartsThread. musl's clone calls the thread's
// function by its address and makes the system call exit with what that returns: blr;
// mov x8, #93; svc #0 (src/thread/aarch64/clone.s). The frame pointer is that of the
// thread which has made this one.
func startsThread(before, code []byte) bool {
	const movExit = 0xd2800ba8
	if len(before) < 4 || len(code) < 8 {
		return false
	}
	return word(before[len(before)-4:])&0xfffffc1f == 0xd63f0000 && word(code) == movExit && word(code[4:]) == svc
}

// forked implements arch.Arch.Forked.
func forked(code []byte, pc int) (int, bool) {
	const maxBack = 16
	for at := pc; at >= max(4, pc-maxBack); at -= 4 {
		if binary.LittleEndian.Uint32(code[at-4:]) != svc {
			continue
		}
		if to, ok := zeroLeads(code, at, pc); ok {
			return to, true
		}
	}
	return 0, false
}

// zeroLeads follows the comparisons and branches from index at on, with a zero in
// x0, to the first other instruction. It reports whether pc is on the way and there
// was a branch.
func zeroLeads(code []byte, at, pc int) (to int, ok bool) {
	passed, branched := false, false
	var f flags
	for range 8 {
		passed = passed || at == pc
		var in inst
		if at < 0 || at >= len(code) || !decode(code[at:], &in) {
			return 0, false
		}
		w := binary.LittleEndian.Uint32(code[at:])
		switch {
		case w&0x7fffffff == 0x6b1f001f: // cmp x0, xzr
			f = flags{known: true, zero: true, carry: true}
		case w&0x7f8003ff == 0x7100001f: // cmp x0, #n
			f = flags{known: true, zero: field(w, 10, 12) == 0, negative: field(w, 10, 12) != 0, carry: field(w, 10, 12) == 0}
		case w&0x7f8003ff == 0x3100001f: // cmn x0, #n
			f = flags{known: true, zero: field(w, 10, 12) == 0}
		case w&0x7e00001f == 0x34000000, w&0x7e00001f == 0x36000000: // cbz, cbnz, tbz, tbnz of x0
			branched = true
			if field(w, 24, 1) == 0 {
				at += int(in.displacement) - 4
			}
		case w>>24 == 0x54 && f.known:
			branched = true
			if f.hold(field(w, 0, 4)) {
				at += int(in.displacement) - 4
			}
		default:
			return at, passed && branched
		}
		at += 4
	}
	return 0, false
}

// flags are the condition flags; there is never an overflow.
type flags struct{ known, zero, negative, carry bool }

// hold reports whether the condition cond holds.
func (f *flags) hold(cond uint32) bool {
	holds := [...]bool{f.zero, f.carry, f.negative, false, f.carry && !f.zero, !f.negative, !f.zero && !f.negative, true}[cond>>1]
	return holds != (cond&1 == 1 && cond != 15)
}
