package cpython

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/stack"
)

// natives are the native frames of a thread as Python's frames are matched to them.
type natives struct {
	frames []stack.Frame
	bySP   []int  // indices of frames, by ascending SP
	own    []bool // by index: in the interpreter's module
	named  []bool // by index: a symbol names it
	eval   []bool // by index: a C call that runs Python frames, by its name
	taken  []bool // by index: has Python frames
}

// evalName is the function that runs Python frames, with what compilers add behind a dot.
const evalName = "_PyEval_EvalFrameDefault"

// frames puts a thread's Python frames before the native frames that run them.
func (r *reader) frames(th *stack.Thread, states []*pyThread) {
	n := r.natives(th.Frames)
	left, damaged, cut := 0, false, false
	var err error
	for _, t := range states {
		var some int
		if r.v.atLeast(10) {
			some = r.byAddress(n, t.segs, &damaged)
		} else {
			some = r.byCount(n, t.segs, th.Complete(), &damaged)
		}
		left += some
		cut = cut || t.cut
		if err == nil {
			err = t.err
		}
	}
	say := func(format string, args ...any) {
		th.Notes = append(th.Notes, stack.Note{Kind: Language, Text: Language + ": " + fmt.Sprintf(format, args...), Missing: true})
	}
	switch {
	case err != nil:
		say("%v", err)
	case damaged:
		say("%v", errFrames)
	case cut:
		say("cut after %d frames (--max-frames)", r.wants.MaxFrames)
	case left > 0 && th.Complete():
		say("%d of its frames fit no native frame", left)
	case left > 0:
		say("%d more of its frames belong to what is missing of the stack", left)
	}
	r.mark(n)
}

// natives looks which frames are the interpreter's.
func (r *reader) natives(frames []stack.Frame) *natives {
	n := &natives{frames: frames, own: make([]bool, len(frames)), eval: make([]bool, len(frames)), named: make([]bool, len(frames)), taken: make([]bool, len(frames))}
	type at struct {
		link  uint64
		index int
	}
	var places []at
	for i := range frames {
		f := &frames[i]
		if f.SP != 0 {
			n.bySP = append(n.bySP, i)
		}
		pc := f.PC
		if !f.Exact {
			pc--
		}
		if p := r.space.Locate(pc); p.Module == r.in.module && p.Image != nil {
			n.own[i] = true
			places = append(places, at{p.Link(pc), i})
		}
	}
	slices.SortFunc(n.bySP, func(a, b int) int { return cmp.Compare(frames[a].SP, frames[b].SP) })
	slices.SortFunc(places, func(a, b at) int { return cmp.Compare(a.link, b.link) })
	links, matches := make([]uint64, len(places)), make([]elfsym.Match, len(places))
	for k := range places {
		links[k] = places[k].link
	}
	r.in.image.LookupAll(links, matches)
	for k := range places {
		n.named[places[k].index] = matches[k].OK
		n.eval[places[k].index] = matches[k].OK && isEval(matches[k].Name)
	}
	return n
}

func isEval(name string) bool {
	rest, ok := strings.CutPrefix(name, evalName)
	return ok && (rest == "" || rest[0] == '.')
}

// holder returns the native frame on whose part of the stack addr is, -1 for none.
func (n *natives) holder(addr uint64) int {
	k, _ := slices.BinarySearchFunc(n.bySP, addr, func(i int, addr uint64) int {
		if n.frames[i].SP <= addr {
			return -1
		}
		return 1
	})
	if k == 0 {
		return -1
	}
	i := n.bySP[k-1]
	// The outermost has no caller to end its part.
	if k == len(n.bySP) && i != len(n.frames)-1 {
		return -1
	}
	return i
}

// byAddress gives each segment to the native frame on whose part of the stack its
// variable is, and returns how many Python frames are left.
func (r *reader) byAddress(n *natives, segs []segment, damaged *bool) (left int) {
	for _, s := range segs {
		i := -1
		if s.at != 0 {
			i = n.holder(s.at)
		} else {
			i = n.next()
		}
		if i < 0 || !n.own[i] || n.taken[i] {
			left += len(s.frames)
			continue
		}
		r.attach(n, i, s.frames, damaged)
	}
	return left
}

// next is the innermost native frame that runs Python frames, by its name, and has
// none yet; -1 for none. It lies outside of all that have some.
func (n *natives) next() int {
	last := -1
	for i := range n.frames {
		if n.taken[i] {
			last = i
		}
	}
	for i := last + 1; i < len(n.frames); i++ {
		if n.eval[i] && !(i == 0 && n.frames[i].Exact) {
			return i
		}
	}
	return -1
}

// byCount gives each C call one Python frame, from the outside where the native stack
// is complete. It returns how many Python frames are left: all where the numbers differ.
func (r *reader) byCount(n *natives, segs []segment, complete bool, damaged *bool) (left int) {
	var calls []int
	for i := range n.frames {
		if n.eval[i] && !n.taken[i] {
			calls = append(calls, i)
		}
	}
	if len(calls) < len(segs) && complete {
		calls = r.coldCalls(n, calls)
	}
	switch {
	case !complete && len(calls) <= len(segs):
		left = len(segs) - len(calls)
		segs = segs[:len(calls)]
	case len(calls) == len(segs)+1:
		// The innermost has just begun, or is about to return: what any other call
		// runs was told before it called another one.
		calls = calls[1:]
	case len(calls) != len(segs):
		return len(segs)
	}
	for k := range segs {
		r.attach(n, calls[k], segs[k].frames, damaged)
	}
	return left
}

// attach puts Python frames before the names of a native frame.
func (r *reader) attach(n *natives, i int, frames []pyFrame, damaged *bool) {
	names := make([]stack.Name, 0, len(frames))
	for k := range frames {
		f := &frames[k]
		c := r.codes[f.code]
		if c == nil || !c.ok {
			*damaged = true
			names = append(names, stack.Name{Language: Language})
			continue
		}
		if c.cleanup {
			continue
		}
		name := stack.Name{Symbol: c.name, File: c.file, Language: Language}
		line, ok := r.mem.line(f, c)
		if ok {
			name.Line = line
		} else {
			*damaged = true
			name.File = ""
		}
		names = append(names, name)
	}
	n.taken[i] = true
	n.frames[i].Names = append(names, n.frames[i].Names...)
}

// mark marks the native frames that are the interpreter's own.
func (r *reader) mark(n *natives) {
	for i := range n.frames {
		if n.eval[i] || n.taken[i] || n.own[i] && r.in.isOwn() {
			n.frames[i].Runtime = true
		}
	}
}
