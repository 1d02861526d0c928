package x86

import (
	"cmp"
	"slices"

	"github.com/gatedso/bt/internal/arch"
)

// maxFollowed bounds the instructions that Extent follows.
const maxFollowed = 1 << 15

// Extent implements arch.Arch.Extent.
func (m *Mode) Extent(code []byte, addr uint64) ([]arch.Span, bool) {
	e := extent{m: m, code: code, size: make(map[int]int)}
	if len(code) == 0 || !e.follow(0) {
		return nil, false
	}
	for len(e.jumps) > 0 {
		to := e.jumps[len(e.jumps)-1]
		e.jumps = e.jumps[:len(e.jumps)-1]
		// A jump to an aligned place that nothing else leads to is one to
		// another function, a tail call.
		if (addr+uint64(to))%16 != 0 && !e.follow(to) {
			return nil, false
		}
	}
	return e.spans(), true
}

// extent is the instructions of a function, as far as they are known.
type extent struct {
	m     *Mode
	code  []byte
	size  map[int]int // of the instructions that were reached, by offset
	jumps []int       // where unconditional jumps lead
}

// follow goes on from at, but for unconditional jumps. It reports false where
// execution leads to somewhere unknown.
func (e *extent) follow(at int) bool {
	todo := []int{at}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for at >= 0 && at < len(e.code) && e.size[at] == 0 {
			var in inst
			if len(e.size) == maxFollowed || !e.m.decode(e.code[at:], &in) {
				return false
			}
			e.size[at] = in.size
			next := at + in.size
			switch in.flow() {
			case flowIndirect:
				if !in.fixedSlot(e.m) {
					return false
				}
				next = -1
			case flowReturn, flowStop:
				next = -1
			case flowJump:
				if to := next + int(in.imm); to >= 0 && to < len(e.code) {
					e.jumps = append(e.jumps, to)
				}
				next = -1
			case flowBranch:
				todo = append(todo, next+int(in.imm))
			}
			if next == len(e.code) {
				return false // it runs on to what is not given
			}
			at = next
		}
	}
	return true
}

// fixedSlot reports whether a jump takes its target from a place of its own, as
// jumps to other functions do: not from a table, nor from a register.
func (in *inst) fixedSlot(m *Mode) bool {
	return in.memory() && in.base == noReg && in.index == noReg && !in.segment
}

// spans joins the instructions that follow each other.
func (e *extent) spans() []arch.Span {
	var out []arch.Span
	for at, size := range e.size {
		out = append(out, arch.Span{Start: at, End: at + size})
	}
	slices.SortFunc(out, func(a, b arch.Span) int { return cmp.Compare(a.Start, b.Start) })
	n := 0
	for _, s := range out {
		if n > 0 && s.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, s.End)
			continue
		}
		out[n] = s
		n++
	}
	return out[:n]
}
