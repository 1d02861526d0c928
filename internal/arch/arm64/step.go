package arm64

import "github.com/gatedso/bt/internal/arch/follow"

// Step implements follow.CPU.
func (a *analysis) Step(st *follow.State, nd *node) {
	in := &nd.In
	st.Compared = follow.NoReg
	if nd.Flow == follow.Call {
		st.AfterCall, st.Called = true, true
		kept := st.Regs[shadow]
		machine.Clobber(st)
		st.Regs[shadow] = kept
		return
	}
	if nd.Padding {
		return
	}
	st.AfterCall = false
	switch in.op {
	case opAdd:
		a.Set(st, in.rd, get(st, in.rn).Plus(in.imm), nd.Off)
	case opAddReg:
		a.Set(st, in.rd, sum(get(st, in.rn), get(st, in.rm), in), nd.Off)
	case opMove:
		a.Set(st, in.rd, get(st, in.rn), nd.Off)
	case opConst, opInsert:
		if in.rd != noReg {
			st.Regs[in.rd] = constant(st.Regs[in.rd], in)
		}
	case opCompare:
		st.Compared = in.rm
	case opStore:
		a.store(st, in, nd.Off)
	case opLoad:
		a.load(st, in, nd.Off)
	default:
		registers(in.writes, func(r uint8) { a.Set(st, r, follow.Value{}, nd.Off) })
	}
}

// get returns the value of register r.
func get(st *follow.State, r uint8) follow.Value {
	if r == noReg {
		return follow.Value{Kind: follow.Constant}
	}
	return st.Regs[r]
}

// sum is what the addition or subtraction of two registers gives.
func sum(x, y follow.Value, in *inst) follow.Value {
	n := int64(y.Off) << in.imm
	switch {
	case y.Kind != follow.Constant, n>>in.imm != int64(y.Off):
		return follow.Value{}
	case in.sub:
		return x.Plus(-n)
	}
	return x.Plus(n)
}

// constant is what a register that held old holds after in.
func constant(old follow.Value, in *inst) follow.Value {
	n := in.imm
	if in.op == opInsert {
		if old.Kind != follow.Constant {
			return follow.Value{}
		}
		n = int64(old.Off)&^(0xffff<<in.shift) | in.imm<<in.shift
	}
	if n != int64(int32(n)) {
		return follow.Value{}
	}
	return follow.Value{Kind: follow.Constant, Off: int32(n)}
}

// address returns the address of the load or store in, and what its base register
// becomes.
func address(st *follow.State, in *inst) (at, base follow.Value) {
	base = st.Regs[in.rn]
	switch in.index {
	case byUnknown:
		return follow.Value{}, base
	case byPost:
		return base, base.Plus(in.imm)
	}
	at = base.Plus(in.imm)
	if in.index == byPre {
		base = at
	}
	return at, base
}

func (in *inst) writesBack() bool { return in.index == byPre || in.index == byPost }

func (a *analysis) store(st *follow.State, in *inst, off int) {
	at, base := address(st, in)
	first, second := follow.Value{}, follow.Value{}
	if in.size == 8 && !in.vector {
		first = get(st, in.rd)
		if in.two {
			second = get(st, in.rt2)
		}
	}
	if in.writesBack() {
		a.Set(st, in.rn, base, off)
		if base.Kind != follow.Address {
			return
		}
	}
	st.Store(at, first, int(in.size))
	if in.two {
		st.Store(at.Plus(int64(in.size)), second, int(in.size))
	}
}

func (a *analysis) load(st *follow.State, in *inst, off int) {
	at, base := address(st, in)
	first, second := follow.Value{}, follow.Value{}
	if in.size == 8 {
		first, second = st.Load(at), st.Load(at.Plus(8))
	}
	if in.writesBack() {
		a.Set(st, in.rn, base, off)
	}
	if in.vector {
		return
	}
	if in.rd != noReg {
		st.Regs[in.rd] = first
	}
	if in.two && in.rt2 != noReg {
		st.Regs[in.rt2] = second
	}
}
