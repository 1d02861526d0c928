// Package cpython reads the interpreter of Python, CPython 3.8 to 3.14: the Python
// functions that its C calls run, its threads, who holds its global interpreter lock
// (GIL), and the tasks of asyncio.
//
// From 3.13 on _PyRuntime tells how it is laid out. For older versions tables.go does,
// which gen/main.go makes from their headers.
//
// Which native frame runs which Python frames is not guessed. From 3.10 on each C call
// of the interpreter has a variable on its stack that its Python frames lead to, so
// that the address tells the native frame. Before that each call runs one Python frame,
// and both are counted.
package cpython

import (
	"fmt"
	"path"
	"strings"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/stack"
)

// Language is how the model tells Python's frames.
const Language = "python"

// Finder finds CPython.
var Finder = runtimes.Finder{Language: Language, Find: find}

func find(t *runtimes.Target) (runtimes.Reader, error) {
	in := locate(t)
	if in == nil {
		return nil, nil
	}
	v, err := in.versionOf(t.Memory)
	if err != nil {
		return nil, err
	}
	l, err := in.layoutOf(v, t.Memory)
	if err != nil {
		return nil, err
	}
	r := &reader{in: in, v: v, l: l, space: t.Space, wants: t.Wants}
	if v.atLeast(14) && t.Wants.Languages {
		r.asyncio = in.asyncio(t)
	}
	m := r.memory(t.Memory)
	interps, _, _ := m.interps(in.runtime)
	r.active = m.findActive(interps)
	if t.Wants.Languages {
		r.taskLists = m.findTasks(interps)
	}
	return r, nil
}

// reader reads one interpreter.
type reader struct {
	in    *interpreter
	v     version
	l     *layout
	space *image.Space
	wants runtimes.Wants

	active    map[uint64]uint64 // by interpreter: threading._active
	taskLists map[uint64]taskLists
	asyncio   *asyncioOffsets

	// What Copy has read.
	mem     *memory
	interps []*interp
	threads []*pyThread
	codes   map[uint64]*code
	byTID   map[int][]*pyThread // the innermost interpreter's first
	tids    map[uint64]int      // whose each PyThreadState is
	err     error

	asyncTasks   []*pyTask // where all threads are wanted
	unknownTasks int
}

// Language implements runtimes.Reader.
func (r *reader) Language() string { return Language }

// Copy implements runtimes.Reader.
func (r *reader) Copy(s *process.Stopped) {
	r.mem = r.memory(s.Memory)
	r.byTID, r.tids, r.codes = make(map[int][]*pyThread), make(map[uint64]int), nil
	r.interps, r.threads, r.err = r.mem.interps(r.in.runtime)
	if r.err == errLayout || r.err == errMemory {
		r.err = fmt.Errorf("CPython %v, %s: %w", r.v, r.in.module.Path, r.err)
		r.threads = nil
		return
	}
	limit := maxPyFrames
	for k, i := range owners(r.threads, s.Threads) {
		t := r.threads[k]
		if i < 0 && t.interp.id == 0 {
			continue
		}
		if r.wants.Languages || t.interp.id != 0 {
			f := frameReader{memory: r.mem, limit: &limit, most: r.wants.MaxFrames}
			t.segs, t.err = f.segments(t.state)
			t.cut = f.cut
		}
		if t.interp.id != 0 {
			i = t.runner(i, s.Threads)
		}
		if i < 0 {
			t.segs = nil
			continue
		}
		tid := s.Threads[i].TID
		r.tids[t.state] = tid
		r.byTID[tid] = append(r.byTID[tid], t)
	}
	for _, t := range r.threads {
		if _, known := r.tids[t.state]; !known && t.native != 0 {
			r.others(t, s.TIDs)
		}
	}
	if r.wants.Languages {
		r.codes = r.mem.readCodes(r.threads)
	}
	r.names()
	r.asyncTasks, r.unknownTasks = nil, 0
	if r.wants.Languages && len(s.Threads) == len(s.TIDs) {
		// Last: where the time is up, it is the tasks that lack something.
		r.asyncTasks, r.unknownTasks = r.readTasks()
		parked := new(pyThread)
		for _, t := range r.asyncTasks {
			parked.segs = append(parked.segs, segment{frames: t.frames})
		}
		for addr, c := range r.mem.readCodes([]*pyThread{parked}) {
			if r.codes[addr] == nil {
				r.codes[addr] = c
			}
		}
	}
}

func (r *reader) memory(rec *process.Recorder) *memory {
	return &memory{Recorder: rec, asyncio: r.asyncio, l: r.l, v: r.v, order: r.in.image.Order, types: make(map[uint64]string), places: make(map[place]int)}
}

// others finds the thread of a PyThreadState among those that are not wanted.
func (r *reader) others(t *pyThread, tids []int) {
	for _, tid := range tids {
		if _, wanted := r.byTID[tid]; !wanted && uint64(tid) == t.native {
			r.tids[t.state] = tid
			return
		}
	}
}

// Threads implements runtimes.Reader.
func (r *reader) Threads(p *stack.Process, threads []process.Unwound, m *process.Recorder) error {
	if r.mem == nil {
		return nil
	}
	for i := range p.Threads {
		th := &p.Threads[i]
		states := r.byTID[th.TID]
		if len(states) == 0 || i >= len(threads) || threads[i].TID != th.TID {
			continue
		}
		for _, t := range states {
			th.Runtimes = append(th.Runtimes, r.about(t, &threads[i]))
			r.waits(th, t, &threads[i])
		}
		if r.wants.Languages {
			r.frames(th, states)
		}
	}
	return r.err
}

// Process implements runtimes.Reader.
func (r *reader) Process(p *stack.Process, m *process.Recorder) error {
	if r.mem == nil {
		return nil
	}
	r.tasks(p)
	for _, in := range r.interps {
		if in.collecting {
			text := Language + ": garbage is being collected"
			if in.id != 0 {
				text += fmt.Sprintf(" in interpreter %d", in.id)
			}
			p.Notes = append(p.Notes, stack.Note{Kind: Language, Text: text})
		}
	}
	return nil
}

// isOwn reports whether the whole module is CPython's, and not a program's that CPython
// is linked into.
func (in *interpreter) isOwn() bool {
	name := path.Base(in.module.Path)
	return strings.HasPrefix(name, "python") || strings.HasPrefix(name, "libpython")
}
