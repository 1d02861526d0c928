// Package flame prints stacks as a flame graph: one HTML file that needs nothing from
// elsewhere. The outermost function is at the top. What the target has a hand in is
// data in the page, which its script shows as text; the page's policy
// (Content-Security-Policy) lets no other script run, and loads nothing.
package flame

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

//go:embed page.html
var page string

// Writer counts stacks, and prints the page at its Close; it is a render.Format.
type Writer struct {
	W       *bufio.Writer
	Options render.Options

	root    *node
	process *node
	now     render.Sample
	titles  []string
	notes   []string
}

// key is what tells a node among the children of another one.
type key struct {
	label, kind, module, place string
}

// node is a function below its callers.
type node struct {
	key
	value    int64
	states   map[string]int64
	children map[key]*node
	order    []*node
}

// child returns the child of a node, made if need be, and counts it n times more.
func (n *node) child(k key, times int64, state string) *node {
	c := n.children[k]
	if c == nil {
		c = &node{key: k}
		if n.children == nil {
			n.children = make(map[key]*node)
		}
		n.children[k] = c
		n.order = append(n.order, c)
	}
	c.count(times, state)
	return c
}

func (n *node) count(times int64, state string) {
	n.value += times
	if state == "" {
		return
	}
	if n.states == nil {
		n.states = make(map[string]int64)
	}
	n.states[state] += times
}

// state is the one that the node was seen in most often.
func (n *node) state() (state string) {
	for s, times := range n.states {
		if best := n.states[state]; times > best || times == best && s < state {
			state = s
		}
	}
	return state
}

// Maps does nothing: the page shows no mappings.
func (w *Writer) Maps(*render.Head) {}

// Head begins a process.
func (w *Writer) Head(p *stack.Process, s render.Sample) {
	if w.root == nil {
		w.root = &node{key: key{label: "all", kind: "all"}}
	}
	title := fmt.Sprintf("process %d %s", p.PID, escape.Name(p.Name))
	if !slices.Contains(w.titles, title) {
		w.titles = append(w.titles, title)
	}
	w.now = s
	w.process = w.root.child(key{label: title, kind: "process"}, 0, "")
	if p.Death != nil {
		w.note(p, p.Death.Text)
	}
}

func (w *Writer) note(p *stack.Process, text string) {
	text = fmt.Sprintf("process %d: %s", p.PID, escape.Text(text))
	if !slices.Contains(w.notes, text) {
		w.notes = append(w.notes, text)
	}
}

// Threads counts the stacks of threads.
func (w *Writer) Threads(p *stack.Process) {
	for s := range render.ThreadStacks(p) {
		w.add(s)
	}
}

// Rest counts the stacks of goroutines and other tasks.
func (w *Writer) Rest(p *stack.Process) {
	for s := range w.Options.TaskStacks(p) {
		w.add(s)
	}
	for i := range p.Notes {
		w.note(p, p.Notes[i].Text)
	}
	for i := range p.Deadlocks {
		w.note(p, "deadlock: "+p.Deadlocks[i].Text)
	}
}

// add counts a stack. Frames that recur are there once, with how often.
func (w *Writer) add(s *render.Stack) {
	var calls []key // innermost first
	part := *s
	for rest := s.Frames; len(rest) > 0 || len(part.Kernel) > 0; {
		n, again := len(rest), ""
		for i := range rest {
			period, times := render.Run(rest[i:])
			if i == 0 && times > 0 {
				n, again = period, render.Folded(period, times-1)
				rest = rest[period*(times-1):]
				break
			} else if times > 0 {
				n = i
				break
			}
		}
		if again != "" {
			calls = append(calls, key{label: again, kind: "missing"})
		}
		part.Frames, rest = rest[:n], rest[n:]
		for c := range w.Options.Calls(&part) {
			calls = append(calls, w.key(&c))
		}
		part.Kernel = nil
	}
	if cut := s.Cut(); cut != "" {
		calls = append(calls, key{label: cut, kind: "missing"})
	}
	state, times := escape.Text(s.State), w.now.N()
	w.root.count(times, "")
	w.process.count(times, "")
	kind := "thread"
	if s.Noun != "" {
		kind = "task"
	}
	at := w.process.child(key{label: s.Label(), kind: kind}, times, state)
	for _, k := range slices.Backward(calls) {
		at = at.child(k, times, state)
	}
}

// key tells a call, and its colour.
func (w *Writer) key(c *render.Call) key {
	k := key{label: c.Label(), kind: c.Language(), module: c.ModulePath(), place: w.Options.Place(c.Name)}
	switch {
	case k.kind != "native":
	case c.Frame.Runtime:
		k.kind = "runtime"
	case !c.Own:
		k.kind = "inlined"
	case c.Library():
		k.kind = "library"
	}
	return k
}

// document is the data of the page.
type document struct {
	Title   string     `json:"title"`
	Strings []string   `json:"strings"`
	Nodes   [][7]int64 `json:"nodes"` // in preorder, as page.html reads them
	Notes   []string   `json:"notes"`
}

// Close prints the page.
func (w *Writer) Close() {
	if w.root == nil {
		w.root = &node{key: key{label: "all", kind: "all"}}
	}
	d := document{Title: "bt: " + strings.Join(w.titles, ", "), Notes: w.notes}
	numbers := make(map[string]int64)
	number := func(s string) int64 {
		n, ok := numbers[s]
		if !ok {
			n = int64(len(d.Strings))
			numbers[s] = n
			d.Strings = append(d.Strings, s)
		}
		return n
	}
	for todo := []*node{w.root}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		slices.SortStableFunc(n.order, func(a, b *node) int { return strings.Compare(a.label, b.label) })
		d.Nodes = append(d.Nodes, [7]int64{number(n.label), number(n.kind), n.value, number(n.module), number(n.place), number(n.state()), int64(len(n.order))})
		for _, c := range slices.Backward(n.order) {
			todo = append(todo, c)
		}
	}
	// The encoder escapes '<', '>' and '&': the data cannot end its element.
	data, err := json.Marshal(&d)
	if err != nil {
		panic(err) // numbers and strings
	}
	before, after, _ := strings.Cut(page, "DATA")
	w.W.WriteString(before)
	w.W.Write(data)
	w.W.WriteString(after)
}
