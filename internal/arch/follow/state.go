package follow

// Kind says what is known of a value.
type Kind uint16

const (
	Unknown  Kind = iota
	Entry         // the value that register N had at the function's entry
	Address       // base N + Off
	Back          // the return address
	Constant      // Off
)

// A Value is what a register or a stack slot holds. It has no padding, so that many
// are compared at once.
type Value struct {
	Kind Kind
	N    uint16
	Off  int32
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
	n   uint16
	off int32
	v   Value
}

// maxSlots bounds the slots that are tracked: a function saves at most the
// callee-saved registers, its return address and a few stack pointers.
const maxSlots = 16

// State is what is known before an instruction.
type State struct {
	Regs   [32]Value // by machine numbers
	nslots int
	slots  [maxSlots]slot

	// AfterCall is set when only padding lies between this place and the
	// call before it: if the call does not return, this place is not reached.
	AfterCall bool
	// Called is set when a call has been made.
	Called bool
	// Aligned is set when a call has found the stack aligned to 16 bytes.
	Aligned bool
	// Compared is the register that the stack pointer has just been
	// compared with, or NoReg.
	Compared uint8
}

// CFA is the address off bytes above the canonical frame address.
func CFA(off int32) Value { return Value{Kind: Address, N: cfa, Off: off} }

// FromCFA reports whether v is at a known distance from the CFA.
func (v Value) FromCFA() bool { return v.Kind == Address && v.N == cfa }

// Plus returns v+n, where that means anything.
func (v Value) Plus(n int64) Value {
	sum := int64(v.Off) + n
	if v.Kind != Address && v.Kind != Constant || sum != int64(int32(sum)) {
		if n == 0 {
			return v
		}
		return Value{}
	}
	v.Off = int32(sum)
	return v
}

// Load returns what lies at address a.
func (st *State) Load(a Value) Value {
	if a.Kind == Address {
		for _, s := range st.slots[:st.nslots] {
			if s.n == a.N && s.off == a.Off {
				return s.v
			}
		}
	}
	return Value{}
}

// Store notes that size bytes at address a now hold v.
func (st *State) Store(a, v Value, size int) {
	if a.Kind != Address {
		return
	}
	// Drop what is overwritten. Slots are as large as the values that they
	// hold, which is at least 4 bytes; the exact size matters only for
	// stores that are smaller than their target, and none of those hits a
	// slot that is still needed.
	j := 0
	for i := range st.slots[:st.nslots] {
		s := &st.slots[i]
		if s.n == a.N && s.off >= a.Off && s.off < a.Off+int32(size) {
			continue
		}
		if i != j {
			st.slots[j] = *s
		}
		j++
	}
	st.nslots = j
	// Of addresses only those that lead back to the CFA are of use.
	if v.Kind == Unknown || v.Kind == Constant || v.Kind == Address && v.N != cfa || st.nslots == maxSlots {
		return
	}
	st.slots[st.nslots] = slot{a.N, a.Off, v}
	st.nslots++
}

// keep drops the slots of which wanted is false.
func (st *State) keep(wanted func(*slot) bool) {
	j := 0
	for i := range st.slots[:st.nslots] {
		if wanted(&st.slots[i]) {
			st.slots[j] = st.slots[i]
			j++
		}
	}
	st.nslots = j
}

// SetSP moves the stack pointer, register sp, to a, and forgets what lies below it.
// If a is no address, it is not known any more.
func (st *State) SetSP(sp uint8, a Value) {
	if a.Kind != Address {
		st.Regs[sp] = Value{}
		return
	}
	st.Regs[sp] = a
	st.keep(func(s *slot) bool { return s.n != a.N || s.off >= a.Off })
}

// forget drops everything that refers to base n.
func (st *State) forget(n uint16) {
	for r, v := range st.Regs {
		if v.Kind == Address && v.N == n {
			st.Regs[r] = Value{}
		}
	}
	st.keep(func(s *slot) bool { return s.n != n })
}

// merge reduces st to what holds in other too, and reports whether that
// changed st.
func (st *State) merge(other *State) (changed bool) {
	if st.Regs != other.Regs {
		for r, v := range st.Regs {
			if v.Kind != Unknown && v != other.Regs[r] {
				st.Regs[r] = Value{}
				changed = true
			}
		}
	}
	j := 0
	for i, s := range st.slots[:st.nslots] {
		if i < other.nslots && other.slots[i] == s ||
			other.Load(Value{Kind: Address, N: s.n, Off: s.off}) == s.v {
			st.slots[j] = s
			j++
		} else {
			changed = true
		}
	}
	st.nslots = j
	if st.Compared != other.Compared && st.Compared != NoReg {
		st.Compared = NoReg
		changed = true
	}
	if other.Called && !st.Called || !other.Aligned && st.Aligned {
		st.Called = st.Called || other.Called
		st.Aligned = st.Aligned && other.Aligned
		changed = true
	}
	return changed
}
