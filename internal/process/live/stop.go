//go:build linux

package live

import (
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

// How long the process is held for the sake of a thread that does not stop.
// One that sleeps where no signal reaches it (state D) is not waited for once
// everything else has stopped; a vfork parent certainly not, it waits for its
// child. One that could run needs no more than a CPU, which it may have to wait
// for on a busy machine: what counts is the time that it has run, so that one
// that is busy in the kernel does not hold the others.
const (
	graceVfork = 1 * time.Millisecond
	graceD     = 5 * time.Millisecond
	graceOther = 250 * time.Millisecond
	graceCPU   = 100 * time.Millisecond // of the thread's own time
	graceExec  = 5 * time.Millisecond
	graceMax   = 10 * time.Second // without Options.MaxPause

	maxRounds = 100 // of threads that create threads
)

// stopAll stops every thread. A thread can appear as long as one runs, so it
// looks again until there is none that it does not know.
func (t *tracer) stopAll() {
	for from, round := 0, 0; round < maxRounds; round++ {
		t.seizeAll(from)
		if round == 0 {
			t.begin()
		}
		for i := from; i < len(t.threads); i++ {
			if th := &t.threads[i]; th.st == seized && interrupt(th.tid) != 0 {
				t.over(th, false)
			}
		}
		t.wait(from)
		if round == 0 {
			t.release()
		}
		from = len(t.threads)
		if t.unchanged() || t.budget.late() || !t.findNew() {
			return
		}
	}
}

// begin starts the clock of the stop.
func (t *tracer) begin() {
	t.start = time.Now()
	t.patience = t.start.Add(graceMax)
	if t.o.MaxPause > 0 {
		t.budget.deadline = t.start.Add(t.o.MaxPause)
		t.patience = t.start.Add(t.o.MaxPause / 4 * 3) // the rest is for copying
	}
}

// seizeAll seizes the threads from index from on.
//
// Seizing waits while a thread of the process is in execve (cred_guard_mutex),
// and execve waits until the remains of the other threads have been collected,
// by their tracer: us. So somebody else must do that if it takes long.
func (t *tracer) seizeAll(from int) {
	var done atomic.Bool
	collector := time.AfterFunc(graceExec, func() { t.p.collect(&done) })
	for i := from; i < len(t.threads); i++ {
		if t.threads[i].st == found {
			t.seize(&t.threads[i])
		}
	}
	done.Store(true)
	collector.Stop()
}

// collect collects the remains of bt's tracees in the process until done.
func (p *Process) collect(done *atomic.Bool) {
	l, err := p.dir.OpenTasks(8 << 10)
	if err != nil {
		return
	}
	defer l.Dir.Close()
	for !done.Load() {
		tids, err := l.List()
		if err != nil {
			return
		}
		for _, tid := range tids {
			if tid != p.PID {
				reap(tid)
			}
		}
		pause(time.Millisecond)
	}
}

func (t *tracer) seize(th *tracee) {
	if t.p.held != 0 {
		t.seized(th)
		return
	}
	for try := 0; ; try++ {
		errno := seize(th.tid, t.options)
		if errno == 0 {
			th.st = seized
			return
		}
		// EPERM is also what a thread that has ended gives, and one that
		// is being traced (ptrace_attach in kernel/ptrace.c).
		st, err := t.stat(th.tid)
		switch {
		case errno == unix.ESRCH || err != nil:
			t.over(th, false)
		case st.Dead():
			th.st = over // and listed until its leader or tracer collects it
		case t.ours(th.tid):
			th.st = seized // under the number that it had before execve
		case th.tid == t.p.PID && try < 10:
			// execve by another thread ends the leader and gives that one
			// its number.
			continue
		default:
			th.st, th.refused = denying, errno
		}
		return
	}
}

// seized takes in a thread of a process that the calling thread traces already.
func (t *tracer) seized(th *tracee) {
	switch th.tid {
	case t.p.held:
		th.st = halted // about to receive the signal that it dies of
	case t.p.PID:
		if st, err := t.stat(th.tid); err != nil || st.Dead() {
			th.st = over // a tracer hears of its end when the last thread has ended
			return
		}
		th.st = seized
	default:
		th.st = seized
	}
}

func (t *tracer) stat(tid int) (procfs.Stat, error) {
	return t.task.Dir.Stat(strconv.Itoa(tid) + "/stat")
}

// ours reports whether the thread is already traced by this tracer.
func (t *tracer) ours(tid int) bool {
	st, err := t.task.Dir.Status(strconv.Itoa(tid) + "/status")
	return err == nil && st.Int("TracerPid") == unix.Gettid()
}

// over notes that a thread has ended; collect says that its remains are ours.
func (t *tracer) over(th *tracee, collect bool) {
	th.st = over
	if th.tid != t.p.PID {
		if collect {
			reap(th.tid)
		}
		delete(t.known, th.tid)
		return
	}
	// A leader's remains are its parent's to collect, and stay listed. But
	// after execve by another thread the number is that one's.
	if st, err := t.stat(th.tid); err == nil && !st.Dead() {
		delete(t.known, th.tid)
	}
}

// wait waits for the threads from index from on to stop.
func (t *tracer) wait(from int) {
	begin := time.Now()
	for spins := 0; ; spins++ {
		// The time is taken before the threads are looked at: whatever keeps
		// this thread from running, one that has stopped is seen to have.
		now := time.Now()
		pending, progress := t.pollAll(from)
		if pending == 0 {
			return
		}
		if progress {
			begin = time.Now()
			if spins < 1000 {
				yield() // they need the CPU that this thread is on
				continue
			}
		}
		waited := now.Sub(begin)
		switch {
		case waited < 200*time.Microsecond:
			yield()
		case waited < graceVfork:
			pause(50 * time.Microsecond)
		case !now.Before(t.patience):
			t.giveUp(from)
			return
		case t.killed():
			begin = time.Now()
		case t.hopeless(from, waited):
			t.giveUp(from)
			return
		default:
			pause(500 * time.Microsecond)
		}
	}
}

// pollAll looks at the threads from index from on that are to stop. pending is
// how many have not, and progress says that one has, or has ended.
func (t *tracer) pollAll(from int) (pending int, progress bool) {
	for i := from; i < len(t.threads); i++ {
		th := &t.threads[i]
		if th.st != seized {
			continue
		}
		switch st, sig := poll(th.tid); st {
		case running:
			pending++
		case stopped:
			th.st, th.sig, progress = halted, sig, true
		case ended:
			t.over(th, true)
			progress = true
		case lost:
			t.over(th, false)
			progress = true
		}
	}
	return pending, progress
}

// killed looks after the threads that have stopped, and reports whether one of
// them has been killed in the meantime. execve kills them all, and the thread
// that called it does not stop before they have been collected.
func (t *tracer) killed() (any bool) {
	for i := range t.threads {
		if th := &t.threads[i]; th.st == halted {
			if st, _ := poll(th.tid); st == ended || st == lost {
				t.over(th, st == ended)
				any = true
			}
		}
	}
	return any
}

// hopeless reports whether none of the threads that have not stopped for as long
// as waited is worth waiting for.
func (t *tracer) hopeless(from int, waited time.Duration) bool {
	for i := from; i < len(t.threads); i++ {
		if th := &t.threads[i]; th.st == seized && !t.stays(th, waited) {
			return false
		}
	}
	return true
}

// stays reports whether a thread that has not stopped for as long as waited is
// not about to.
func (t *tracer) stays(th *tracee, waited time.Duration) bool {
	st, err := t.stat(th.tid)
	switch {
	case err != nil:
		return waited >= graceOther
	case st.State == 'D':
		return waited >= graceD || t.inVfork(th)
	case st.State != 'R':
		return waited >= graceOther
	}
	if !th.timed {
		th.timed, th.ran = true, st.CPU
	}
	return st.CPU-th.ran >= graceCPU
}

// giveUp goes on without the threads that have not stopped.
func (t *tracer) giveUp(from int) {
	for i := from; i < len(t.threads); i++ {
		if th := &t.threads[i]; th.st == seized {
			th.st = stuck
		}
	}
}

// stopLate takes in the threads that have stopped, or ended, after all.
func (t *tracer) stopLate() {
	for i := range t.threads {
		th := &t.threads[i]
		if th.st != stuck {
			continue
		}
		switch st, sig := poll(th.tid); st {
		case stopped:
			th.st, th.sig = halted, sig
		case ended, lost:
			t.over(th, st == ended)
		}
	}
}

// unchanged reports whether there is no thread that is not known. The links of
// a task directory are two more than its threads (proc_task_getattr in
// fs/proc/base.c), which is cheaper than to list them. It proves nothing while
// a thread runs that can end.
func (t *tracer) unchanged() bool {
	n := 0
	for i := range t.threads {
		switch th := &t.threads[i]; th.st {
		case halted:
			n++
		case over:
			if th.tid == t.p.PID && t.known[th.tid] == i {
				if t.revived(i) {
					return false
				}
				n++
			}
		default:
			return false
		}
	}
	var st unix.Stat_t
	return unix.Fstat(int(t.task.Dir), &st) == nil && int(st.Nlink)-2 == n
}

// revived reports whether thread i is the leader, found dead before, and has
// got a successor by execve since.
func (t *tracer) revived(i int) bool {
	th := &t.threads[i]
	if th.st != over || th.tid != t.p.PID {
		return false
	}
	st, err := t.stat(th.tid)
	return err == nil && !st.Dead()
}

// findNew takes in the threads that have appeared. It also lets go of what is
// not a thread of the process: one that got the number of a thread that ended
// between being listed and being seized.
func (t *tracer) findNew() bool {
	tids, err := t.task.List()
	if err != nil {
		return false
	}
	t.listing++
	n := len(t.threads)
	for _, tid := range tids {
		i, ok := t.known[tid]
		if !ok || t.revived(i) {
			i = len(t.threads)
			t.add(tid)
		}
		t.threads[i].seen = t.listing
	}
	for i := range t.threads[:n] {
		th := &t.threads[i]
		if th.st != halted && th.st != stuck || th.seen == t.listing {
			continue
		}
		// A listing can skip a thread when another one ends meanwhile.
		if _, err := t.stat(th.tid); err == nil {
			continue
		}
		if th.st == stuck || detach(th.tid, th.sig) != 0 {
			t.attached = true
		}
		th.st = over
		delete(t.known, th.tid)
	}
	return len(t.threads) > n
}
