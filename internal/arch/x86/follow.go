package x86

import "slices"

// enter notes that the instruction at off is reached with state st.
func (a *analysis) enter(off int, st *state) {
	i := a.at[off]
	if i == 0 {
		return // not decoded: nowhere
	}
	nd := &a.nodes[i-1]
	if st.afterCall && nd.target && !a.late {
		a.postpone(nd, i-1, st)
		return
	}
	if nd.state == 0 {
		a.states = append(a.states, *st)
		nd.state = int32(len(a.states))
		a.todo = append(a.todo, i-1)
		return
	}
	old := &a.states[nd.state-1]
	same := old.regs[sp] == st.regs[sp]
	if int(nd.state) <= a.fixed {
		if same {
			a.good++
		} else if !a.late {
			a.bad++
		}
		return
	}
	if !same && (int(nd.state) <= a.firm || off == 0) {
		// st comes from a call that does not return, or from another
		// function that was run into and has a tail call of this one.
		return
	}
	if !same && a.m.PtrSize == 4 {
		a.bad++ // a call has popped an argument, or none when it was thought to
	}
	if old.merge(st) {
		a.todo = append(a.todo, i-1)
	}
}

// postpone notes that a call leads to nd, node i, if it returns. If it does not,
// that place is only reached by the jumps to it, and st says nothing of it: so
// st counts when all else is known.
func (a *analysis) postpone(nd *node, i int32, st *state) {
	if nd.postponed == 0 {
		a.postponed = append(a.postponed, *st)
		nd.postponed = int32(len(a.postponed))
	} else if old := &a.postponed[nd.postponed-1]; !nd.queued {
		*old = *st
	} else if old.regs[sp] == st.regs[sp] {
		old.merge(st)
	}
	if !nd.queued {
		nd.queued = true
		at, _ := slices.BinarySearchFunc(a.queue, nd.off, func(i, off int32) int {
			return int(off - a.nodes[i].off)
		})
		a.queue = slices.Insert(a.queue, at, i)
	}
}

// followAll follows what is to be done, and then what calls lead to, first
// things first: calls that do not return tend to be at a function's end.
func (a *analysis) followAll() {
	a.follow()
	for len(a.queue) > 0 {
		nd := &a.nodes[a.queue[len(a.queue)-1]]
		a.queue = a.queue[:len(a.queue)-1]
		nd.queued = false
		a.firm = len(a.states)
		a.late = true
		a.enter(int(nd.off), &a.postponed[nd.postponed-1])
		a.late = false
		a.follow()
	}
	a.firm = 0
}

// follow takes each state in turn along the code until no state changes.
func (a *analysis) follow() {
	for len(a.todo) > 0 {
		i := a.todo[len(a.todo)-1]
		a.todo = a.todo[:len(a.todo)-1]
		st := a.states[a.nodes[i].state-1]
		for first := true; ; first = false {
			nd := &a.nodes[i]
			if nd.leader && !first {
				a.enter(int(nd.off), &st)
				break
			}
			if a.steps++; a.steps > maxSteps {
				a.todo = a.todo[:0]
				a.queue = a.queue[:0]
				a.bad++
				return
			}
			if !a.pass(nd, &st) {
				break
			}
			next := int(nd.off) + nd.size
			if next >= len(a.code) || a.at[next] == 0 {
				break
			}
			i = a.at[next] - 1
			if st.afterCall && nd.isPadding() && !a.nodes[i].isPadding() && !a.nodes[i].target {
				// Padding is for what is jumped to, and nothing jumps
				// here but calls of the next function: the call does
				// not return.
				a.ends = append(a.ends, int(a.nodes[i].off))
				break
			}
		}
	}
}

// pass takes st past nd, and to where nd jumps. It reports whether execution
// goes on behind nd.
func (a *analysis) pass(nd *node, st *state) bool {
	switch f := nd.flow(); f {
	case flowNext, flowCall:
		a.step(st, &nd.inst, int(nd.off))
		return true
	case flowJump, flowBranch:
		st.afterCall = false
		t, ok := a.target(nd)
		cmp := st.compared
		a.step(st, &nd.inst, int(nd.off))
		if !ok {
			return f == flowBranch
		}
		taken := *st
		if f == flowBranch && cmp != noReg && st.regs[cmp].kind == address && nd.op&0xf == 4 {
			taken.setSP(st.regs[cmp]) // je
		}
		a.enter(t, &taken)
		if f == flowBranch && cmp != noReg && st.regs[cmp].kind == address && nd.op&0xf == 5 {
			st.setSP(st.regs[cmp]) // jne
		}
		return f == flowBranch
	case flowReturn:
		v := st.regs[sp]
		switch {
		case st.balanced(a.m):
			a.good++
		case !v.fromCFA():
			// On another stack, as in swapcontext, nothing is known.
		case a.m.PtrSize == 8 && int(v.off) < -a.m.PtrSize && a.fixed == 0:
			// Too deep: a call before has not returned, and this is the
			// next function. Only 32-bit callees can be to blame.
		default:
			a.bad++
		}
	case flowIndirect:
		if st.balanced(a.m) {
			// A tail call, or the jump table of a function that has
			// pushed nothing.
			if len(a.tables) == 0 {
				a.good++
			}
		} else if st.regs[sp].kind == address && len(a.tables) < 8 {
			a.addTable(st)
		}
	}
	return false
}

// addTable notes the state at a jump through a table.
func (a *analysis) addTable(st *state) {
	for i := range a.tables {
		if a.tables[i].regs[sp] == st.regs[sp] {
			a.tables[i].merge(st)
			a.good++
			return
		}
	}
	a.tables = append(a.tables, *st)
}

// newBase returns the base that the instruction at off makes, or cfa when there
// are too many.
func (a *analysis) newBase(off int) uint8 {
	for n := 1; n <= a.nbase; n++ {
		if a.bases[n] == int32(off) {
			return uint8(n)
		}
	}
	if a.nbase == maxBases-1 {
		return cfa
	}
	a.nbase++
	a.bases[a.nbase] = int32(off)
	return uint8(a.nbase)
}
