package follow

import "slices"

// Limits on the work that code can cause.
const (
	MaxCode  = 1 << 18 // bytes of a function that are looked at
	maxInsts = 20000   // instructions that are decoded
	maxSteps = 100000  // instructions that are followed
)

// CPU is what a CPU's package does for an Analysis; I is its decoded instruction.
type CPU[I any] interface {
	// Decode reads the instruction at nd.Off of code: In, Size, Flow, Padding and
	// the fields of branches. It reports false where there is none.
	Decode(code []byte, nd *Node[I]) bool
	// Enter completes st, the state before a function's first instruction, of which
	// Registers.Enter has set the rest: where the return address is.
	Enter(st *State)
	// Step changes st, the state before nd, to the state after it. Jumps and
	// returns change nothing; a call has returned.
	Step(st *State, nd *Node[I])
	// Balanced reports whether st can be the state before a return or a tail call:
	// everything is as it was at the function's entry.
	Balanced(st *State) bool
}

// Analysis is the work on one function. Offsets are from its first byte.
//
// Instructions that no path reaches, because a jump table leads there, are taken to
// be reached with the stack as it is at the jump, provided that they agree with it:
// that they return with the stack as it was, or join a path that is known.
type Analysis[I any] struct {
	Good, Bad int // places where the paths agree, and where they do not

	// Pops is set where callees may take their arguments off the stack, unseen.
	Pops bool

	cpu  CPU[I]
	regs *Registers
	code []byte

	nodes []Node[I]
	at    []int32 // at[off]: 1 + the index of the node there, or 0
	gap   []int   // the starts of stretches that no path reaches

	todo   []int32 // offsets to decode, then nodes to follow
	states []State
	now    State // on the path that is followed
	steps  int
	fixed  int // states below this index are not changed any more
	firm   int // states below this index are better founded than those that come

	postponed []State // see postpone
	queue     []int32 // the nodes they belong to, by descending offset
	late      bool    // a postponed state is entered

	bases [maxBases]int32 // the instruction that made each base but the CFA
	nbase int

	deep   int     // returns that find the stack deeper than at the entry
	called bool    // a call was followed
	atCall State   // the stack at the calls
	ends   []int   // places behind calls that do not return
	tables []State // the stack at each indirect jump that is no tail call
}

// Node is an instruction that was decoded.
type Node[I any] struct {
	In      I
	Off     int
	Size    int
	Flow    Flow
	Padding bool    // it does nothing and is there for alignment
	Target  int     // of Jump and Branch: the offset that it leads to
	Compare Compare // of Branch

	leader bool  // has a state of its own
	target bool  // a jump leads here
	queued bool  // in Analysis.queue
	state  int32 // for a leader, 1 + the index of its state, or 0

	postponed int32 // for a target, 1 + an index in Analysis.postponed, or 0
}

// New begins the work on code, which is not changed.
func New[I any](cpu CPU[I], regs *Registers, code []byte) *Analysis[I] {
	return &Analysis[I]{
		cpu:   cpu,
		regs:  regs,
		code:  code,
		at:    make([]int32, len(code)),
		nodes: make([]Node[I], 0, min(len(code)/4+1, maxInsts)),
	}
}

// Node returns the instruction at offset off, nil where none was decoded.
func (a *Analysis[I]) Node(off int) *Node[I] {
	if off < 0 || off >= len(a.code) || a.at[off] == 0 {
		return nil
	}
	return &a.nodes[a.at[off]-1]
}

// Reach decodes the function's instructions until they hold offset pc, and returns
// the one that does, nil if there is none.
func (a *Analysis[I]) Reach(pc int) *Node[I] {
	a.discover(0)
	n := a.cover(pc)
	for off := 0; n < 0 && off <= pc && len(a.nodes) < maxInsts; {
		if nd := a.Node(off); nd != nil {
			off += nd.Size
			continue
		}
		nd := Node[I]{Off: off}
		if !a.cpu.Decode(a.code, &nd) {
			off++
			continue
		}
		if nd.Padding || nd.Flow == Stop {
			off += nd.Size
			continue
		}
		a.gap = append(a.gap, off)
		a.discover(off)
		n = a.cover(pc)
	}
	if n < 0 {
		return nil
	}
	a.nodes[n].leader = true
	return &a.nodes[n]
}

// Find follows the code from its start, or else from the last gap before nd, and
// returns the state at nd, or nil.
func (a *Analysis[I]) Find(nd *Node[I]) *State {
	var st State
	a.regs.Enter(&st)
	a.cpu.Enter(&st)
	a.steps, a.Good, a.Bad = 0, 0, 0
	a.enter(0, &st)
	a.followAll()
	if nd.state != 0 {
		st = a.states[nd.state-1]
		return &st
	}
	from := -1 // where the stretch begins that holds nd
	for _, off := range append(a.gap, a.ends...) {
		if off <= nd.Off {
			from = max(from, off)
		}
	}
	if from < 0 {
		return nil
	}
	// Jump tables lead there; without any, another function begins, or an
	// exception leads there out of a call.
	seeds := slices.Clone(a.tables)
	if len(seeds) == 0 {
		seeds = append(seeds, st)
		if a.called {
			seeds = append(seeds, a.atCall)
		}
	}
	return a.seeded(nd, from, seeds)
}

// seeded follows the code from a place that is entered with one of seeds, and
// returns the state at nd, or nil.
func (a *Analysis[I]) seeded(nd *Node[I], from int, seeds []State) *State {
	a.fixed = len(a.states)
	var found, likely *State
	for _, seed := range seeds {
		a.Good, a.Bad, a.deep = 0, 0, 0
		a.enter(from, &seed)
		a.followAll()
		if len(seeds) > 1 {
			a.Bad += a.deep // it is the one stack or the other
		}
		if k := nd.state; k != 0 && a.Bad == 0 {
			st := a.states[k-1]
			if a.Good == 0 {
				// The path ends in a call that does not return.
				if len(seeds) == 1 && len(a.tables) > 0 {
					likely = &st
				}
				a.reset(a.fixed)
				continue
			}
			if found != nil && found.Regs[a.regs.SP] != st.Regs[a.regs.SP] {
				return nil // both may be right
			}
			found = &st
		}
		a.reset(a.fixed)
	}
	if found == nil {
		found = likely
	}
	a.Good, a.Bad = 1, 0
	return found
}

// Again forgets what Find has found, so that it can begin anew.
func (a *Analysis[I]) Again() { a.reset(0) }

// Onwards counts in Good and Bad the ways out of nd when it is entered with st.
func (a *Analysis[I]) Onwards(nd *Node[I], st *State) {
	a.reset(0)
	a.Good, a.Bad = 0, 0
	a.enter(nd.Off, st)
	a.followAll()
}

// reset forgets all but the first n states.
func (a *Analysis[I]) reset(n int) {
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

// maxSize is the length in bytes of the longest instruction of any CPU.
const maxSize = 15

// cover returns the index of the node that holds offset pc, or -1. An
// instruction that starts there goes before one that merely covers it.
func (a *Analysis[I]) cover(pc int) int {
	for off := pc; off >= 0 && off > pc-maxSize; off-- {
		if i := a.at[off]; i != 0 && off+a.nodes[i-1].Size > pc {
			return int(i - 1)
		}
	}
	return -1
}

// Inside reports whether the jump nd leads to a place in the code.
func (a *Analysis[I]) Inside(nd *Node[I]) bool { return nd.Target >= 0 && nd.Target < len(a.code) }

// discover decodes all instructions that can be reached from off.
func (a *Analysis[I]) discover(off int) {
	a.todo = append(a.todo[:0], int32(off))
	for len(a.todo) > 0 {
		off := int(a.todo[len(a.todo)-1])
		a.todo = a.todo[:len(a.todo)-1]
		target := true
		for off < len(a.code) {
			if nd := a.Node(off); nd != nil {
				nd.leader = true
				nd.target = nd.target || target
				break
			}
			if len(a.nodes) == maxInsts {
				return
			}
			a.nodes = append(a.nodes, Node[I]{Off: off, leader: target, target: target})
			nd := &a.nodes[len(a.nodes)-1]
			if !a.cpu.Decode(a.code, nd) {
				a.nodes = a.nodes[:len(a.nodes)-1]
				break
			}
			a.at[off] = int32(len(a.nodes))
			target = false
			off += nd.Size
			if (nd.Flow == Jump || nd.Flow == Branch) && a.Inside(nd) {
				a.todo = append(a.todo, int32(nd.Target))
			}
			if nd.Flow != Next && nd.Flow != Branch && nd.Flow != Call {
				break
			}
		}
	}
}
