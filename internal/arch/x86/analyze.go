package x86

import (
	"slices"

	"github.com/gatedso/bt/internal/arch"
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
		return m.Entry(), true
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
	firm   int // states below this index are better founded than those that come

	postponed []state // see postpone
	queue     []int32 // the nodes they belong to, by descending offset
	late      bool    // a postponed state is entered

	bases [maxBases]int32 // the instruction that made each base but the CFA
	nbase int

	ends   []int   // places behind calls that do not return
	tables []state // the stack at each indirect jump that is no tail call

	calleePops bool // see pops
	shifted    bool // a call found the stack less aligned than one before it

	good, bad int // places where the paths agree, and where they do not
}

// node is an instruction that was decoded.
type node struct {
	inst
	off    int32
	leader bool  // has a state of its own
	target bool  // a jump leads here
	queued bool  // in analysis.queue
	state  int32 // for a leader, 1 + the index of its state, or 0

	postponed int32 // for a target, 1 + an index in analysis.postponed, or 0
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
	st := a.settle(n, gap)
	if st != nil && int(a.nodes[n].off) < pc && a.nodes[n].flow() == flowCall {
		// The callee's frame has been unwound: the stack pointer is
		// where it was before the call, the callee may have changed
		// other registers, unless it is a PC thunk.
		if r, ok := a.thunk(&a.nodes[n].inst, int(a.nodes[n].off)); ok {
			st.regs[r] = value{}
		} else {
			a.m.clobber(st)
		}
	}
	return st
}

// settle returns the state at node n, or nil.
func (a *analysis) settle(n int, gap []int) *state {
	st := a.flow(n, gap)
	if st != nil && (a.m.PtrSize == 8 || !st.called || st.framed()) {
		// Calls that take arguments off the stack are not in the way.
		if a.m.PtrSize == 8 && a.bad > 0 && a.good == 0 {
			return nil
		}
		return st
	}
	if a.m.PtrSize == 8 {
		return nil
	}
	shifted := a.shifted
	if !a.agrees(n, st) {
		st = nil
	}
	if st != nil && !shifted {
		return st
	}
	a.reset(0)
	a.calleePops, a.shifted = true, false
	other := a.flow(n, gap)
	shifted = a.shifted
	if a.agrees(n, other) && (st == nil || !shifted) {
		return other
	}
	return st
}

// agrees reports whether st, found at node n of 32-bit code, is right as far as
// the returns behind n tell: they have the stack as it was at the function's
// entry. Some may not, where a call that does not return is followed by other
// code.
func (a *analysis) agrees(n int, st *state) bool {
	if st == nil || a.bad == 0 {
		return st != nil
	}
	sound := a.calleePops && a.good > 0
	a.reset(0)
	a.good, a.bad = 0, 0
	a.enter(int(a.nodes[n].off), st)
	a.followAll()
	return a.good > 0 || a.bad == 0 && sound
}

// flow follows the code from its start, or else from the last gap before node n,
// and returns the state at n, or nil.
func (a *analysis) flow(n int, gap []int) *state {
	var st state
	a.m.entryState(&st)
	a.steps, a.good, a.bad = 0, 0, 0
	a.enter(0, &st)
	a.followAll()
	if i := a.nodes[n].state; i != 0 {
		st = a.states[i-1]
		return &st
	}
	from := -1 // where the stretch begins that holds n
	for _, off := range append(gap, a.ends...) {
		if off <= int(a.nodes[n].off) {
			from = max(from, off)
		}
	}
	if from < 0 {
		return nil
	}
	a.fixed = len(a.states)
	// Jump tables lead there; without any, another function begins.
	seeds := slices.Clone(a.tables)
	if len(seeds) == 0 {
		seeds = append(seeds, st)
	}
	var found, likely *state
	for _, seed := range seeds {
		a.good, a.bad = 0, 0
		a.enter(from, &seed)
		a.followAll()
		if k := a.nodes[n].state; k != 0 && a.bad == 0 {
			st := a.states[k-1]
			if a.good == 0 {
				// The path ends in a call that does not return.
				if len(seeds) == 1 && len(a.tables) > 0 {
					likely = &st
				}
				a.reset(a.fixed)
				continue
			}
			if found != nil && found.regs[sp] != st.regs[sp] {
				return nil // both may be right
			}
			found = &st
		}
		a.reset(a.fixed)
	}
	if found == nil {
		found = likely
	}
	a.good, a.bad = 1, 0
	return found
}

// reset forgets all but the first n states.
func (a *analysis) reset(n int) {
	a.fixed = n
	a.states = a.states[:n]
	a.postponed = a.postponed[:0]
	for i := range a.nodes {
		nd := &a.nodes[i]
		if int(nd.state) > n {
			nd.state = 0
		}
		nd.postponed = 0
	}
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
		target := true
		for off < len(a.code) {
			if i := a.at[off]; i != 0 {
				a.nodes[i-1].leader = true
				a.nodes[i-1].target = a.nodes[i-1].target || target
				break
			}
			if len(a.nodes) == maxInsts {
				return
			}
			a.nodes = append(a.nodes, node{off: int32(off), leader: target, target: target})
			nd := &a.nodes[len(a.nodes)-1]
			if !a.m.decode(a.code[off:], &nd.inst) {
				a.nodes = a.nodes[:len(a.nodes)-1]
				break
			}
			a.at[off] = int32(len(a.nodes))
			target = false
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
