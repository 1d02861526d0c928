package follow

import "github.com/gatedso/bt/internal/arch"

// Registers is what is to be known of a CPU's registers, by their machine numbers.
type Registers struct {
	SP, FP uint8
	// DWARF maps machine register numbers to DWARF ones.
	DWARF [32]arch.Reg
	// CalleeSaved has bit i set when a function must preserve register i. The
	// stack pointer is not among them.
	CalleeSaved uint32
	// Entry is the stack pointer at a function's entry, relative to the CFA.
	Entry int32
}

// Enter makes st the state before a function's first instruction.
func (c *Registers) Enter(st *State) {
	*st = State{Compared: NoReg}
	for r := range st.Regs {
		if c.CalleeSaved>>r&1 != 0 {
			st.Regs[r] = Value{Kind: Entry, N: uint16(r)}
		}
	}
	st.Regs[c.SP] = CFA(c.Entry)
}

// Clobber forgets the registers that a call may change.
func (c *Registers) Clobber(st *State) {
	for r := range st.Regs {
		if r != int(c.SP) && c.CalleeSaved>>r&1 == 0 {
			st.Regs[r] = Value{}
		}
	}
}

// Framed reports whether the frame pointer points at the saved frame pointer: what
// is found by way of it does not depend on the stack pointer any more.
func (c *Registers) Framed(st *State) bool {
	return st.Load(st.Regs[c.FP]) == Value{Kind: Entry, N: uint16(c.FP)}
}

// loses reports whether a callee-saved register whose value was known before is not
// known after.
func (c *Registers) loses(before, after *State) bool {
	for r := range before.Regs {
		own := Value{Kind: Entry, N: uint16(r)}
		if c.CalleeSaved>>r&1 != 0 && before.holds(own) && !after.holds(own) {
			return true
		}
	}
	return false
}

// framedAlike reports whether two states have the same frame pointer, in a function
// that moves its stack pointer by what is not known (alloca): then that tells nothing.
func (c *Registers) framedAlike(a, b *State) bool {
	return a.Regs[c.FP].FromCFA() && a.Regs[c.FP] == b.Regs[c.FP] && !(a.Regs[c.SP].FromCFA() && b.Regs[c.SP].FromCFA())
}

// holds reports whether own, what a register held at the entry, is still in it or on
// the stack.
func (st *State) holds(own Value) bool {
	if st.Regs[own.N] == own {
		return true
	}
	for _, s := range st.slots[:st.nslots] {
		if s.v == own {
			return true
		}
	}
	return false
}

// base says how to compute the CFA.
func (c *Registers) base(st *State, bases []uint8) (l arch.Layout, ok bool) {
	for _, r := range bases {
		if v := st.Regs[r]; v.FromCFA() {
			return arch.Layout{Base: c.DWARF[r], Offset: -int64(v.Off)}, true
		}
	}
	// A function that aligns its stack keeps the old stack pointer there.
	for _, r := range bases[:2] {
		for _, s := range st.slots[:st.nslots] {
			if v := st.Regs[r]; v.Kind == Address && s.n == v.N && s.v.FromCFA() {
				return arch.Layout{
					Base:     c.DWARF[r],
					Offset:   int64(s.off) - int64(v.Off),
					Indirect: true,
					Add:      -int64(s.v.Off),
				}, true
			}
		}
	}
	return arch.Layout{}, false
}

// Saved returns where, relative to the CFA, v lies on the stack: of several places
// that which got it first, when the function was entered.
func (st *State) Saved(v Value) (off int64, ok bool) {
	for _, s := range st.slots[:st.nslots] {
		if s.n == cfa && s.v == v {
			return int64(s.off), true
		}
	}
	return 0, false
}

// inFrame adds saved to l where own, its value, lies on an aligned stack that
// the frame pointer or the stack pointer points into.
func (c *Registers) inFrame(st *State, l *arch.Layout, own Value, saved arch.SavedReg) bool {
	r := c.FP
	if v := st.Regs[r]; v.Kind != Address || v.FromCFA() {
		r = c.SP
	}
	v := st.Regs[r]
	for _, s := range st.slots[:st.nslots] {
		if v.Kind == Address && s.n == v.N && s.v == own {
			saved.Offset = int64(s.off) - int64(v.Off)
			l.Frame, l.InFrame = c.DWARF[r], append(l.InFrame, saved)
			return true
		}
	}
	return false
}

// Layout tells how to unwind from st, but for the return address. bases are the
// registers that may lead to the CFA, those first that serve best; the stack pointer
// and the frame pointer are the first two.
func (c *Registers) Layout(st *State, bases []uint8) (arch.Layout, bool) {
	l, ok := c.base(st, bases)
	if !ok {
		return arch.Layout{}, false
	}
	for r, v := range st.Regs {
		if c.CalleeSaved>>r&1 == 0 {
			continue
		}
		// A slot goes before the register itself: a call to a PC thunk
		// changes a register without notice.
		own := Value{Kind: Entry, N: uint16(r)}
		where, isSaved := st.Saved(own)
		switch {
		case isSaved:
		case v == own, c.inFrame(st, &l, own, arch.SavedReg{Reg: c.DWARF[r]}):
			continue
		default:
			where = arch.NoOffset
		}
		l.Saved = append(l.Saved, arch.SavedReg{Reg: c.DWARF[r], Offset: where})
	}
	return l, true
}
