//go:build linux

package golang

import (
	"strings"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/stack"
)

// names tells what functions are called by Go's own table, which stripped programs have
// as well. It remembers what it has told.
type names struct {
	space   *image.Space
	wrapper uint8               // see layout
	funcs   map[uint64]function // by address
	own     map[uint64]bool     // by the address to look up: the runtime's own code
}

type function struct {
	name  string
	start uint64 // run-time address
}

func (n *names) init(space *image.Space) {
	n.space, n.funcs, n.own = space, make(map[uint64]function), make(map[uint64]bool)
}

// at returns the function that holds the code at pc.
func (n *names) at(pc uint64) function {
	f, known := n.funcs[pc]
	if !known && pc != 0 {
		if p := n.space.Locate(pc); p.Image != nil {
			link := p.Link(pc)
			if name, start, ok := p.Image.GoFunc(link); ok {
				f = function{name, pc - (link - start)}
			}
		}
		n.funcs[pc] = f
	}
	return f
}

// function names the function that holds the call behind which pc is.
func (n *names) function(pc uint64) string {
	if pc == 0 || n.at(pc).start == pc {
		return n.at(pc).name
	}
	return n.at(pc - 1).name
}

// start names the function that starts at pc; empty if none does.
func (n *names) start(pc uint64) string { return n.at(pc).name }

// isStart reports whether a function starts at pc.
func (n *names) isStart(pc uint64) bool { f := n.at(pc); return f.name != "" && f.start == pc }

// functions returns the names of the functions at a frame, the inlined ones first.
func (n *names) functions(f *stack.Frame) (names []string) {
	pc := lookup(f)
	p := n.space.Locate(pc)
	if p.Image == nil {
		return nil
	}
	for _, c := range p.Image.GoFrames(nil, p.Link(pc)) {
		names = append(names, string(c.Func))
	}
	return names
}

// mark marks the frames that are the runtime's own, and reports whether there is one
// that is not.
func (n *names) mark(frames []stack.Frame) (user bool) {
	for i := range frames {
		f := &frames[i]
		pc := lookup(f)
		own, known := n.own[pc]
		if !known {
			names := n.functions(f)
			own = len(names) > 0
			for _, name := range names {
				own = own && isRuntime(name)
			}
			own = own || len(names) == 1 && n.isWrapper(pc)
			n.own[pc] = own
		}
		if own {
			f.Runtime = true
		} else {
			user = true
		}
	}
	return user
}

// isWrapper reports whether the function at pc is one that the compiler has made to
// call another one, as for a go statement with arguments. The runtime leaves it out.
func (n *names) isWrapper(pc uint64) bool {
	p := n.space.Locate(pc)
	return p.Image != nil && n.wrapper != 0 && p.Image.GoFuncID(p.Link(pc)) == n.wrapper
}

func lookup(f *stack.Frame) uint64 {
	if f.Exact || f.PC == 0 {
		return f.PC
	}
	return f.PC - 1
}

// isRuntime reports whether a function is one that the runtime leaves out where it
// prints stacks: all in package runtime but for exported functions, and methods of
// exported types (showfuncinfo in runtime/traceback.go).
func isRuntime(name string) bool {
	if !strings.Contains(name, ".") {
		return true // without a package: assembly
	}
	rest, ok := strings.CutPrefix(name, "runtime.")
	if !ok {
		return false
	}
	receiver := ""
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		receiver, rest = rest[:i], rest[i+1:]
	}
	upper := func(s string) bool { return s != "" && s[0] >= 'A' && s[0] <= 'Z' }
	receiver = strings.TrimPrefix(receiver, "(*")
	return !upper(rest) || receiver != "" && !upper(receiver)
}
