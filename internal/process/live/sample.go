//go:build linux

package live

import (
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

// Sample is a process at one moment of an Attachment. It is valid until the next one.
type Sample struct {
	Threads []Sampled
	// Pause is how long the threads stood still that had to: from when the first of
	// them did, as far as that is known, to the release of the last. It is 0 when none
	// had to. Where they were taken apart it is the longest time of any.
	Pause   time.Duration
	Stopped int               // how many threads had to
	Lost    int               // threads that run and did not stop in time
	Also    *process.Recorder // what AttachOptions.Also has read; nil if it was not called
}

// Sampled is a thread of a Sample.
type Sampled struct {
	Thread
	// Same tells that the thread sleeps as it did when it was in a sample last: its
	// registers and its stack have not changed. It was not stopped for that.
	Same bool
	// Still tells that, more than that, the thread has not run since the sample before:
	// nothing of it has changed, also what a language runtime keeps of it elsewhere.
	Still bool
}

// Memory returns the copied memory of Threads[i], for one goroutine.
func (s *Sample) Memory(i int) unwind.Memory { return &copied{segs: s.Threads[i].segs} }

// How long a sample waits for threads that do not stop. The others stand still
// meanwhile, again and again: it is much less than for a single picture. It costs nothing
// as long as none stands still, as when a thread waits for a CPU.
const (
	sampleGraceD     = time.Millisecond
	sampleGraceOther = 10 * time.Millisecond
	sampleGraceMore  = 100 * time.Microsecond // for each thread
	sampleGraceAlone = 50 * time.Millisecond
)

// Bounds of the stacks that are kept, to tell whether a thread still sleeps as it did.
const (
	maxKept      = 64 << 10  // bytes of a thread
	maxKeptTotal = 128 << 20 // bytes of all threads
	maxArena     = 64 << 20  // bytes that are ready for copies
)

// Names of threads and what Wait could not see are looked at again after this long.
const lookAgain = time.Second

// Sample takes a picture. mm are the process's mappings as read before; they only guide
// the copying. It stops the threads that have run since they were looked at last; those
// that sleep as they did are left alone, since what interrupts them is not always
// unnoticed: epoll_wait and others return EINTR. With OnCPU those that sleep are left
// out. The error is ErrRenewed, or that the process has ended.
//
// With apart each thread goes on as soon as it has been copied: none waits until another
// one has got the CPU that it takes to stop. The picture is of one moment for each thread,
// and not for all. What Also reads has to be of one moment: it is not called.
func (a *Attachment) Sample(mm *maps.Map, apart bool) (*Sample, error) {
	for n := len(a.threads) + 1; n > 0 && a.end == nil && a.event(unix.WNOHANG); n-- {
	}
	if a.end != nil {
		return nil, a.p.exited(nil)
	}
	a.tidy()
	t := a.t
	t.begun(mm)
	chosen, resting := a.choose()
	execs := a.execs
	s := &Sample{}
	start := time.Now()
	if a.base.MaxPause > 0 {
		t.budget.deadline = start.Add(a.base.MaxPause)
	}
	arena := t.arena
	a.longest, a.copied = 0, 0
	from := a.stop(chosen, apart)
	rest := slices.ContainsFunc(chosen, func(f *follower) bool { return f.halted })
	t.registers()
	t.copyStacks()
	t.walk()
	moved := func(f *follower) bool { return !f.still }
	if !apart && (len(chosen) > 0 || slices.ContainsFunc(resting, moved)) {
		t.also()
	}
	for _, f := range chosen {
		a.release(f)
	}
	s.Pause, s.Stopped = a.longest, len(chosen)
	if rest {
		s.Pause = max(s.Pause, time.Since(from))
	}
	if apart {
		t.arena = arena
		if a.copied > len(arena) {
			t.arena = touched(min(a.copied+a.copied/4, maxArena))
		}
	}
	a.suspend()
	s.Also = t.recorder
	if a.execs != execs {
		return nil, ErrRenewed
	}
	a.result(s, chosen, resting)
	return s, nil
}

// begun makes the tracer ready for one more sample.
func (t *tracer) begun(mm *maps.Map) {
	if t.mm != mm {
		t.mm, t.stack = mm, nil
		for i := range mm.Entries {
			if mm.Entries[i].Path == "[stack]" {
				t.stack = &mm.Entries[i]
			}
		}
	}
	t.threads, t.iov, t.recorder = t.threads[:0], t.iov[:0], nil
	t.budget = budget{room: maxFetchedTotal}
	t.attached, t.renewed = false, false
}

// tidy drops the threads that have ended, and now and then looks whether there are any
// that were missed.
func (a *Attachment) tidy() {
	a.order = slices.DeleteFunc(a.order, func(f *follower) bool { return f.ended })
	if time.Since(a.listed) >= lookAgain {
		a.seizeNew()
	}
	a.t.dumping = false
	if a.crashing {
		st, err := a.p.dir.Status("status")
		a.t.dumping = err == nil && dumpsCore(st)
		a.crashing = a.t.dumping
	}
}

// choose fills the tracer with the threads of the sample, and returns those that have
// to be stopped for it, and those that sleep as they did, in the same order.
func (a *Attachment) choose() (chosen, resting []*follower) {
	t := a.t
	for _, f := range a.order {
		if f.ended || t.dumping {
			continue
		}
		switch a.look(f) {
		case lookStop:
			chosen = append(chosen, f)
		case lookRests:
			resting = append(resting, f)
		}
	}
	for _, f := range chosen {
		t.threads = append(t.threads, tracee{tid: f.tid, name: f.name, st: seized, wanted: true})
	}
	// Those that must not be interrupted are told from what they sleep in.
	if !a.o.OnCPU {
		for i := range t.threads {
			th := &t.threads[i]
			if th.st = found; !t.withhold(th) {
				th.st = seized
			}
		}
	}
	for _, f := range resting {
		th := tracee{tid: f.tid, name: f.name, st: rests, wanted: true, out: f.kept}
		t.threads = append(t.threads, th)
	}
	return chosen, resting
}

// stop interrupts the chosen threads, which are the first of the tracer's, and waits
// until they stand still. It returns when the first of them did, or a little earlier: a
// thread that waits for a CPU runs no less for being told to stop.
func (a *Attachment) stop(chosen []*follower, apart bool) (from time.Time) {
	t := a.t
	for i, f := range chosen {
		th := &t.threads[i]
		switch {
		case th.st != seized:
		case f.asked:
			th.st = stuck // it was told before, and has not stopped for that since
		case interrupt(f.tid) != 0:
			th.st = over // it is ending
		default:
			f.asked = true
		}
	}
	begin := time.Now()
	stands := false
	from = begin
	for spins := 0; ; spins++ {
		now := time.Now()
		pending, progress := a.pollAll(chosen)
		if stands = stands || progress; !stands {
			from = now
		}
		if apart && progress {
			a.takeApart(chosen, from)
			stands = false
		}
		if pending == 0 {
			return from
		}
		if progress {
			begin = time.Now()
			if spins < 1000 {
				a.yield()
				continue
			}
		}
		waited := now.Sub(begin)
		switch {
		case waited < 200*time.Microsecond:
			a.yield()
		case waited < sampleGraceD:
			nap(50 * time.Microsecond)
		case stands && now.Sub(from) >= sampleGraceOther+time.Duration(len(chosen))*sampleGraceMore,
			!stands && waited >= sampleGraceAlone, a.asleepAll(chosen):
			t.giveUp(0)
			return from
		default:
			nap(200 * time.Microsecond)
		}
	}
}

// yield lets others have the CPU.
func (a *Attachment) yield() {
	if a.first {
		nap(5 * time.Microsecond)
	} else {
		yield()
	}
}

// takeApart copies the threads that stand still by now, and lets them go on. from is when
// the first of them was seen to run last.
func (a *Attachment) takeApart(chosen []*follower, from time.Time) {
	t := a.t
	all, group := t.threads, a.group[:0]
	var index []int
	for i := range chosen {
		if all[i].st == halted {
			group, index = append(group, all[i]), append(index, i)
		}
	}
	t.threads = group
	t.registers()
	t.copyStacks()
	t.walk()
	used := 0
	for k, i := range index {
		th := &group[k]
		used += int(th.hi - th.lo)
		th.lo, th.hi, th.sp = 0, 0, 0
		if th.st == halted {
			th.st = released
		}
		all[i] = *th
		a.release(chosen[i])
	}
	if len(index) > 0 {
		a.longest = max(a.longest, time.Since(from))
	}
	// What the others are copied to comes behind that.
	a.copied += used
	t.arena = t.arena[min(used, len(t.arena)):]
	t.threads, a.group = all, group
}

// pollAll looks at the chosen threads that are to stop.
func (a *Attachment) pollAll(chosen []*follower) (pending int, progress bool) {
	for i, f := range chosen {
		th := &a.t.threads[i]
		if th.st != seized && th.st != stuck {
			continue
		}
		st, status := pollStatus(f.tid)
		switch st {
		case running:
			if th.st == seized {
				pending++
			}
			continue
		case stopped:
			th.st = halted
			f.halted, f.status = true, status
			a.note(f)
		case ended:
			th.st = over
			if f.tid != a.p.PID {
				collect(f.tid, unix.WEXITED)
				a.forget(f)
			}
		case lost:
			th.st = over
			if f.tid != a.p.PID {
				a.forget(f)
			}
		}
		progress = true
	}
	return pending, progress
}

// asleepAll reports whether all that have not stopped sleep where no signal reaches them.
func (a *Attachment) asleepAll(chosen []*follower) bool {
	for i := range chosen {
		if th := &a.t.threads[i]; th.st == seized {
			if st, err := a.t.stat(th.tid); err != nil || st.State != 'D' {
				return false
			}
		}
	}
	return true
}

// result makes the Sample of what the tracer holds, and keeps the stacks of threads
// that may sleep on as they are.
func (a *Attachment) result(s *Sample, chosen, resting []*follower) {
	t := a.t
	s.Threads = make([]Sampled, 0, len(t.threads))
	for i := range t.threads {
		th := &t.threads[i]
		if th.st == over || th.st == denying {
			continue
		}
		if th.st == stuck && !th.out.HasRegs {
			s.Lost++
			continue
		}
		th.out.TID = th.tid
		if i < len(chosen) {
			f := chosen[i]
			a.rename(f)
			th.out.Name = f.name
			a.keep(f, th)
		}
		out := Sampled{Thread: th.out, Same: th.st == rests}
		if i >= len(chosen) {
			out.Still = resting[i-len(chosen)].still
		}
		s.Threads = append(s.Threads, out)
	}
}

// rename reads the name of a thread, now and then: programs change it.
func (a *Attachment) rename(f *follower) {
	if now := time.Now(); f.named.IsZero() || now.Sub(f.named) >= lookAgain {
		if name := a.t.comm(f.tid); name != "" || f.name == "" {
			f.name, f.named = name, now
		}
	}
}

// schedOf names the file that counts how often a thread was given a CPU.
func schedOf(tid int) string { return strconv.Itoa(tid) + "/schedstat" }
