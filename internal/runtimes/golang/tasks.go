//go:build linux

package golang

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/trace/walked"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/stack"
)

// join tells the threads which goroutines they run, and marks the runtime's own frames.
func (p *program) join(out *stack.Process, threads []process.Unwound, now int64) {
	byTID := make(map[int]int, len(threads))
	for i := range threads {
		byTID[threads[i].TID] = i
		p.names.mark(out.Threads[i].Frames)
	}
	for i := range p.taken.gs {
		g := &p.taken.gs[i]
		at := -1
		if m, ok := p.taken.running(g); ok {
			if at, ok = byTID[m.tid]; !ok {
				at = p.threadOf(g, m, threads)
			}
		} else if m := g.g.word(p.lay.gLockedM); m != 0 {
			// The thread waits for it, and its stack leads on to the goroutine's.
			if i, ok := byTID[p.taken.ms[m].tid]; ok && leadsTo(&threads[i].Stack, g) {
				at = i
			}
		}
		if at >= 0 && out.Threads[at].Goroutine == 0 {
			t := p.task(g, now)
			g.joined = true
			out.Threads[at].Goroutine = t.ID
			out.Threads[at].Runtimes = append(out.Threads[at].Runtimes, stack.RuntimeThread{Language: Language, Facts: []string{runs(&t)}})
		}
	}
}

// leadsTo reports whether a thread's stack holds the frame where a goroutine goes on.
func leadsTo(s *unwind.Stack, g *goroutine) bool {
	lo, hi := g.g.bounds()
	return slices.ContainsFunc(s.Frames, func(f unwind.Frame) bool {
		return f.PC == g.at.pc && f.SP >= lo && f.SP < hi
	})
}

// runs says which goroutine a thread runs.
func runs(t *stack.Task) string {
	text := fmt.Sprintf("runs goroutine %d [%s]", t.ID, t.State)
	if t.CreatedBy != "" {
		text += " created by " + t.CreatedBy
	}
	if t.Creator != 0 {
		text += fmt.Sprintf(" (goroutine %d)", t.Creator)
	}
	if t.Thread != 0 {
		text += " locked to this thread"
	}
	return text
}

// threadOf finds the thread that runs g by its stack, -1 for none: in another PID
// namespace the runtime knows other numbers of its threads than bt.
func (p *program) threadOf(g *goroutine, m machine, threads []process.Unwound) int {
	lo, hi := g.g.bounds()
	for i := range threads {
		t := &threads[i].Thread
		if t.Arch == nil || !t.HasRegs {
			continue
		}
		sp, _ := t.Regs.Get(t.Arch.SP)
		if sp >= lo && sp < hi || sp >= m.g0[0] && sp < m.g0[1] {
			return i
		}
	}
	return -1
}

// task is what is known of a goroutine beside its stack and what it waits for.
func (p *program) task(g *goroutine, now int64) stack.Task {
	l := p.lay
	t := stack.Task{
		ID:        int64(g.g.wide(l.gID)),
		State:     p.state(g),
		CreatedBy: p.names.function(g.g.word(l.gGoPC)),
		Creator:   int64(g.g.wide(l.gCreator)),
	}
	if t.ID == 1 || isRuntime(t.CreatedBy) || t.Creator < 0 {
		t.CreatedBy, t.Creator = "", 0 // the runtime's own affair
	}
	status, _ := g.g.status()
	if since := int64(g.g.wide(l.gWaitSince)); (status == statusWaiting || status == statusSyscall) && since > 0 && since < now {
		t.Minutes = (now - since) / 60e9
	}
	if m := g.g.word(l.gLockedM); m != 0 {
		t.Thread = p.taken.ms[m].tid
	}
	return t
}

// state is what the runtime prints for the state of a goroutine (goroutineheader in
// runtime/traceback.go).
func (p *program) state(g *goroutine) string {
	status, scan := g.g.status()
	text := statuses[status]
	if text == "" {
		text = "???"
	}
	if r := p.reason(g); r != "" {
		text = r
	}
	if status == statusLeaked {
		text += " (leaked)"
	}
	if scan {
		text += " (scan)"
	}
	if g.g.word(p.lay.gBubble) == 0 {
		return text
	}
	if r := int(g.g.byte(p.lay.gWaitReason)); status == statusWaiting && r < len(p.reasons) && p.reasons[r].idle && !strings.HasSuffix(text, "(durable)") {
		text += " (durable)"
	}
	return text
}

// bubble is what the runtime prints of the bubble of testing/synctest that a goroutine
// is in.
func (p *program) bubble(g *goroutine, m *process.Recorder) string {
	b := g.g.word(p.lay.gBubble)
	if b == 0 || p.lay.bubbleID < 0 {
		return ""
	}
	id, ok := m.Word(p.mask(b+uint64(p.lay.bubbleID)), p.lay.word)
	if !ok {
		return ""
	}
	return fmt.Sprintf(", synctest bubble %d", id)
}

// labelSet is what could be read of a set of labels.
type labelSet struct {
	list []stack.Label
	all  bool
}

// goroutines adds those that no thread runs. The error tells what could not be read.
func (p *program) goroutines(out *stack.Process, m *process.Recorder, r *reader) (failed error) {
	w := walker{program: p, reader: r, memory: m, unwind: unwind.New(p.arch, r.target.Space), same: make(map[uint64][]*walk), seed: maphash.MakeSeed()}
	labels := make(map[uint64]labelSet)
	unlabelled := 0
	first := len(out.Goroutines)
	waits := waitsOf{program: p, memory: m, now: r.now, waiters: make(map[uint64]int)}
	for i := range p.taken.gs {
		g := &p.taken.gs[i]
		if g.joined {
			continue
		}
		t := p.task(g, r.now)
		t.State += p.bubble(g, m)
		if a := g.g.word(p.lay.gLabels); a != 0 {
			set, known := labels[a]
			if !known {
				set.list, set.all = p.labels(m, a)
				labels[a] = set
			}
			t.Labels = set.list
			if !set.all {
				unlabelled++
			}
		}
		s := w.walk(g)
		t.Frames, t.End = s.frames, s.end
		t.System = p.system(g, s)
		t.Waits = waits.of(g, s)
		out.Goroutines = append(out.Goroutines, t)
	}
	if unlabelled > 0 {
		failed = p.fail("labels of %d of them cannot be read", unlabelled)
	}
	waits.count(out.Goroutines[first:])
	slices.SortStableFunc(out.Goroutines, func(a, b stack.Task) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return failed
}

// system reports whether a goroutine is the runtime's own: one whose function is in
// package runtime, and that does not call the program's code at the moment, as those
// do that run finalizers (isSystemGoroutine in runtime/traceback.go).
func (p *program) system(g *goroutine, s *walk) bool {
	switch name := p.names.start(g.g.word(p.lay.gStartPC)); name {
	case "runtime.main", "runtime.corostart", "runtime.handleAsyncEvent":
		return false
	default:
		return strings.HasPrefix(name, "runtime.") && !s.user
	}
}

// walk is a stack that goroutines have in common.
type walk struct {
	frames []stack.Frame
	end    stack.End
	user   bool     // there is code on it that is not the runtime's
	names  []string // of the functions of the innermost frames
}

// walker unwinds the stacks of goroutines. Those that are alike share their frames.
type walker struct {
	*program
	reader *reader
	memory *process.Recorder
	unwind *unwind.Walker
	buf    []unwind.Frame
	same   map[uint64][]*walk
	seed   maphash.Seed
}

func (w *walker) walk(g *goroutine) *walk {
	u := process.Unwound{Thread: process.Thread{Arch: w.arch}}
	if g.at.sp != 0 && g.at.pc != 0 {
		u.HasRegs = true
		u.Regs.Set(w.arch.SP, g.at.sp)
		u.Regs.Set(w.arch.PC, g.at.pc)
		if g.at.bp != 0 {
			u.Regs.Set(w.arch.FP, g.at.bp)
		}
		if ret := w.arch.Entry.Return; ret.InReg && g.at.lr != 0 {
			u.Regs.Set(ret.Reg, g.at.lr)
		}
		if w.arch.Go.G < arch.MaxRegs {
			u.Regs.Set(w.arch.Go.G, g.addr)
		}
		mem := piece{start: g.at.sp, data: g.stack, rest: w.memory}
		u.Stack = w.unwind.WalkInto(w.buf, unwind.Start{
			Regs: u.Regs, MaxFrames: w.reader.target.Wants.MaxFrames,
			Called: !w.names.isStart(g.at.pc), // one that has not run yet is at the start of its function
		}, &mem)
		w.buf = u.Stack.Frames
		if u.Stack.End == unwind.EndNoMemory && g.cut {
			u.Stack.End = unwind.EndMaxCopy
		}
	}
	end := walked.End(&u, w.reader.target.Space, w.lay.word)
	if g.cut && len(g.stack) == 0 { // all of them alike
		end = stack.End{Reason: stack.MaxPause, Text: "the process had to go on before this stack was copied (--max-pause)"}
	}
	var h maphash.Hash
	h.SetSeed(w.seed)
	for i := range u.Stack.Frames {
		maphash.WriteComparable(&h, u.Stack.Frames[i].PC)
	}
	maphash.WriteComparable(&h, end)
	key := h.Sum64()
	for _, s := range w.same[key] {
		if s.end == end && slices.EqualFunc(s.frames, u.Stack.Frames, func(a stack.Frame, b unwind.Frame) bool { return a.PC == b.PC && a.Exact == b.Exact }) {
			return s
		}
	}
	s := &walk{frames: walked.Frames(&u), end: end}
	for i := range s.frames {
		s.frames[i].SP = 0 // each has its own
	}
	s.user = w.names.mark(s.frames)
	for i := range s.frames[:min(len(s.frames), 8)] {
		s.names = append(s.names, w.names.functions(&s.frames[i])...)
	}
	w.same[key] = append(w.same[key], s)
	return s
}
