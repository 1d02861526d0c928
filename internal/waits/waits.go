//go:build linux

// Package waits tells what sleeping threads wait for, and who can end that: the
// system call and its arguments come from the registers of the stop, C libraries'
// mutexes and the like from memory copied in the stop, files and processes from
// procfs, which is read while the target runs.
//
// Only certain facts are told. An object of a C library is believed where the stack
// says that the thread is in the function that waits for it, the words in memory are
// such as that library writes, and an owner is a thread that lives. Otherwise the
// system call is told with its arguments, and no more.
package waits

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/stack"
)

// Run is what the targets of one run share: who holds the ends of pipes, and which
// thread waits for which. Its methods are safe for concurrent use.
type Run struct {
	procfs string
	graph  graph

	mu    sync.Mutex
	pipes *pipeEnds // nil before they were searched for
}

// NewRun starts a run with the procfs that is mounted there.
func NewRun(procfs string) *Run { return &Run{procfs: procfs} }

// language is what notes call this reader by, see runtimes.Reader.
const language = "waits"

// Finder makes the reader of a process.
func (r *Run) Finder() runtimes.Finder {
	return runtimes.Finder{Language: language, Find: r.find}
}

func (r *Run) find(t *runtimes.Target) (runtimes.Reader, error) {
	if !t.Wants.Waits && !t.Wants.Kernel {
		return nil, nil
	}
	rd := &reader{run: r, pid: t.PID, space: t.Space, core: t.Core, wants: t.Wants}
	rd.names.space, rd.names.memory = t.Space, t.Memory
	if t.Core {
		return rd, nil
	}
	dir, err := procfs.OpenPID(r.procfs, t.PID)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	rd.look(dir)
	return rd, nil
}

// reader reads what the threads of one process wait for.
type reader struct {
	run   *Run
	pid   int
	space *image.Space
	core  bool
	wants runtimes.Wants
	names functions

	before before         // what procfs told before the stop
	now    [2]int64       // CLOCK_REALTIME and CLOCK_MONOTONIC of the stop, in nanoseconds
	tids   []int          // all threads
	alive  map[int]bool   // these
	comm   map[int]string // of those that are wanted
	graph  graph          // of a core, by itself

	files *files        // after the stop; nil in a core
	local map[int]int   // TIDs as the process knows them to those of procfs; nil: the same
	done  []threadWaits // of the threads that were told so far
}

// threadWaits is a thread with what it waits for, for the search for deadlocks.
type threadWaits struct {
	tid  int
	wait wait
	in   asleep
}

// wait is what a thread waits for, and what only this package has to know of that.
type wait struct {
	stack.Wait
	// timed is set where the wait ends by itself.
	timed bool
	// all is set where Holders are all who can end the wait.
	all bool
}

// Language implements runtimes.Reader.
func (r *reader) Language() string { return language }

// Copy implements runtimes.Reader: it reads the words around futexes, and what the
// arguments of the other calls point to.
func (r *reader) Copy(s *process.Stopped) {
	r.tids = append(r.tids[:0], s.TIDs...)
	r.alive = make(map[int]bool, len(s.TIDs))
	for _, tid := range s.TIDs {
		r.alive[tid] = true
	}
	r.comm = make(map[int]string, len(s.Threads))
	r.done = nil
	if !r.wants.Waits {
		return
	}
	r.now = [2]int64{clock(unix.CLOCK_REALTIME), clock(unix.CLOCK_MONOTONIC)}
	var ranges []process.Range
	for i := range s.Threads {
		t := &s.Threads[i]
		r.comm[t.TID] = t.Name
		if t.HasCall && !t.Call.Ended {
			ranges = appendMemory(ranges, t.Arch, &t.Call)
		}
	}
	s.Memory.Prefetch(ranges)
}

func clock(id int32) int64 {
	var now unix.Timespec
	if unix.ClockGettime(id, &now) != nil {
		return 0
	}
	return now.Nano()
}

// Threads implements runtimes.Reader.
func (r *reader) Threads(p *stack.Process, threads []process.Unwound, m *process.Recorder) error {
	if !r.core {
		dir, err := procfs.OpenPID(r.run.procfs, r.pid)
		if err != nil {
			return nil // it has ended
		}
		defer dir.Close()
		r.files = newFiles(r.run, r.pid, dir)
		if r.wants.Waits {
			r.local = r.localTIDs(dir)
		}
	}
	for i := range threads {
		if i >= len(p.Threads) {
			break
		}
		t := &threads[i]
		if r.wants.Kernel && !r.core {
			r.kernel(&p.Threads[i], t)
		}
		if !r.wants.Waits {
			continue
		}
		if known := p.Threads[i].Waits; known != nil { // a language runtime knows better
			r.done = append(r.done, threadWaits{t.TID, r.runtimeWait(known), asleepIn(t)})
			continue
		}
		if w, ok := r.thread(&p.Threads[i], t, m); ok {
			p.Threads[i].Waits = &w.Wait
			r.done = append(r.done, threadWaits{t.TID, w, asleepIn(t)})
		}
	}
	return nil
}

// runtimeWait takes in what a language runtime knows of a thread's wait, and names whom it
// waits for.
func (r *reader) runtimeWait(w *stack.Wait) wait {
	named := false
	for i := range w.Holders {
		if h := &w.Holders[i]; h.Name == "" && h.PID == 0 && r.comm[h.TID] != "" {
			h.Name, named = r.comm[h.TID], true
		}
	}
	if named {
		before, _, _ := strings.Cut(w.Text, " held by ")
		w.Text = before + " held by " + parties(w.Holders)
	}
	return wait{Wait: *w, all: len(w.Holders) > 0}
}

// Process implements runtimes.Reader: it finds deadlocks.
func (r *reader) Process(p *stack.Process, _ *process.Recorder) error {
	if r.before.refusal != "" && r.wants.Kernel && !r.core {
		p.Notes = append(p.Notes, stack.Note{Kind: "kernel", Text: r.before.refusal, Missing: true})
	}
	if !r.wants.Waits {
		return nil
	}
	r.tasks(p)
	g := &r.run.graph
	if r.core {
		g = &r.graph
	}
	p.Deadlocks = append(p.Deadlocks, g.add(r.node())...)
	return nil
}

// tasks tells of which files the descriptors are that goroutines and the like wait for.
func (r *reader) tasks(p *stack.Process) {
	if r.core {
		return
	}
	dir, err := procfs.OpenPID(r.run.procfs, r.pid)
	if err != nil {
		return // it has ended
	}
	defer dir.Close()
	f := newFiles(r.run, r.pid, dir)
	for _, tasks := range [][]stack.Task{p.Goroutines, p.Tasks} {
		for i := range tasks {
			w := tasks[i].Waits
			if w == nil || w.FD == nil {
				continue
			}
			o, ok := f.object(*w.FD)
			if !ok {
				continue
			}
			w.Kind, w.Object = o.kind, o.text
			about := ": " + o.text
			if w.Holders = f.peers(o.socket); len(w.Holders) > 0 {
				about += " connected to " + parties(w.Holders)
			}
			name := "fd " + strconv.Itoa(*w.FD)
			w.Text = strings.Replace(w.Text, name, name+about, 1)
		}
	}
}

// node is the process for the search for deadlocks.
func (r *reader) node() *processNode {
	n := &processNode{pid: r.pid, tids: r.tids, waits: make(map[int]*threadWaits, len(r.done))}
	if !r.core {
		n.procfs = r.run.procfs
	}
	for i := range r.done {
		n.waits[r.done[i].tid] = &r.done[i]
	}
	n.names = r.comm
	return n
}

// thread tells what one thread waits for.
func (r *reader) thread(model *stack.Thread, t *process.Unwound, m *process.Recorder) (w wait, ok bool) {
	state := byte(0)
	if t.NotStopped != "" && r.files != nil {
		if st, err := r.files.dir.Stat("task/" + strconv.Itoa(t.TID) + "/stat"); err == nil {
			state = st.State
		}
	}
	if c, known := r.call(t); known {
		d := decoder{reader: r, t: t, m: m, call: c, name: t.Arch.Syscalls.Name(c.Nr)}
		w, ok = d.decode()
	}
	if text := r.before.stopped; text != "" {
		return held(text, w, ok), true
	}
	switch state {
	case 'D':
		if len(model.Kernel) == 0 {
			model.Kernel = r.sleeping(t)
		}
		return held("uninterruptible sleep", w, ok), true
	case 't':
		return held("ptrace stop", w, ok), true
	}
	return w, ok
}

// held says that something else than the system call keeps a thread.
func held(what string, w wait, known bool) wait {
	if known {
		w.Text = what + ", in " + w.Text
	} else {
		w.Text = what
	}
	w.Call = what
	w.timed = true // another one continues it
	return w
}

// call is the system call that a thread sleeps in.
func (r *reader) call(t *process.Unwound) (c arch.Call, ok bool) {
	if !t.HasCall || t.Arch == nil {
		return c, false
	}
	c = t.Call
	pc, known := t.Regs.Get(t.Arch.PC)
	if c.Unproved && (!known || !r.entersKernel(t.Arch, pc-uint64(c.Behind))) {
		if !known || !r.entersKernel(t.Arch, pc-uint64(len(t.Arch.Syscalls.Instructions[0]))) {
			return c, false
		}
		c.Ended = true
	}
	if c.Lost || c.Ended {
		// The thread has called again since: that it is in the same call, from the
		// same place, shows that it was going to.
		now, ok := r.files.syscall(t.TID)
		was, _ := t.Regs.Get(t.Arch.SP)
		switch {
		case ok && now.nr == c.Nr && now.sp == was && now.pc == pc:
			c.Args, c.Lost, c.Ended = now.args, false, false
		case c.Ended:
			return c, false
		}
	}
	if known && t.Arch.Syscalls.Name(c.Nr) == "restart_syscall" {
		if nr, ok := r.restarted(t, pc); ok {
			c.Nr = nr
		}
	}
	return c, true
}

// entersKernel reports whether the instruction at pc does.
func (r *reader) entersKernel(a *arch.Arch, pc uint64) bool {
	for _, in := range a.Syscalls.Instructions {
		b := make([]byte, len(in))
		if r.space.Text(pc, b) == len(b) && string(b) == string(in) {
			return true
		}
	}
	return false
}

// party names a thread or a process for people: thread 1236 "worker".
func party(p *stack.Party) string {
	kind, id := "thread ", p.TID
	if p.TID == 0 {
		kind, id = "process ", p.PID
	}
	text := kind + strconv.Itoa(id)
	if p.Name != "" {
		text += " \"" + escape.Name(p.Name) + "\""
	}
	if p.TID != 0 && p.PID != 0 {
		text += " of process " + strconv.Itoa(p.PID)
	}
	if p.FD != nil {
		text += " (fd " + strconv.Itoa(*p.FD) + ")"
	}
	return text
}

// maxNamed is how many parties or descriptors a line names.
const maxNamed = 4

// parties names several.
func parties(list []stack.Party) string {
	text := ""
	for i := range list {
		switch {
		case i == maxNamed:
			return text + " and " + strconv.Itoa(len(list)-i) + " more"
		case i > 0:
			text += ", "
		}
		text += party(&list[i])
	}
	return text
}
