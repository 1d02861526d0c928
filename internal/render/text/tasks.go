package text

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// tasks prints goroutines, or what else noun says: those with the same stack and state
// once.
func (p *Printer) tasks(noun string, tasks []stack.Task, wordSize int) {
	for _, g := range taskGroups(tasks, p.Options.Verbose) {
		p.comment("%s", taskHead(noun, g))
		t := g[0]
		if text := taskWaits(g); text != "" {
			p.comment("waits for %s", escape.Text(text))
		}
		p.frames(t.Frames, wordSize)
		if t.End.Reason != stack.Outermost {
			p.comment("end: %s", escape.Text(t.End.Text))
		}
	}
}

// taskWaits is what the tasks of a group wait for: all for the same, or the first one
// for this, and the others for something of their own.
func taskWaits(g []*stack.Task) string {
	if g[0].Waits == nil {
		return ""
	}
	text, others := g[0].Waits.Text, 0
	for _, t := range g[1:] {
		if t.Waits == nil || t.Waits.Text != text {
			others++
		}
	}
	if others > 0 {
		text += fmt.Sprintf("; %s of the others for something else", render.Thousands(others))
	}
	return text
}

// taskGroups puts tasks that look alike together, in the order of the first of each.
// Those that the runtime has started for itself come only with system.
func taskGroups(tasks []stack.Task, system bool) [][]*stack.Task {
	var out [][]*stack.Task
	by := make(map[taskKey][]int)
	seed := maphash.MakeSeed()
	stacks := make(map[*stack.Frame]uint64)
	for i := range tasks {
		t := &tasks[i]
		if t.System && !system {
			continue
		}
		key := taskKey{t.State, t.CreatedBy, t.Thread, t.System, t.End, hashStack(seed, stacks, t.Frames)}
		at := slices.IndexFunc(by[key], func(g int) bool { return alikeTasks(out[g][0], t) })
		if at >= 0 {
			g := by[key][at]
			out[g] = append(out[g], t)
			continue
		}
		by[key] = append(by[key], len(out))
		out = append(out, []*stack.Task{t})
	}
	return out
}

// taskKey is what tasks of a group agree in, beside their labels.
type taskKey struct {
	state, createdBy string
	thread           int
	system           bool
	end              stack.End
	frames           uint64
}

// hashStack returns a hash of a stack's addresses. known has those of stacks that were
// seen before, by their first frame: tasks may share them.
func hashStack(seed maphash.Seed, known map[*stack.Frame]uint64, frames []stack.Frame) uint64 {
	if len(frames) == 0 {
		return 0
	}
	if sum, ok := known[&frames[0]]; ok {
		return sum
	}
	var h maphash.Hash
	h.SetSeed(seed)
	for i := range frames {
		maphash.WriteComparable(&h, frames[i].PC)
	}
	sum := h.Sum64()
	known[&frames[0]] = sum
	return sum
}

// alikeTasks compares what a taskKey does not tell for certain.
func alikeTasks(a, b *stack.Task) bool {
	if !slices.Equal(a.Labels, b.Labels) || len(a.Frames) != len(b.Frames) {
		return false
	}
	return len(a.Frames) == 0 || &a.Frames[0] == &b.Frames[0] || slices.EqualFunc(a.Frames, b.Frames, func(x, y stack.Frame) bool {
		return x.PC == y.PC && x.Exact == y.Exact && slices.Equal(x.Names, y.Names)
	})
}

// maxIDs is how many tasks of a group are listed; a group with few more lists all.
const maxIDs = 3

// taskHead is the line that heads tasks with the same stack.
func taskHead(noun string, g []*stack.Task) string {
	var b strings.Builder
	b.WriteString(noun)
	if len(g) > 1 {
		b.WriteByte('s')
	}
	listed := len(g)
	if listed > maxIDs+1 {
		listed = maxIDs
	}
	for i, t := range g[:listed] {
		switch {
		case i > 0 && i == len(g)-1:
			b.WriteString(" and")
		case i > 0:
			b.WriteByte(',')
		}
		if t.ID != 0 {
			fmt.Fprintf(&b, " %d", t.ID)
		}
		if t.Name != "" {
			fmt.Fprintf(&b, " \"%s\"", escape.Name(t.Name))
		}
	}
	if rest := len(g) - listed; rest > 0 {
		fmt.Fprintf(&b, " and %s more", render.Thousands(rest))
	}
	t := g[0]
	state := escape.Text(t.State)
	lo, hi := t.Minutes, t.Minutes
	for _, t := range g {
		lo, hi = min(lo, t.Minutes), max(hi, t.Minutes)
	}
	switch {
	case hi == 1 && lo == 1:
		state += ", 1 minute"
	case lo != hi:
		state += fmt.Sprintf(", %d..%d minutes", lo, hi)
	case hi > 0:
		state += fmt.Sprintf(", %d minutes", hi)
	}
	fmt.Fprintf(&b, " [%s]", state)
	if t.CreatedBy != "" {
		b.WriteString(" created by " + escape.Name(t.CreatedBy))
		if t.Creator != 0 && !slices.ContainsFunc(g, func(o *stack.Task) bool { return o.Creator != t.Creator }) {
			fmt.Fprintf(&b, " (%s %d)", noun, t.Creator)
		}
	}
	if t.Thread != 0 {
		b.WriteString(" locked to thread " + strconv.Itoa(t.Thread))
	}
	for i, l := range t.Labels {
		sep := ", "
		if i == 0 {
			sep = " labels "
		}
		b.WriteString(sep + escape.Name(l.Key) + "=" + escape.Name(l.Value))
	}
	return b.String()
}
