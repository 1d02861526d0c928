// Package v8 reads the JavaScript frames of programs that run in V8, such as Node.js:
// those of its interpreter (Ignition), of baseline code (Sparkplug), and of optimised code
// (Maglev, TurboFan) with the functions that are inlined into it.
//
// V8 describes itself for debuggers in symbols that begin with v8dbg_
// (tools/gen-postmortem-metadata.py). What they leave out, layout.go has for each range
// of versions. Nothing is read of V8's isolates: a frame leads to its function, and a
// code address to the code object around it, so that worker threads are read alike.
//
// V8's collector moves objects. What frames lead to is read in the stop; only the text of
// large scripts, which does not move, is read after it, and checked to be still there.
package v8

import (
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

const language = "js"

// Finder finds V8.
var Finder = runtimes.Finder{Language: language, Find: find}

// reader reads the V8 of one process.
type reader struct {
	in    *engine
	l     *layout
	space *image.Space
	arch  *arch.Arch
	jit   []span // memory that may hold compiled code, sorted
	core  bool

	running *process.Recorder     // what it has read of a process may have changed since
	large   map[scriptKey][]int32 // where the lines of long scripts begin
	lines   int                   // how many they are

	heap   *heap
	frames map[uint64]*frame // by frame pointer; nil: not one of JavaScript
	codes  []*code           // sorted by start
	missed map[uint64]bool   // addresses that no code object was found for
	wrap   jitted
	sizes  *sizes // of bytecodes, once they were looked for
	nosize bool   // they were, in vain
}

// span is a part of the address space.
type span struct{ start, end uint64 }

func find(t *runtimes.Target) (runtimes.Reader, error) {
	if !t.Wants.Languages || t.Space.PtrSize() != 8 {
		return nil, nil
	}
	in := locate(t.Space)
	if in == nil {
		return nil, nil
	}
	l, err := in.layout()
	if err != nil {
		return nil, fmt.Errorf("V8 %v in %s: %w", in.version, in.module.Path, err)
	}
	r := &reader{in: in, l: l, space: t.Space, arch: in.image.Arch(), jit: compiledMemory(t.Space.Maps), core: t.Core}
	if !t.Core {
		r.running = t.Memory
	}
	return r, nil
}

// compiledMemory are the mappings in which V8 may have put code.
func compiledMemory(m *maps.Map) (list []span) {
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Perm&maps.Exec != 0 && !e.IsFile() && m.GateOf(e) == maps.NoGate {
			list = append(list, span{e.Start, e.End})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].start < list[j].start })
	return list
}

// mayBeCompiled reports whether addr lies in memory that may hold compiled code, and
// where that begins.
func (r *reader) mayBeCompiled(addr uint64) (start uint64, ok bool) {
	if len(r.jit) == 0 || addr < r.jit[0].start || addr >= r.jit[len(r.jit)-1].end {
		return 0, false // as most words of a stack
	}
	i := sort.Search(len(r.jit), func(i int) bool { return r.jit[i].end > addr })
	if i == len(r.jit) || addr < r.jit[i].start {
		return 0, false
	}
	return r.jit[i].start, true
}

// Language implements runtimes.Reader.
func (r *reader) Language() string { return language }

// Copy implements runtimes.Reader. Which frames there are is not known before the walk:
// whatever on the stacks looks like a frame of JavaScript, or like an address in compiled
// code, is read.
func (r *reader) Copy(s *process.Stopped) {
	r.heap = newHeap(s.Memory, r.l)
	r.frames, r.codes, r.missed = make(map[uint64]*frame), nil, make(map[uint64]bool)
	r.heap.large = r.linesOf
	if r.core {
		r.running, r.heap.room = s.Memory, maxCoreText
		return // all of it can be read when it is asked for
	}
	r.heap.stopped = true
	for i := range s.Threads {
		r.copyThread(&s.Threads[i])
	}
}

// copyThread reads what a thread's stack leads to.
func (r *reader) copyThread(t *process.StoppedThread) {
	if t.Arch == nil || t.Arch != r.arch || !t.HasRegs {
		return
	}
	fp, _ := t.Regs.Get(t.Arch.FP)
	r.frameAt(fp)
	if pc, ok := t.Regs.Get(t.Arch.PC); ok {
		r.copyCode(pc, fp, true)
	}
	for i := 0; i+8 <= len(t.Stack); i += 8 {
		w := word(t.Stack, i)
		if _, ok := r.mayBeCompiled(w); ok && i >= 8 {
			r.copyCode(w, word(t.Stack, i-8), false) // the frame pointer is saved below
		}
		if r.l.looksLikeFrame(t, i) {
			r.frameAt(t.StackAddr + uint64(i))
		}
	}
}

// copyCode reads what names the functions at an address of compiled code, whose frame
// pointer may be fp.
func (r *reader) copyCode(pc, fp uint64, exact bool) {
	c := r.codeAt(pc, exact)
	if c != nil && exact {
		r.framed(c, pc)
	}
	switch {
	case c == nil:
	case c.baseline:
		r.baseline(c, pc, fp, exact)
	default:
		r.calls(c, pc, exact)
	}
}

// Threads implements runtimes.Reader.
func (r *reader) Threads(p *stack.Process, threads []process.Unwound, m *process.Recorder) error {
	if r.heap == nil {
		return nil
	}
	r.heap.stopped = false
	for i := range threads {
		if i < len(p.Threads) && threads[i].Arch == r.arch {
			r.thread(&p.Threads[i], &threads[i])
		}
	}
	return nil
}

// thread puts a thread's JavaScript frames before the native ones that run them.
func (r *reader) thread(t *stack.Thread, u *process.Unwound) {
	frames := u.Stack.Frames
	for j := range frames {
		if j >= len(t.Frames) {
			break
		}
		f, out := &frames[j], &t.Frames[j]
		// Until code has made its frame, and in stubs that make none, the frame
		// pointer is still the caller's.
		owns := j+1 >= len(frames) || frames[j+1].FP != f.FP
		var names []stack.Name
		if c := r.codeAt(f.PC, f.Exact); c != nil {
			names = r.compiledNames(c, u, j, owns)
		} else if owns && r.isEngine(f.Lookup()) {
			names = r.interpretedNames(f.SP, f.FP)
		}
		out.Names = append(names, out.Names...)
		if len(names) > 0 || r.in.isOwn() && r.isEngine(f.Lookup()) {
			out.Runtime = true
		}
	}
}

// isEngine reports whether the code at addr is of the module that V8 is in.
func (r *reader) isEngine(addr uint64) bool {
	return r.space.Locate(addr).Module == r.in.module
}

// Process implements runtimes.Reader.
func (r *reader) Process(*stack.Process, *process.Recorder) error { return nil }

// isOwn reports whether the whole module is the runtime's, and not a program's that V8 is
// linked into.
func (in *engine) isOwn() bool {
	name := path.Base(in.module.Path)
	return name == "node" || name == "nodejs" || strings.HasPrefix(name, "libnode.so") || strings.HasPrefix(name, "libv8.so")
}
