package x86

// step changes st, the state before the instruction in at offset off of the
// function, to the state after it. Jumps and returns change nothing; a call has
// returned.
func (a *analysis) step(st *state, in *inst, off int) {
	m := a.m
	st.compared = noReg
	if in.flow() == flowCall {
		if in.op == 0xe8 && in.imm == 0 {
			// A call to the next instruction reads the pc.
			a.push(st, value{}, m.PtrSize, off)
			return
		}
		st.afterCall, st.called = true, true
		if r, ok := a.thunk(in, off); ok {
			st.regs[r] = value{}
			return
		}
		m.clobber(st)
		if v := st.regs[sp]; m.PtrSize == 4 && v.fromCFA() {
			switch {
			case v.off&15 == 0:
				st.aligned = true
				if a.calleePops && a.pops(off+in.size) {
					a.pop(st, m.PtrSize, off)
				}
			case v.off&15 == 12 && st.aligned:
				a.shifted = true
			}
		}
		return
	}
	if in.isPadding() {
		return
	}
	st.afterCall = false
	if in.m == mapOne && !in.vex && a.stepOne(st, in, off) {
		return
	}
	if in.m == map0F {
		switch in.op {
		case 0xa0, 0xa8: // push fs, gs
			a.push(st, value{}, m.PtrSize, off)
			return
		case 0xa1, 0xa9: // pop fs, gs
			a.pop(st, m.PtrSize, off)
			return
		}
	}
	w := m.writes(in)
	for r := range st.regs {
		if w>>r&1 != 0 {
			a.set(st, uint8(r), value{}, off)
		}
	}
}

// thunk reports whether in, at offset off, calls a PC thunk of 32-bit code, and
// which register that sets. No other is changed. What gives it away is that the
// distance to the GOT is added next; eax could be what any function returns.
func (a *analysis) thunk(in *inst, off int) (r uint8, ok bool) {
	next := off + in.size
	if a.m.PtrSize == 8 || in.op != 0xe8 || next >= len(a.code) || a.at[next] == 0 {
		return 0, false
	}
	add := &a.nodes[a.at[next]-1].inst
	return add.rm, add.m == mapOne && add.op == 0x81 && add.mod == 3 && add.reg == 0 && add.rm != sp
}

// clobber forgets the registers that a call may change.
func (m *Mode) clobber(st *state) {
	for r := range st.regs {
		if r != sp && m.CalleeSaved>>r&1 == 0 {
			st.regs[r] = value{}
		}
	}
}

// stepOne does the one-byte opcodes that move the stack pointer, or copies of
// registers to or from the stack. It reports false for all others.
func (a *analysis) stepOne(st *state, in *inst, off int) bool {
	width := a.m.PtrSize
	if in.opsize && !in.wide {
		width = 2
	}
	switch op := in.op; {
	case op >= 0x50 && op < 0x58:
		a.push(st, st.regs[in.rm], width, off)
	case op >= 0x58 && op < 0x60:
		v := a.pop(st, width, off)
		a.set(st, in.rm, v, off)
	default:
		return a.stepCopy(st, in, off) || a.stepStack(st, in, width, off)
	}
	return true
}

// stepStack does the other pushes and pops, of operands of width bytes.
func (a *analysis) stepStack(st *state, in *inst, width, off int) bool {
	switch in.op {
	case 0x06, 0x0e, 0x16, 0x1e, 0x68, 0x6a, 0x9c: // push
		a.push(st, value{}, width, off)
	case 0x07, 0x17, 0x1f, 0x9d: // pop
		a.pop(st, width, off)
	case 0x60: // pusha
		old := st.regs
		for r := range 8 {
			a.push(st, old[r], width, off)
		}
	case 0x61: // popa
		for r := uint8(7); r < 8; r-- {
			if v := a.pop(st, width, off); r != sp {
				a.set(st, r, v, off)
			}
		}
	case 0x8f: // pop to memory
		a.pop(st, width, off)
		st.store(st.address(in), value{}, width)
		if in.mod == 3 {
			a.set(st, in.rm, value{}, off)
		}
	case 0xc8: // enter
		if in.imm>>16 != 0 {
			a.set(st, sp, value{}, off)
			a.set(st, bp, value{}, off)
			break
		}
		a.push(st, st.regs[bp], width, off)
		st.regs[bp] = st.regs[sp]
		a.add(st, sp, -(in.imm & 0xffff), off)
	case 0xc9: // leave
		a.set(st, sp, st.regs[bp], off)
		st.regs[bp] = a.pop(st, width, off)
	case 0xff: // push
		if in.reg&7 != 6 {
			return false
		}
		v := st.regs[in.rm]
		if in.memory() {
			v = st.load(st.address(in))
		}
		a.push(st, v, width, off)
	default:
		return false
	}
	return true
}

// stepCopy does what copies a register, adds a constant to it, or stores.
func (a *analysis) stepCopy(st *state, in *inst, off int) bool {
	full := a.m.full(in)
	switch in.op {
	case 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97: // xchg with ax
		v, w := value{}, value{}
		if full {
			v, w = st.regs[ax], st.regs[in.rm]
		}
		a.set(st, in.rm, v, off)
		a.set(st, ax, w, off)
	case 0x81, 0x83:
		switch g := in.reg & 7; {
		case in.mod != 3, !full, g != 0 && g != 5:
			return false
		case g == 0:
			a.add(st, in.rm, in.imm, off)
		default:
			a.add(st, in.rm, -in.imm, off)
		}
	case 0x8d: // lea
		v := value{}
		if full {
			v = st.address(in)
		}
		a.set(st, in.reg, v, off)
	case 0x39, 0x3b: // cmp
		if in.mod != 3 || !full {
			return false
		}
		if in.rm == sp {
			st.compared = in.reg
		} else if in.reg == sp {
			st.compared = in.rm
		}
	case 0x89, 0x8b:
		return a.mov(st, in, off)
	case 0x88, 0xc6, 0xc7:
		if !in.memory() {
			return false
		}
		size := 1
		if in.op == 0xc7 {
			size = a.m.operandSize(in)
		}
		st.store(st.address(in), value{}, size)
	default:
		return false
	}
	return true
}

// mov does 89 and 8b.
func (a *analysis) mov(st *state, in *inst, off int) bool {
	full := a.m.full(in)
	from, to := in.reg, in.rm
	if in.op == 0x8b {
		from, to = to, from
	}
	switch {
	case in.mod == 3:
		v := value{}
		if full {
			v = st.regs[from]
		}
		a.set(st, to, v, off)
	case in.op == 0x8b:
		v := value{}
		if full {
			v = st.load(st.address(in))
		}
		a.set(st, to, v, off)
	default:
		v := value{}
		if full {
			v = st.regs[from]
		}
		st.store(st.address(in), v, a.m.operandSize(in))
	}
	return true
}

// operandSize is the size in bytes of in's operands, if they are not bytes.
func (m *Mode) operandSize(in *inst) int {
	switch {
	case in.wide:
		return 8
	case in.opsize:
		return 2
	}
	return 4
}

// address is the address of in's memory operand.
func (st *state) address(in *inst) value {
	if !in.memory() || in.base == noReg || in.index != noReg || in.segment {
		return value{}
	}
	return st.regs[in.base].plus(in.disp)
}

// plus returns v+n, where that means anything.
func (v value) plus(n int64) value {
	sum := int64(v.off) + n
	if v.kind != address || sum != int64(int32(sum)) {
		if n == 0 {
			return v
		}
		return value{}
	}
	v.off = int32(sum)
	return v
}

// set gives register r the value v. The stack pointer always has an address:
// where it is not known which, one with a base of its own.
func (a *analysis) set(st *state, r uint8, v value, off int) {
	if r != sp {
		st.regs[r] = v
		return
	}
	if v.kind != address {
		n := a.newBase(off)
		if n == cfa {
			st.regs[sp] = value{}
			return
		}
		st.forget(n)
		v = value{kind: address, n: n}
	}
	st.setSP(v)
}

// add adds n to register r.
func (a *analysis) add(st *state, r uint8, n int64, off int) {
	a.set(st, r, st.regs[r].plus(n), off)
}

// push pushes v, which is size bytes long.
func (a *analysis) push(st *state, v value, size, off int) {
	to := st.regs[sp].plus(int64(-size))
	if size != a.m.PtrSize {
		v = value{}
	}
	st.regs[sp] = to
	st.store(to, v, size)
}

// pop pops a value of size bytes.
func (a *analysis) pop(st *state, size, off int) value {
	v := value{}
	if size == a.m.PtrSize {
		v = st.load(st.regs[sp])
	}
	if to := st.regs[sp].plus(int64(size)); to.kind == address {
		st.setSP(to)
	} else {
		st.regs[sp] = value{}
	}
	return v
}
