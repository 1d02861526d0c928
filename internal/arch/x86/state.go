package x86

import "github.com/gatedso/bt/internal/arch"

// kind says what is known of a value.
type kind uint8

const (
	unknown kind = iota
	entry        // the value that register n had at the function's entry
	address      // base n + off
	ret          // the return address
)

// A value is what a register or a stack slot holds.
type value struct {
	kind kind
	n    uint8
	off  int32
}

// Bases of addresses. Base 0 is the canonical frame address (CFA). Others stand
// for stack pointers whose distance from the CFA is not known: after alignment
// or alloca.
const (
	cfa      = 0
	maxBases = 255
)

// slot is a place on the stack, at base n + off, whose content is known.
type slot struct {
	n   uint8
	off int32
	v   value
}

// maxSlots bounds the slots that are tracked: a function saves at most the
// callee-saved registers, its return address and a few stack pointers.
const maxSlots = 16

// state is what is known before an instruction.
type state struct {
	regs   [16]value
	nslots int
	slots  [maxSlots]slot

	// afterCall is set when only padding lies between this place and the
	// call before it: if the call does not return, this place is not reached.
	afterCall bool
	// called is set when a call has been made.
	called bool
	// aligned is set when a call has found the stack aligned to 16 bytes.
	aligned bool
	// compared is the register that the stack pointer has just been
	// compared with, or noReg.
	compared uint8
}

// entryState is the state before a function's first instruction.
func (m *Mode) entryState(st *state) {
	*st = state{compared: noReg}
	for r := range st.regs {
		if m.CalleeSaved>>r&1 != 0 {
			st.regs[r] = value{kind: entry, n: uint8(r)}
		}
	}
	st.regs[sp] = value{kind: address, n: cfa, off: int32(-m.PtrSize)}
	st.store(st.regs[sp], value{kind: ret}, m.PtrSize)
}

// load returns what lies at address a.
func (st *state) load(a value) value {
	if a.kind == address {
		for _, s := range st.slots[:st.nslots] {
			if s.n == a.n && s.off == a.off {
				return s.v
			}
		}
	}
	return value{}
}

// store notes that size bytes at address a now hold v.
func (st *state) store(a, v value, size int) {
	if a.kind != address {
		return
	}
	// Drop what is overwritten. Slots are as large as the values that they
	// hold, which is at least 4 bytes; the exact size matters only for
	// stores that are smaller than their target, and none of those hits a
	// slot that is still needed.
	j := 0
	for _, s := range st.slots[:st.nslots] {
		if s.n == a.n && s.off >= a.off && s.off < a.off+int32(size) {
			continue
		}
		st.slots[j] = s
		j++
	}
	st.nslots = j
	// Of addresses only those that lead back to the CFA are of use.
	if v.kind == unknown || v.kind == address && v.n != cfa || st.nslots == maxSlots {
		return
	}
	st.slots[st.nslots] = slot{a.n, a.off, v}
	st.nslots++
}

// setSP moves the stack pointer to a, which is an address, and forgets what
// lies below it.
func (st *state) setSP(a value) {
	st.regs[sp] = a
	j := 0
	for _, s := range st.slots[:st.nslots] {
		if s.n == a.n && s.off < a.off {
			continue
		}
		st.slots[j] = s
		j++
	}
	st.nslots = j
}

// forget drops everything that refers to base n.
func (st *state) forget(n uint8) {
	for r, v := range st.regs {
		if v.kind == address && v.n == n {
			st.regs[r] = value{}
		}
	}
	j := 0
	for _, s := range st.slots[:st.nslots] {
		if s.n == n {
			continue
		}
		st.slots[j] = s
		j++
	}
	st.nslots = j
}

// merge reduces st to what holds in other too, and reports whether that
// changed st.
func (st *state) merge(other *state) (changed bool) {
	for r, v := range st.regs {
		if v.kind != unknown && v != other.regs[r] {
			st.regs[r] = value{}
			changed = true
		}
	}
	j := 0
	for i, s := range st.slots[:st.nslots] {
		if i < other.nslots && other.slots[i] == s ||
			other.load(value{kind: address, n: s.n, off: s.off}) == s.v {
			st.slots[j] = s
			j++
		} else {
			changed = true
		}
	}
	st.nslots = j
	if st.compared != other.compared && st.compared != noReg {
		st.compared = noReg
		changed = true
	}
	if other.called && !st.called || !other.aligned && st.aligned {
		st.called = st.called || other.called
		st.aligned = st.aligned && other.aligned
		changed = true
	}
	return changed
}

// fromCFA reports whether v is at a known distance from the CFA.
func (v value) fromCFA() bool { return v.kind == address && v.n == cfa }

// balanced reports whether st can be the state before a return or a tail call:
// everything is as it was at the function's entry.
func (st *state) balanced(m *Mode) bool {
	return st.regs[sp] == value{kind: address, n: cfa, off: int32(-m.PtrSize)} &&
		st.load(st.regs[sp]).kind == ret
}

// framed reports whether the frame pointer points at the saved frame pointer, as
// it does after push %bp; mov %sp, %bp: what is found by way of it does not
// depend on the stack pointer any more.
func (st *state) framed() bool {
	return st.load(st.regs[bp]) == value{kind: entry, n: bp}
}

// base says how to compute the CFA.
func (st *state) base(m *Mode) (l arch.Layout, ok bool) {
	// A 32-bit callee may take its arguments off the stack, unseen, and a
	// frame pointer is right all the same. In 64-bit code none does.
	order := [...]uint8{sp, bp, ax, cx, dx, bx, si, di, 8, 9, 10, 11, 12, 13, 14, 15}
	if m.PtrSize == 4 && st.framed() {
		order[0], order[1] = bp, sp
	}
	for _, r := range order {
		if v := st.regs[r]; v.fromCFA() {
			return arch.Layout{Base: m.DWARF[r], Offset: -int64(v.off), Return: m.onStack()}, true
		}
	}
	// A function that aligns its stack keeps the old stack pointer there.
	for _, r := range order[:2] {
		for _, s := range st.slots[:st.nslots] {
			if v := st.regs[r]; v.kind == address && s.n == v.n && s.v.fromCFA() {
				return arch.Layout{
					Base:     m.DWARF[r],
					Offset:   int64(s.off) - int64(v.off),
					Indirect: true,
					Add:      -int64(s.v.off),
					Return:   m.onStack(),
				}, true
			}
		}
	}
	return arch.Layout{}, false
}

// inFrame adds saved to l where own, its value, lies on an aligned stack that
// the frame pointer or the stack pointer points into.
func (st *state) inFrame(l *arch.Layout, own value, saved arch.SavedReg, m *Mode) bool {
	r := bp
	if v := st.regs[r]; v.kind != address || v.fromCFA() {
		r = sp
	}
	v := st.regs[r]
	for _, s := range st.slots[:st.nslots] {
		if v.kind == address && s.n == v.n && s.v == own {
			saved.Offset = int64(s.off) - int64(v.off)
			l.Frame, l.InFrame = m.DWARF[r], append(l.InFrame, saved)
			return true
		}
	}
	return false
}

// layout tells how to unwind from st.
func (st *state) layout(m *Mode) (arch.Layout, bool) {
	l, ok := st.base(m)
	// The return address may have been popped or overwritten.
	if !ok || st.load(value{kind: address, n: cfa, off: int32(-m.PtrSize)}).kind != ret {
		return arch.Layout{}, false
	}
	for r, v := range st.regs {
		if m.CalleeSaved>>r&1 == 0 {
			continue
		}
		// A slot goes before the register itself: a call to a PC thunk
		// changes a register without notice.
		own := value{kind: entry, n: uint8(r)}
		where := arch.NoOffset
		for _, s := range st.slots[:st.nslots] {
			if s.n == cfa && s.v == own {
				where = int64(s.off)
			}
		}
		if where == arch.NoOffset && v == own {
			continue
		}
		if where == arch.NoOffset && st.inFrame(&l, own, arch.SavedReg{Reg: m.DWARF[r]}, m) {
			continue
		}
		l.Saved = append(l.Saved, arch.SavedReg{Reg: m.DWARF[r], Offset: where})
	}
	return l, true
}
