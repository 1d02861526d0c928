package render

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"

	"github.com/gatedso/bt/stack"
)

// A run of frames is folded when the same frames, at most maxPeriod of them, come
// more than minRepeats times one after the other.
const (
	maxPeriod  = 8
	minRepeats = 16
)

// Run looks for a run that begins with the first of frames. It returns how many
// frames repeat and how often they come; 0 where there is none.
func Run(frames []stack.Frame) (period, times int) {
	for period := 1; period <= maxPeriod; period++ {
		n := period
		for n < len(frames) && sameFrame(&frames[n], &frames[n-period]) {
			n++
		}
		if times := n / period; times > minRepeats {
			return period, times
		}
	}
	return 0, 0
}

// sameFrame reports whether two frames look alike.
func sameFrame(a, b *stack.Frame) bool {
	return a.PC == b.PC && a.Exact == b.Exact && a.Signal == nil && b.Signal == nil && slices.Equal(a.Names, b.Names)
}

// Folded is the text that stands for the rest of a run.
func Folded(period, times int) string {
	what := "the frame above"
	if period > 1 {
		what = fmt.Sprintf("the %d frames above", period)
	}
	return "… " + what + ", " + Thousands(times) + " more times"
}

// Thousands prints a number with commas: 524,044.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Group is threads whose stacks are alike.
type Group []*stack.Thread

// Groups puts threads with the same stacks together, in the order of the first of
// each. What is said of one thread alone keeps it apart.
func Groups(threads []stack.Thread) []Group {
	var out []Group
	seed := maphash.MakeSeed()
	by := make(map[uint64][]int) // groups by the hash of their addresses
	for i := range threads {
		t := &threads[i]
		h := hash(seed, t)
		at := slices.IndexFunc(by[h], func(g int) bool { return alike(out[g][0], t) })
		if at >= 0 {
			g := by[h][at]
			out[g] = append(out[g], t)
			continue
		}
		by[h] = append(by[h], len(out))
		out = append(out, Group{t})
	}
	return out
}

func hash(seed maphash.Seed, t *stack.Thread) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for i := range t.Frames {
		maphash.WriteComparable(&h, t.Frames[i].PC)
	}
	return h.Sum64()
}

func alike(a, b *stack.Thread) bool {
	return a.WordSize == b.WordSize && a.NotStopped == b.NotStopped && a.End == b.End &&
		len(a.Runtimes) == 0 && len(b.Runtimes) == 0 && a.Goroutine == 0 && b.Goroutine == 0 &&
		(a.Waits == nil) == (b.Waits == nil) && (a.Waits == nil || a.Waits.Text == b.Waits.Text) &&
		slices.Equal(a.Kernel, b.Kernel) &&
		slices.EqualFunc(a.Notes, b.Notes, func(x, y stack.Note) bool { return x.Kind == y.Kind && x.Text == y.Text }) &&
		slices.EqualFunc(a.Frames, b.Frames, func(x, y stack.Frame) bool {
			same := x.Signal == nil && y.Signal == nil || x.Signal != nil && y.Signal != nil && *x.Signal == *y.Signal
			return same && x.PC == y.PC && x.Exact == y.Exact && slices.Equal(x.Names, y.Names)
		})
}
