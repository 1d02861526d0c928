package follow

import (
	"cmp"
	"slices"

	"github.com/gatedso/bt/internal/arch"
)

// Insn is where execution goes from an instruction: offsets are from the first byte
// of the code.
type Insn struct {
	Size   int
	Flow   Flow
	Target int  // of Jump and Branch
	Slot   bool // of Indirect: it takes its target from a place of its own, as jumps to other functions do
}

// Reader reads the instruction at offset at of code. It reports false where there is
// none.
type Reader func(code []byte, at int) (Insn, bool)

// NoReturn implements arch.Arch.NoReturn. Calls are taken to return.
func (read Reader) NoReturn(code []byte) bool {
	const maxPaths = 16
	seen := make(map[int]bool)
	todo := []int{0}
	stops := false
	for n := 0; len(todo) > 0; n++ {
		if n == maxPaths {
			return false
		}
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for !seen[at] {
			seen[at] = true
			in, ok := read.at(code, at)
			if !ok {
				return false
			}
			next := at + in.Size
			switch in.Flow {
			case Stop:
				stops = true
				next = at
			case Return, Indirect:
				return false
			case Jump:
				next = in.Target
			case Branch:
				todo = append(todo, in.Target)
			}
			at = next
		}
	}
	return stops
}

func (read Reader) at(code []byte, at int) (Insn, bool) {
	if at < 0 || at >= len(code) {
		return Insn{}, false
	}
	return read(code, at)
}

// maxFollowed bounds the instructions that Extent follows.
const maxFollowed = 1 << 15

// Extent implements arch.Arch.Extent, for code whose functions begin at multiples of
// align: a jump to such a place that nothing else leads to is one to another function,
// a tail call.
func (read Reader) Extent(code []byte, addr, align uint64) ([]arch.Span, bool) {
	e := extent{read: read, code: code, size: make(map[int]int)}
	if len(code) == 0 || !e.follow(0) {
		return nil, false
	}
	for len(e.jumps) > 0 {
		to := e.jumps[len(e.jumps)-1]
		e.jumps = e.jumps[:len(e.jumps)-1]
		if (addr+uint64(to))%align != 0 && !e.follow(to) {
			return nil, false
		}
	}
	return e.spans(), true
}

// extent is the instructions of a function, as far as they are known.
type extent struct {
	read  Reader
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
			in, ok := e.read(e.code, at)
			if len(e.size) == maxFollowed || !ok {
				return false
			}
			e.size[at] = in.Size
			next := at + in.Size
			switch in.Flow {
			case Indirect:
				if !in.Slot {
					return false
				}
				next = -1
			case Return, Stop:
				next = -1
			case Jump:
				if in.Target >= 0 && in.Target < len(e.code) {
					e.jumps = append(e.jumps, in.Target)
				}
				next = -1
			case Branch:
				todo = append(todo, in.Target)
			}
			if next == len(e.code) {
				return false // it runs on to what is not given
			}
			at = next
		}
	}
	return true
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
