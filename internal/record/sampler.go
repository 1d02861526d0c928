//go:build linux

package record

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/internal/trace/walked"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// sampler records one process. All but its progress is of the thread that traces the
// process.
type sampler struct {
	o       *Options
	session *session.Session
	p       *live.Process
	a       *live.Attachment
	pace    *pacer

	view     *view
	retired  *view         // the one before, until a sample is done
	readAt   time.Time     // when the maps were read last
	readCost time.Duration // and how long that took

	tables  *tables
	threads *threads
	pending []pending // what was seen since the maps were read last

	key   []byte
	begin time.Time
	stats Stats
	live  progress
}

// pending is a stack that counts when the maps are still the same.
type pending struct {
	thread *thread
	stack  int32
	at     int64
}

// progress is what others may know while it goes on.
type progress struct {
	samples, threads, stopped atomic.Int64
}

// mapsShare is how much of the time reading the maps may take.
const mapsShare = 1.0 / 16

// step is how often it is looked whether the recording is to end.
const step = 50 * time.Millisecond

// run records until the process ends or stop reports true.
func (s *sampler) run(a *live.Attachment, stop func() bool) {
	s.a = a
	s.begin = time.Now()
	s.pace = newPacer(s.o.Hz, s.o.MaxShare, s.begin)
	next := s.begin
	for !stop() {
		now := time.Now()
		if s.o.Duration > 0 && now.Sub(s.begin) >= s.o.Duration {
			break
		}
		until := next
		if limit := now.Add(step); until.After(limit) {
			until = limit
		}
		if !a.Wait(until) {
			break
		}
		if time.Now().Before(next) {
			continue
		}
		at := time.Now()
		stood, ok := s.sample(at)
		if !ok {
			break
		}
		next = s.pace.next(time.Now(), stood)
	}
	s.end()
}

// aside does what takes longer on another thread. The process runs meanwhile, and what
// it stops for is seen to.
func (s *sampler) aside(f func()) {
	done := make(chan struct{})
	go guard.Run(func() {
		defer close(done)
		f()
	})
	for s.a.Wait(time.Now().Add(asideStep)) {
		select {
		case <-done:
			return
		default:
		}
	}
	<-done
}

const asideStep = 500 * time.Microsecond

// end takes in what is left.
func (s *sampler) end() {
	s.stats.Time = time.Since(s.begin)
	s.stats.Execs = s.a.Execs()
	s.stats.Ended = s.a.Ended()
	s.stats.Refused = s.a.Refused()
	s.commit(nil)
	s.stats.Threads = s.threads.seen
	s.stats.Lowered, s.stats.Late = s.pace.lowered, s.pace.late
}

// finish names what has no name yet. The process is not traced any more.
func (s *sampler) finish() {
	if s.view != nil {
		s.view.name(s.tables)
	}
	s.stats.Full = s.tables.full
}

// walkStopped follows a stack while the process stands still.
func (s *sampler) walkStopped(t *process.Thread, m unwind.Memory) {
	s.view.walk(t, m, s.view.parsed, s.view.space.Parsed(), s.o.MaxFrames)
}

// also has the readers of language runtimes copy what they need.
func (s *sampler) also(st *process.Stopped) {
	if !s.view.set.Empty() {
		s.view.set.Copy(st)
	}
}

func (s *sampler) attachOptions() live.AttachOptions {
	return live.AttachOptions{
		Arches: all.Native(), OnCPU: s.o.OnCPU, MaxPause: maxStop,
		Walk: s.walkStopped, Also: s.also,
	}
}

// maxStop is how long one sample may stop the process.
const maxStop = time.Second

// sample takes one sample, and returns how long the process stood still for it. It is
// false when the process has ended.
func (s *sampler) sample(at time.Time) (stood time.Duration, ok bool) {
	if s.view == nil {
		text, err := s.p.Maps()
		ok := false
		if err == nil {
			s.aside(func() { ok = s.renew(text) })
		}
		if !ok {
			// In the middle of execve, or ended: the next sample will tell.
			return 0, s.a.Ended() == nil
		}
	}
	if v := s.view; v.moving && time.Since(v.renewed) >= walkerAge {
		v.newWalkers()
	}
	for !garbage.hold() {
		if !s.a.Wait(time.Now().Add(asideStep)) {
			return 0, false
		}
	}
	taken, err := s.a.Sample(s.view.mm, s.view.set.Empty())
	garbage.release()
	switch {
	case errors.Is(err, live.ErrRenewed):
		s.forget()
		return 0, true
	case err != nil:
		return 0, false
	}
	s.stats.add(taken)
	s.live.samples.Add(1)
	s.live.threads.Store(int64(s.a.Threads()))
	s.live.stopped.Add(int64(taken.Pause))
	s.aside(func() {
		s.look(taken, at)
		garbage.collect()
	})
	s.sweep()
	return taken.Pause, true
}

// look takes in a sample, after a look at what is mapped by now: with each sample where
// that is quick, and where a stack leads to code that is not known.
func (s *sampler) look(taken *live.Sample, at time.Time) {
	set := s.view.set // whose readers have looked at the stopped process
	since := time.Since(s.readAt)
	read := since >= time.Duration(float64(s.readCost)/mapsShare)
	if read && !s.reread() {
		return
	}
	sure := read || since < 2*s.readCost
	if !s.take(taken, set, at, sure) && s.reread() {
		s.take(taken, set, at, true)
	}
	if s.retired != nil {
		s.retired.close()
		s.retired = nil
	}
}

// renew begins a view of what is mapped now.
func (s *sampler) renew(text []byte) bool {
	v, err := newView(s.session, s.p, text, s.o.Native, s.o.MaxFrames)
	if err != nil || len(v.mm.Entries) == 0 {
		return false
	}
	if s.view != nil {
		s.view.name(s.tables)
		if s.retired != nil {
			s.retired.close()
		}
		s.retired = s.view // a sample may still need its files
	}
	if v.gate != nil && s.stats.Gate == nil {
		s.stats.Gate = v.gate
	}
	s.view = v
	s.stats.Views++
	return true
}

// forget drops the view of a process that has called execve.
func (s *sampler) forget() {
	s.commit(nil)
	if v := s.view; v != nil {
		s.view = nil
		s.aside(func() {
			v.name(s.tables)
			v.close()
		})
	}
	s.readCost = 0
}

// reread reads the maps again. What was seen since the last reading counts, as far as
// both agree. It is false where there is nothing to read.
func (s *sampler) reread() bool {
	begin := time.Now()
	text, err := s.p.Maps()
	s.readAt = time.Now()
	s.readCost = s.readAt.Sub(begin)
	if err != nil {
		return true // what was read before stands
	}
	if s.view.sameCode(text) {
		s.commit(nil)
		return true
	}
	mm, err := maps.Parse(text)
	if err != nil {
		return true
	}
	s.commit(s.view.replaced(mm))
	return s.renew(text)
}

// commit counts what is pending, but for stacks with places that were replaced.
func (s *sampler) commit(replaced map[int32]bool) {
	for _, p := range s.pending {
		if len(replaced) > 0 && s.touches(p.stack, replaced) {
			s.stats.Unsure++
			continue
		}
		s.threads.count(p.thread, p.stack, p.at)
	}
	s.pending = s.pending[:0]
}

func (s *sampler) touches(n int32, places map[int32]bool) bool {
	for _, p := range s.tables.order[n].places() {
		if places[p] {
			return true
		}
	}
	return false
}

// take counts the stacks of a sample. set is what the readers of the sample are in. With
// sure unset it counts nothing, and is false, where a stack leads to code that the maps do
// not have: they may be older than the sample.
func (s *sampler) take(taken *live.Sample, set *runtimes.Set, at time.Time, sure bool) bool {
	v := s.view
	walkers, code := v.walkers, unwind.Code(v.space)
	if wrapped := set.Code(v.space, taken.Also); wrapped != unwind.Code(v.space) {
		walkers, code = make(map[*arch.Arch]*unwind.Walker), wrapped
	}
	var same []*thread
	var list []process.Unwound
	var whose []*thread
	for i := range taken.Threads {
		t := &taken.Threads[i]
		th := s.threads.of(t.TID, t.Name)
		if s.isSame(th, t, set) {
			same = append(same, th)
			continue
		}
		u := process.Unwound{Thread: t.Thread.Thread}
		u.Stack = v.walk(&u.Thread, taken.Memory(i), walkers, code, s.o.MaxFrames)
		cut(&u.Stack, t.Cut)
		if !sure && u.HasRegs && v.unknown(&u.Stack) {
			return false
		}
		list, whose = append(list, u), append(whose, th)
	}
	offset := at.Sub(s.begin).Nanoseconds()
	for _, th := range same {
		s.count(th, th.last, offset)
	}
	var model *stack.Process
	if taken.Also != nil && !set.Empty() {
		model = trace.Process(s.p.PID, "", 0, &snapshot.Stacks{Space: v.space, Threads: list})
		set.Threads(model, list, taken.Also)
	}
	for i, th := range whose {
		var m *stack.Thread
		if model != nil {
			m = &model.Threads[i]
		}
		n := s.intern(&list[i], m)
		th.last, th.view = n, v
		if n < 0 {
			s.stats.Dropped++
			continue
		}
		s.count(th, n, offset)
	}
	if len(v.fresh) >= maxFresh {
		v.name(s.tables)
	}
	return true
}

// isSame reports whether the stack of a thread is the one that was counted last. One that
// lacks frames is looked at again when there are other maps.
func (s *sampler) isSame(th *thread, t *live.Sampled, set *runtimes.Set) bool {
	switch {
	case th.last < 0:
		return false
	case t.Still:
		return th.view == s.view || s.tables.order[th.last].whole()
	}
	return t.Same && th.view == s.view && set.Empty()
}

// whole reports whether a stack lacks nothing.
func (c *chain) whole() bool {
	return c.notStopped == "" && (c.end.Reason == stack.Outermost || c.end.Reason == stack.Coroutine)
}

// cut tells a stack why its end was not copied.
func cut(s *unwind.Stack, why live.Cut) {
	if s.End != unwind.EndNoMemory {
		return
	}
	switch why {
	case live.CutByTime:
		s.End = unwind.EndMaxPause
	case live.CutBySize:
		s.End = unwind.EndMaxCopy
	}
}

func (s *sampler) count(t *thread, n int32, at int64) {
	if !s.tables.order[n].whole() {
		s.stats.Incomplete++
	}
	s.stats.Stacks++
	s.pending = append(s.pending, pending{t, n, at})
}

// sweep notes now and then which threads have ended.
func (s *sampler) sweep() {
	if s.stats.Samples%16 != 0 {
		return
	}
	for tid, t := range s.threads.living {
		if !s.a.Traces(tid) && !s.isPending(t) {
			s.threads.end(t)
		}
	}
}

func (s *sampler) isPending(t *thread) bool {
	for i := range s.pending {
		if s.pending[i].thread == t {
			return true
		}
	}
	return false
}

// intern returns the number of a stack, -1 where there is no room. m holds the frames
// with those of language runtimes; it is nil where there are none to look for.
func (s *sampler) intern(u *process.Unwound, m *stack.Thread) int32 {
	v, t := s.view, s.tables
	c := chain{notStopped: u.NotStopped}
	if u.HasCall && u.NotStopped == "" && !u.Call.Ended && !u.Call.Unproved && !s.o.OnCPU {
		c.call = true
	}
	if u.Arch != nil {
		c.wordSize = uint8(u.Arch.PtrSize)
	}
	if m != nil && len(m.Runtimes) > 0 {
		c.about = t.namesOf(about(m.Runtimes))
	}
	s.key = c.begin(s.key[:0], uint8(u.Stack.End), u.NotStopped != "")
	for i := range u.Stack.Frames {
		f := &u.Stack.Frames[i]
		var names []stack.Name
		var runtime bool
		if m != nil && i < len(m.Frames) {
			names, runtime = m.Frames[i].Names, m.Frames[i].Runtime
		}
		n := s.place(f, names, runtime)
		if n < 0 {
			return -1
		}
		s.key = append(s.key, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	n, fresh := t.stack(s.key, c)
	if fresh {
		wordSize := 8
		if u.Arch != nil {
			wordSize = u.Arch.PtrSize
		}
		t.order[n].end = walked.End(u, v.space, wordSize)
	}
	return n
}

// about is what a runtime says of a thread, as names: its name and its state.
func about(list []stack.RuntimeThread) []stack.Name {
	out := make([]stack.Name, len(list))
	for i := range list {
		out[i] = stack.Name{Language: list[i].Language, Symbol: list[i].Name, File: list[i].State}
	}
	return out
}

// place returns the number of the place of a frame, -1 where there is no room.
func (s *sampler) place(f *unwind.Frame, names []stack.Name, runtime bool) int32 {
	v, t := s.view, s.tables
	at := seen{pc: f.PC, exact: f.Exact}
	if f.Signal {
		at.signal = 1 + f.Signo
	}
	if len(names) == 0 {
		if n, ok := v.places[at]; ok {
			return n
		}
	}
	p := place{module: -1, addr: f.PC, exact: f.Exact, signal: at.signal, names: t.namesOf(names)}
	lookup := at.lookup()
	where := v.space.Locate(lookup)
	kept := names
	if where.Module != nil {
		p.module, p.addr = v.module(t, where.Module, where.Mapping), lookup-where.Mapping.Start+where.Mapping.Offset
		if where.Image != nil {
			p.addr = where.Link(lookup)
		}
	} else if kept = v.compiled(f, names); len(kept) > len(names) {
		p.names = t.namesOf(kept)
	}
	n, fresh := t.place(p)
	if n < 0 {
		return n
	}
	if fresh {
		t.frames[n] = walked.Frame(f)
		t.frames[n].SP = 0
		t.frames[n].Names, t.frames[n].Runtime = t.own(kept), runtime
		if where.Module != nil {
			v.fresh = append(v.fresh, named{n, f.PC})
		} else if len(kept) == 0 {
			t.frames[n].Miss = stack.Anonymous
			if where.Mapping == nil {
				t.frames[n].Miss = stack.Unmapped
			}
		}
	}
	if len(names) == 0 && where.Module != nil {
		v.places[at] = n
	}
	return n
}

// compiled adds to names what a JIT compiler calls code in memory of no file. It is
// asked each time: such code is moved, and its memory is used again.
func (v *view) compiled(f *unwind.Frame, names []stack.Name) []stack.Name {
	if n := len(names); n > 0 && names[n-1].Language == "" {
		return names // a runtime has said already
	}
	frames := []stack.Frame{{PC: f.PC, Exact: f.Exact}}
	v.sym.Frames(frames)
	return append(names[:len(names):len(names)], frames[0].Names...)
}
