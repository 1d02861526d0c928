package follow

import "slices"

// enter notes that the instruction at off is reached with state st.
func (a *Analysis[I]) enter(off int, st *State) {
	i := a.at[off]
	if i == 0 {
		return // not decoded: nowhere
	}
	nd := &a.nodes[i-1]
	if st.AfterCall && nd.target && !a.late {
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
	same := old.Regs[a.regs.SP] == st.Regs[a.regs.SP]
	if int(nd.state) <= a.fixed {
		if same || a.regs.framedAlike(old, st) {
			a.Good++
		} else if !a.late {
			a.Bad++
		}
		return
	}
	if !same && (int(nd.state) <= a.firm || off == 0) {
		// st comes from a call that does not return, or from another
		// function that was run into and has a tail call of this one.
		return
	}
	if !same && a.Pops {
		a.Bad++ // a call has popped an argument, or none when it was thought to
	}
	merged := *old
	if !merged.merge(st) {
		return
	}
	if int(nd.state) <= a.firm && a.regs.loses(old, &merged) {
		// Compilers join no paths on which a register lies in different places:
		// st comes from a call that does not return.
		return
	}
	*old = merged
	a.todo = append(a.todo, i-1)
}

// postpone notes that a call leads to nd, node i, if it returns. If it does not,
// that place is only reached by the jumps to it, and st says nothing of it: so
// st counts when all else is known.
func (a *Analysis[I]) postpone(nd *Node[I], i int32, st *State) {
	if nd.postponed == 0 {
		a.postponed = append(a.postponed, *st)
		nd.postponed = int32(len(a.postponed))
	} else if old := &a.postponed[nd.postponed-1]; !nd.queued {
		*old = *st
	} else if old.Regs[a.regs.SP] == st.Regs[a.regs.SP] {
		old.merge(st)
	}
	if !nd.queued {
		nd.queued = true
		at, _ := slices.BinarySearchFunc(a.queue, nd.Off, func(i int32, off int) int {
			return off - a.nodes[i].Off
		})
		a.queue = slices.Insert(a.queue, at, i)
	}
}

// followAll follows what is to be done, and then what calls lead to, first
// things first: calls that do not return tend to be at a function's end.
func (a *Analysis[I]) followAll() {
	a.follow()
	for len(a.queue) > 0 {
		nd := &a.nodes[a.queue[len(a.queue)-1]]
		a.queue = a.queue[:len(a.queue)-1]
		nd.queued = false
		a.firm = len(a.states)
		a.late = true
		a.enter(nd.Off, &a.postponed[nd.postponed-1])
		a.late = false
		a.follow()
	}
	a.firm = 0
}

// follow takes each state in turn along the code until no state changes.
func (a *Analysis[I]) follow() {
	for len(a.todo) > 0 {
		i := a.todo[len(a.todo)-1]
		a.todo = a.todo[:len(a.todo)-1]
		st := &a.now
		*st = a.states[a.nodes[i].state-1]
		for first := true; ; first = false {
			nd := &a.nodes[i]
			if nd.leader && !first {
				a.enter(nd.Off, st)
				break
			}
			if a.steps++; a.steps > maxSteps {
				a.todo = a.todo[:0]
				a.queue = a.queue[:0]
				a.Bad++
				return
			}
			if !a.pass(nd, st) {
				break
			}
			next := nd.Off + nd.Size
			if next >= len(a.code) || a.at[next] == 0 {
				break
			}
			i = a.at[next] - 1
			if st.AfterCall && nd.Padding && !a.nodes[i].Padding && !a.nodes[i].target {
				// Padding is for what is jumped to, and nothing jumps
				// here but calls of the next function: the call does
				// not return.
				a.ends = append(a.ends, a.nodes[i].Off)
				break
			}
		}
	}
}

// pass takes st past nd, and to where nd jumps. It reports whether execution
// goes on behind nd.
func (a *Analysis[I]) pass(nd *Node[I], st *State) bool {
	sp := a.regs.SP
	switch nd.Flow {
	case Next:
		a.cpu.Step(st, nd)
		return true
	case Call:
		if a.fixed == 0 {
			a.noteCall(st)
		}
		a.cpu.Step(st, nd)
		return true
	case Jump, Branch:
		st.AfterCall = false
		cmp := st.Compared
		a.cpu.Step(st, nd)
		if !a.Inside(nd) {
			return nd.Flow == Branch
		}
		taken := *st
		if nd.Flow == Branch && cmp != NoReg && st.Regs[cmp].Kind == Address {
			switch nd.Compare {
			case IfEqual:
				taken.SetSP(sp, st.Regs[cmp])
			case IfUnequal:
				st.SetSP(sp, st.Regs[cmp])
			}
		}
		a.enter(nd.Target, &taken)
		return nd.Flow == Branch
	case Return:
		v := st.Regs[sp]
		switch {
		case a.cpu.Balanced(st):
			a.Good++
		case !v.FromCFA():
			// On another stack, as in swapcontext, nothing is known.
		case !a.Pops && v.Off < a.regs.Entry:
			// Too deep: a call before has not returned, and this is the
			// next function. Only callees that pop can be to blame.
			a.deep++
		default:
			a.Bad++
		}
	case Indirect:
		if a.cpu.Balanced(st) {
			// A tail call, or the jump table of a function that has
			// pushed nothing.
			if len(a.tables) == 0 {
				a.Good++
			}
		} else if (st.Regs[sp].Kind == Address || st.Regs[a.regs.FP].FromCFA()) && len(a.tables) < 8 {
			a.addTable(st)
		}
	}
	return false
}

// addTable notes the state at a jump through a table.
func (a *Analysis[I]) addTable(st *State) {
	sp := a.regs.SP
	for i := range a.tables {
		if a.tables[i].Regs[sp] == st.Regs[sp] {
			a.tables[i].merge(st)
			a.Good++
			return
		}
	}
	a.tables = append(a.tables, *st)
}

// noteCall notes the stack at a call, for the code that an exception leads to.
func (a *Analysis[I]) noteCall(st *State) {
	switch {
	case !a.called:
		a.called, a.atCall = true, *st
	case a.atCall.Regs[a.regs.SP] == st.Regs[a.regs.SP]:
		a.atCall.merge(st)
	case st.Regs[a.regs.SP].FromCFA() && st.Regs[a.regs.SP].Off < a.atCall.Regs[a.regs.SP].Off:
		a.atCall = *st // the deeper stack is the one of the function's body
	}
}

// newBase returns the base that the instruction at off makes, or cfa when there
// are too many.
func (a *Analysis[I]) newBase(off int) uint16 {
	for n := 1; n <= a.nbase; n++ {
		if a.bases[n] == int32(off) {
			return uint16(n)
		}
	}
	if a.nbase == maxBases-1 {
		return cfa
	}
	a.nbase++
	a.bases[a.nbase] = int32(off)
	return uint16(a.nbase)
}

// Set gives register r the value v in the instruction at off. The stack pointer
// always has an address: where it is not known which, one with a base of its own.
func (a *Analysis[I]) Set(st *State, r uint8, v Value, off int) {
	if r != a.regs.SP {
		st.Regs[r] = v
		return
	}
	if v.Kind != Address {
		n := a.newBase(off)
		if n == cfa {
			st.Regs[r] = Value{}
			return
		}
		st.forget(n)
		v = Value{Kind: Address, N: n}
	}
	st.SetSP(r, v)
}
