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
		if t.Waits != nil {
			p.comment("waits in %s", escape.Text(t.Waits.Text))
		}
		p.frames(t.Frames, wordSize)
		if t.End.Reason != stack.Outermost {
			p.comment("end: %s", escape.Text(t.End.Text))
		}
	}
}

// taskGroups puts tasks that look alike together, in the order of the first of each.
// Those that the runtime has started for itself come only with system.
func taskGroups(tasks []stack.Task, system bool) [][]*stack.Task {
	var out [][]*stack.Task
	seed := maphash.MakeSeed()
	by := make(map[uint64][]int)
	for i := range tasks {
		t := &tasks[i]
		if t.System && !system {
			continue
		}
		var h maphash.Hash
		h.SetSeed(seed)
		h.WriteString(t.State)
		for j := range t.Frames {
			maphash.WriteComparable(&h, t.Frames[j].PC)
		}
		sum := h.Sum64()
		at := slices.IndexFunc(by[sum], func(g int) bool { return alikeTasks(out[g][0], t) })
		if at >= 0 {
			g := by[sum][at]
			out[g] = append(out[g], t)
			continue
		}
		by[sum] = append(by[sum], len(out))
		out = append(out, []*stack.Task{t})
	}
	return out
}

func alikeTasks(a, b *stack.Task) bool {
	return a.State == b.State && a.Name == b.Name && a.CreatedBy == b.CreatedBy && a.Thread == b.Thread && a.System == b.System && a.End == b.End &&
		slices.Equal(a.Labels, b.Labels) && (a.Waits == nil) == (b.Waits == nil) && (a.Waits == nil || a.Waits.Text == b.Waits.Text) &&
		slices.EqualFunc(a.Frames, b.Frames, func(x, y stack.Frame) bool {
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
