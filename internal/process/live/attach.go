//go:build linux

package live

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

// Attachment is a process that is traced for a while, so that it can be looked at
// again and again. In between its threads run; what they stop for (signals, new
// threads, execve) is seen to in Wait. All its methods are called on the thread that
// Attach, or Command.Attached, calls run on.
//
// The kernel lets go of all threads when that thread ends, whatever it ends by:
// nothing stays stopped, and a signal that a thread was about to receive is delivered.
type Attachment struct {
	p    *Process
	o    AttachOptions
	base Options // for the tracer
	t    *tracer // takes the samples; its buffers serve again
	own  int     // the tracing thread
	// first tells that it goes before all threads of the usual kind: to wait for them it
	// has to sleep.
	first bool

	threads map[int]*follower  // by TID; those that are traced
	order   []*follower        // in the order in which they were met
	refused map[int]unix.Errno // why threads may not be traced, by TID
	group   []tracee           // room for takeApart
	longest time.Duration      // that threads which it took have stood still
	copied  int                // bytes that it has copied

	alarm *alarm   // nil: there is none, and waits are short sleeps
	w     *watcher // for a command; nil for a process that was there before

	end       *Ended // how the process ended; nil: it has not
	execs     int    // how many execves were seen
	listed    time.Time
	keptBytes int    // of stacks that are kept for comparison
	scratch   []byte // for what is compared with them
	groupStop int    // the signal of a group-stop that suspend has not seen yet
	crashing  bool   // a signal that may kill was delivered: a core may be written
}

// AttachOptions says what a sample is to hold; the fields are those of Options.
type AttachOptions struct {
	Arches   []*arch.Arch
	Walk     func(t *process.Thread, m unwind.Memory)
	Also     func(*process.Stopped)
	MaxStack int
	MaxPause time.Duration // of one sample

	// OnCPU leaves out threads that are not running, or ready to run.
	OnCPU bool
}

// follower is a thread that is traced.
type follower struct {
	tid   int
	name  string
	named time.Time // when name was read

	halted bool // it stands still, for what status says
	status int
	asked  bool // it was told to stop, and has not since
	ended  bool
	// grouped tells that it is in a group-stop, as after SIGSTOP.
	grouped bool

	sched   int    // its schedstat file, -1 if it is not open
	runs    uint64 // how often it had been given a CPU when it was looked at last
	asleep  bool   // it slept then
	resting bool   // and its stack was as in kept
	still   bool   // it has been resting since the sample before

	kept     Thread // as it was when it was stopped last, with a stack of its own
	keptIs   bool
	keptRoom []byte
	keptPC   uint64
	keptSP   uint64
}

// Attach traces all threads of a process, and calls run on the thread that traces
// them. When run returns they are let go. The error is that the process cannot be
// traced; run was not called then.
func (p *Process) Attach(o AttachOptions, run func(*Attachment)) error {
	if p.foreign {
		return p.otherNamespace()
	}
	quietStops()
	var err error
	own := onDyingThread(func() {
		a, aerr := newAttachment(p, o)
		if aerr != nil {
			err = aerr
			return
		}
		defer a.close()
		if err = a.seizeAll(); err == nil {
			run(a)
		}
	})
	waitThreadEnd(own)
	return err
}

func newAttachment(p *Process, o AttachOptions) (*Attachment, error) {
	a := &Attachment{p: p, o: o, threads: make(map[int]*follower), own: unix.Gettid()}
	a.base = Options{Arches: o.Arches, Walk: o.Walk, Also: o.Also, MaxStack: o.MaxStack, MaxPause: o.MaxPause}
	if a.base.MaxStack <= 0 {
		a.base.MaxStack = defaultMaxStack
	}
	t, err := p.newTracer(maps.New(nil), &a.base)
	if err != nil {
		return nil, err
	}
	a.t, t.options = t, traced
	a.first = goFirst()
	// The alarm is a comfort: without it waits are a series of short sleeps.
	a.alarm, _ = newAlarm()
	return a, nil
}

func (a *Attachment) close() {
	if a.alarm != nil {
		a.alarm.close()
	}
	for _, f := range a.order {
		f.close()
	}
	a.t.close()
}

func (f *follower) close() {
	if f.sched >= 0 {
		unix.Close(f.sched)
		f.sched = -1
	}
}

// traced are the options with which threads are seized: the kernel then traces the
// threads that they make, from their first instruction on, and tells of execve.
const traced = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC

// seizeAll seizes all threads. The threads that seized ones make are traced by
// themselves; so it is done when a listing shows none that is not known.
func (a *Attachment) seizeAll() error {
	for range maxRounds {
		if !a.seizeNew() {
			break
		}
	}
	switch {
	case len(a.threads) > 0:
		return nil
	case len(a.refused) > 0:
		for tid, errno := range a.refused {
			return a.p.refused("ptrace of "+strconv.Itoa(a.p.PID), tid, errno)
		}
	}
	return a.p.exited(nil)
}

// seizeNew seizes the threads that are listed and not known, and reports whether it has
// found any more.
func (a *Attachment) seizeNew() bool {
	a.listed = time.Now()
	tids, err := a.t.task.List()
	if err != nil {
		return false
	}
	t := a.t
	t.threads, t.known = t.threads[:0], make(map[int]int)
	for _, tid := range tids {
		if a.threads[tid] == nil {
			t.add(tid)
		}
	}
	t.seizeAll(0)
	before := a.refused
	a.refused = make(map[int]unix.Errno)
	more := false
	for i := range t.threads {
		switch th := &t.threads[i]; th.st {
		case seized:
			a.meet(th.tid)
			more = true
		case denying:
			if st, err := t.stat(th.tid); err == nil && !st.Dead() && !t.ours(th.tid) {
				_, known := before[th.tid]
				more = more || !known
				a.refused[th.tid] = th.refused
			}
		}
	}
	return more
}

// Refused is how many threads may not be traced, as when another program traces them.
func (a *Attachment) Refused() int { return len(a.refused) }

// meet takes in a thread that is traced.
func (a *Attachment) meet(tid int) *follower {
	if f := a.threads[tid]; f != nil {
		return f
	}
	f := &follower{tid: tid, sched: -1}
	a.threads[tid] = f
	a.order = append(a.order, f)
	return f
}

// forget drops a thread that has ended.
func (a *Attachment) forget(f *follower) {
	f.ended, f.halted = true, false
	f.close()
	a.keptBytes -= cap(f.keptRoom)
	f.keptRoom = nil
	if a.threads[f.tid] == f {
		delete(a.threads, f.tid)
	}
}

// Threads is how many threads are traced.
func (a *Attachment) Threads() int { return len(a.threads) }

// Traces reports whether a thread is traced.
func (a *Attachment) Traces(tid int) bool { return a.threads[tid] != nil }

// Execs is how often the process has called execve since it was attached to.
func (a *Attachment) Execs() int { return a.execs }

// Ended tells how the process ended, nil if it has not. What it ended by is known only
// of a command that was started for this.
func (a *Attachment) Ended() *Ended { return a.end }

// ErrRenewed is the error of a sample that execve has spoiled: take the next one with
// new maps.
var ErrRenewed = errors.New("the process has called execve")
