package x86

import "github.com/gatedso/bt/internal/arch/follow"

// Step implements follow.CPU.
func (a *analysis) Step(st *follow.State, nd *node) {
	m, in, off := a.m, &nd.In, nd.Off
	st.Compared = follow.NoReg
	if nd.Flow == follow.Call {
		if in.op == 0xe8 && in.imm == 0 {
			// A call to the next instruction reads the pc.
			a.push(st, follow.Value{}, m.PtrSize, off)
			return
		}
		st.AfterCall, st.Called = true, true
		if r, ok := a.thunk(nd); ok {
			st.Regs[r] = follow.Value{}
			return
		}
		m.registers.Clobber(st)
		if v := st.Regs[sp]; m.PtrSize == 4 && v.FromCFA() {
			switch {
			case v.Off&15 == 0:
				st.Aligned = true
				if a.calleePops && a.pops(off+in.size) {
					a.pop(st, m.PtrSize, off)
				}
			case v.Off&15 == 12 && st.Aligned:
				a.shifted = true
			}
		}
		return
	}
	if nd.Padding {
		return
	}
	st.AfterCall = false
	if in.m == mapOne && !in.vex && a.stepOne(st, in, off) {
		return
	}
	if in.m == map0F {
		switch in.op {
		case 0xa0, 0xa8: // push fs, gs
			a.push(st, follow.Value{}, m.PtrSize, off)
			return
		case 0xa1, 0xa9: // pop fs, gs
			a.pop(st, m.PtrSize, off)
			return
		}
	}
	w := m.writes(in)
	for r := range st.Regs {
		if w>>r&1 != 0 {
			a.Set(st, uint8(r), follow.Value{}, off)
		}
	}
}

// thunk reports whether nd calls a PC thunk of 32-bit code, and which register
// that sets. No other is changed. What gives it away is that the distance to the
// GOT is added next; eax could be what any function returns.
func (a *analysis) thunk(nd *node) (r uint8, ok bool) {
	next := a.Node(nd.Off + nd.Size)
	if a.m.PtrSize == 8 || nd.In.op != 0xe8 || next == nil {
		return 0, false
	}
	add := &next.In
	return add.rm, add.m == mapOne && add.op == 0x81 && add.mod == 3 && add.reg == 0 && add.rm != sp
}

// stepOne does the one-byte opcodes that move the stack pointer, or copies of
// registers to or from the stack. It reports false for all others.
func (a *analysis) stepOne(st *follow.State, in *inst, off int) bool {
	width := a.m.PtrSize
	if in.opsize && !in.wide {
		width = 2
	}
	switch op := in.op; {
	case op >= 0x50 && op < 0x58:
		a.push(st, st.Regs[in.rm], width, off)
	case op >= 0x58 && op < 0x60:
		v := a.pop(st, width, off)
		a.Set(st, in.rm, v, off)
	default:
		return a.stepCopy(st, in, off) || a.stepStack(st, in, width, off)
	}
	return true
}

// stepStack does the other pushes and pops, of operands of width bytes.
func (a *analysis) stepStack(st *follow.State, in *inst, width, off int) bool {
	switch in.op {
	case 0x06, 0x0e, 0x16, 0x1e, 0x68, 0x6a, 0x9c: // push
		a.push(st, follow.Value{}, width, off)
	case 0x07, 0x17, 0x1f, 0x9d: // pop
		a.pop(st, width, off)
	case 0x60: // pusha
		old := st.Regs
		for r := range 8 {
			a.push(st, old[r], width, off)
		}
	case 0x61: // popa
		for r := uint8(7); r < 8; r-- {
			if v := a.pop(st, width, off); r != sp {
				a.Set(st, r, v, off)
			}
		}
	case 0x8f: // pop to memory
		a.pop(st, width, off)
		st.Store(address(st, in), follow.Value{}, width)
		if in.mod == 3 {
			a.Set(st, in.rm, follow.Value{}, off)
		}
	case 0xc8: // enter
		if in.imm>>16 != 0 {
			a.Set(st, sp, follow.Value{}, off)
			a.Set(st, bp, follow.Value{}, off)
			break
		}
		a.push(st, st.Regs[bp], width, off)
		st.Regs[bp] = st.Regs[sp]
		a.add(st, sp, -(in.imm & 0xffff), off)
	case 0xc9: // leave
		a.Set(st, sp, st.Regs[bp], off)
		st.Regs[bp] = a.pop(st, width, off)
	case 0xff: // push
		if in.reg&7 != 6 {
			return false
		}
		v := st.Regs[in.rm]
		if in.memory() {
			v = st.Load(address(st, in))
		}
		a.push(st, v, width, off)
	default:
		return false
	}
	return true
}

// stepCopy does what copies a register, adds a constant to it, or stores.
func (a *analysis) stepCopy(st *follow.State, in *inst, off int) bool {
	full := a.m.full(in)
	switch in.op {
	case 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97: // xchg with ax
		v, w := follow.Value{}, follow.Value{}
		if full {
			v, w = st.Regs[ax], st.Regs[in.rm]
		}
		a.Set(st, in.rm, v, off)
		a.Set(st, ax, w, off)
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
		v := follow.Value{}
		if full {
			v = address(st, in)
		}
		a.Set(st, in.reg, v, off)
	case 0x39, 0x3b: // cmp
		if in.mod != 3 || !full {
			return false
		}
		if in.rm == sp {
			st.Compared = in.reg
		} else if in.reg == sp {
			st.Compared = in.rm
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
		st.Store(address(st, in), follow.Value{}, size)
	default:
		return false
	}
	return true
}

// mov does 89 and 8b.
func (a *analysis) mov(st *follow.State, in *inst, off int) bool {
	full := a.m.full(in)
	from, to := in.reg, in.rm
	if in.op == 0x8b {
		from, to = to, from
	}
	switch {
	case in.mod == 3:
		v := follow.Value{}
		if full {
			v = st.Regs[from]
		}
		a.Set(st, to, v, off)
	case in.op == 0x8b:
		v := follow.Value{}
		if full {
			v = st.Load(address(st, in))
		}
		a.Set(st, to, v, off)
	default:
		v := follow.Value{}
		if full {
			v = st.Regs[from]
		}
		st.Store(address(st, in), v, a.m.operandSize(in))
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
func address(st *follow.State, in *inst) follow.Value {
	if !in.memory() || in.base == noReg || in.index != noReg || in.segment {
		return follow.Value{}
	}
	return st.Regs[in.base].Plus(in.disp)
}

// add adds n to register r.
func (a *analysis) add(st *follow.State, r uint8, n int64, off int) {
	a.Set(st, r, st.Regs[r].Plus(n), off)
}

// push pushes v, which is size bytes long.
func (a *analysis) push(st *follow.State, v follow.Value, size, off int) {
	to := st.Regs[sp].Plus(int64(-size))
	if size != a.m.PtrSize {
		v = follow.Value{}
	}
	st.Regs[sp] = to
	st.Store(to, v, size)
}

// pop pops a value of size bytes.
func (a *analysis) pop(st *follow.State, size, off int) follow.Value {
	v := follow.Value{}
	if size == a.m.PtrSize {
		v = st.Load(st.Regs[sp])
	}
	st.SetSP(sp, st.Regs[sp].Plus(int64(size)))
	return v
}
