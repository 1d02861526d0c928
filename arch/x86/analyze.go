package x86

import (
	"slices"

	"github.com/gatedso/bt/arch"
)

// Limits on the work that code can cause.
const (
	maxCode  = 1 << 18 // bytes of a function that are looked at
	maxInsts = 20000   // instructions that are decoded
	maxSteps = 100000  // instructions that are followed
)

// Analyze finds the frame at pc; see arch.Arch.Analyze.
//
// It follows what the code does to the stack pointer and the callee-saved
// registers along all paths from start. Instructions that no path reaches,
// because a jump table leads there, are taken to be reached with the stack as
// it is at the jump, provided that they agree with it: that they return with
// the stack as it was, or join a path that is known.
func (m *Mode) Analyze(code []byte, start, pc uint64) (arch.Layout, bool) {
	if len(code) > maxCode {
		code = code[:maxCode]
	}
	if pc < start || pc-start >= uint64(len(code)) {
		return arch.Layout{}, false
	}
	if pc == start {
		return arch.Layout{Base: m.DWARF[sp], Offset: int64(m.PtrSize)}, true
	}
	a := newAnalysis(m, code)
	st := a.find(int(pc - start))
	if st == nil {
		return arch.Layout{}, false
	}
	return st.layout(m)
}

// analysis is the work on one function. Offsets are from its first byte.
type analysis struct {
	m    *Mode
	code []byte

	nodes []node
	at    []int32 // at[off]: 1 + the index of the node there, or 0

	todo   []int32 // offsets to decode, then nodes to follow
	states []state
	steps  int
	fixed  int // states below this index are not changed any more

	bases [maxBases]int32 // the instruction that made each base but the CFA
	nbase int

	tables []state // the stack at each indirect jump that is no tail call

	good, bad int // places where the paths agree, and where they do not
}

// node is an instruction that was decoded.
type node struct {
	inst
	off    int32
	leader bool  // may be reached other than from the instruction before it
	state  int32 // for a leader, 1 + the index of its state, or 0
}

func newAnalysis(m *Mode, code []byte) *analysis {
	return &analysis{
		m:     m,
		code:  code,
		at:    make([]int32, len(code)),
		nodes: make([]node, 0, min(len(code)/4+1, maxInsts)),
	}
}

// find returns the state at offset pc, or nil.
func (a *analysis) find(pc int) *state {
	a.discover(0)
	var gap []int // the starts of stretches that no path reaches
	n := a.cover(pc)
	for off := 0; n < 0 && off <= pc && len(a.nodes) < maxInsts; {
		if i := a.at[off]; i != 0 {
			off += a.nodes[i-1].size
			continue
		}
		var in inst
		if !a.m.decode(a.code[off:], &in) {
			off++
			continue
		}
		if in.isPadding() || in.flow() == flowStop {
			off += in.size
			continue
		}
		gap = append(gap, off)
		a.discover(off)
		n = a.cover(pc)
	}
	if n < 0 {
		return nil
	}
	a.nodes[n].leader = true

	var st state
	a.m.entryState(&st)
	a.enter(0, &st)
	a.follow()
	if i := a.nodes[n].state; i != 0 {
		return &a.states[i-1]
	}
	if len(gap) == 0 {
		return nil
	}
	a.fixed = len(a.states)
	seeds := append(slices.Clone(a.tables), st)
	for i := range seeds {
		a.good, a.bad = 0, 0
		a.enter(gap[len(gap)-1], &seeds[i])
		a.follow()
		if i := a.nodes[n].state; i != 0 && a.good > 0 && a.bad == 0 {
			return &a.states[i-1]
		}
		a.states = a.states[:a.fixed]
		for j := range a.nodes {
			if int(a.nodes[j].state) > a.fixed {
				a.nodes[j].state = 0
			}
		}
	}
	return nil
}

// cover returns the index of the node that holds offset pc, or -1. An
// instruction that starts there goes before one that merely covers it.
func (a *analysis) cover(pc int) int {
	for off := pc; off >= 0 && off > pc-15; off-- {
		if i := a.at[off]; i != 0 && off+a.nodes[i-1].size > pc {
			return int(i - 1)
		}
	}
	return -1
}

// target returns the offset that the jump nd leads to.
func (a *analysis) target(nd *node) (int, bool) {
	t := int64(nd.off) + int64(nd.size) + nd.imm
	return int(t), t >= 0 && t < int64(len(a.code))
}

// discover decodes all instructions that can be reached from off.
func (a *analysis) discover(off int) {
	a.todo = append(a.todo[:0], int32(off))
	for len(a.todo) > 0 {
		off := int(a.todo[len(a.todo)-1])
		a.todo = a.todo[:len(a.todo)-1]
		leader := true
		for off < len(a.code) {
			if i := a.at[off]; i != 0 {
				a.nodes[i-1].leader = true
				break
			}
			if len(a.nodes) == maxInsts {
				return
			}
			a.nodes = append(a.nodes, node{off: int32(off), leader: leader})
			nd := &a.nodes[len(a.nodes)-1]
			if !a.m.decode(a.code[off:], &nd.inst) {
				a.nodes = a.nodes[:len(a.nodes)-1]
				break
			}
			a.at[off] = int32(len(a.nodes))
			leader = false
			off += nd.size
			f := nd.flow()
			if f == flowJump || f == flowBranch {
				if t, ok := a.target(nd); ok {
					a.todo = append(a.todo, int32(t))
				}
			}
			if f != flowNext && f != flowBranch && f != flowCall {
				break
			}
		}
	}
}

// enter notes that the instruction at off is reached with state st.
func (a *analysis) enter(off int, st *state) {
	i := a.at[off]
	if i == 0 {
		return // not decoded: nowhere
	}
	nd := &a.nodes[i-1]
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
		} else {
			a.bad++
		}
		return
	}
	if !same && old.afterCall != st.afterCall {
		// One of them comes out of a call, and the depths differ: that
		// call does not return.
		if old.afterCall {
			*old = *st
			a.todo = append(a.todo, i-1)
		}
		return
	}
	if !same {
		a.bad++
	}
	old.afterCall = old.afterCall && st.afterCall
	if old.merge(st) {
		a.todo = append(a.todo, i-1)
	}
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
		if st.balanced(a.m) {
			a.good++
		} else {
			a.bad++
		}
	case flowIndirect:
		if !st.balanced(a.m) && len(a.tables) < 8 {
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
