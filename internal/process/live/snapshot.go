//go:build linux

package live

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

// Options says what a snapshot is to hold.
type Options struct {
	// TIDs are the threads that are wanted; empty means all. All threads of
	// the process are stopped in any case: the picture is of one moment.
	TIDs []int

	// Arches are the CPUs whose register sets are understood.
	Arches []*arch.Arch

	// Walk, if set, is called while the process is stopped, for each thread
	// whose copy may lack a part of its stack: one that was longer than
	// MaxStack, or is no stack that the kernel or libc made (an alternate
	// signal stack, a coroutine, a goroutine). What it reads through m is
	// fetched from the process and added to the thread's copy. m is valid
	// until Walk returns. A snapshot that execve spoils is taken again, with
	// Walk called anew.
	Walk func(t *process.Thread, m unwind.Memory)
	// WalkAll has Walk called for every thread.
	WalkAll bool

	// Also, if set, is called last in the stop, with what is stopped. It reads what
	// else the caller wants of the process's memory. A snapshot that execve spoils is
	// taken again, with Also called anew. The memory that it reads is kept in
	// Snapshot.Also.
	Also func(*process.Stopped)
	// AlsoNeeds is how much Also is going to read, as far as that is known.
	AlsoNeeds process.Need

	// MapsInStop has the maps read while the process is stopped: they fit
	// the picture even if the process is just mapping something.
	MapsInStop bool

	// MaxStack bounds what is copied of one stack without Walk asking for
	// it, in bytes; 0 means 256 KiB. Of memory that is no stack made by the
	// kernel or libc 64 KiB at most are.
	MaxStack int

	// MaxPause is how long the process may stand still; 0 means no limit.
	// What has not been copied by then is left out: see Thread.Cut. For
	// threads that do not stop three quarters of it are spent at most; without
	// a limit ten seconds.
	MaxPause time.Duration
}

const defaultMaxStack = 256 << 10

// Thread is a thread of a snapshot.
type Thread struct {
	process.Thread

	// Complete is set when the copy holds the thread's whole stack, from
	// the stack pointer to the top. A signal handler's alternate stack is
	// not the whole.
	Complete bool

	// Cut says why the copy lacks a part of the stack that is there.
	Cut Cut

	segs []segment
}

// Cut is why a thread's copy is less than its stack.
type Cut uint8

const (
	Uncut     Cut = iota
	CutByTime     // the process had stood still for Options.MaxPause
	CutBySize     // more memory than is copied in one stop: 256 MiB by walks, 64 MiB by one of them
)

// Snapshot is a process as it was at one moment. It owns its memory and does
// not refer to the process any more.
type Snapshot struct {
	Threads []Thread          // the leader first, then in the order of their creation
	Maps    []byte            // the maps at that moment, with Options.MapsInStop
	Pause   time.Duration     // from the interruption of the first thread to the release of the last
	Also    *process.Recorder // what Options.Also has read; nil if it was not called

	// Gone are the threads that ended before they could be stopped, and of
	// Options.TIDs those that are not of this process.
	Gone []int
}

// Memory returns the copied memory of Threads[i]. It serves one goroutine;
// call Memory again for another.
func (s *Snapshot) Memory(i int) unwind.Memory { return &copied{segs: s.Threads[i].segs} }

// Snapshot stops the process, copies registers and stacks, and lets it go on;
// should bt be killed meanwhile, the process goes on as well. mm are its
// mappings as read before; they only guide the copying, so nothing is wrong
// with a snapshot if they have changed since. A thread that cannot be stopped
// has NotStopped set; a process of which none can is an *Error.
//
// A Process that Command.Dying was given is not let go on.
func (p *Process) Snapshot(mm *maps.Map, o Options) (*Snapshot, error) {
	if p.foreign {
		return nil, p.otherNamespace()
	}
	if o.MaxStack <= 0 {
		o.MaxStack = defaultMaxStack
	}
	for try := 0; ; try++ {
		s, renewed, err := p.once(mm, &o)
		// If execve ended the threads that were stopped, a new one lives.
		if !renewed && !errors.Is(err, ErrExited) || try == 10 || !p.living() {
			return s, err
		}
	}
}

func (p *Process) otherNamespace() error {
	return fail(p.PID, ErrNamespace, nil,
		"process %d: %s shows another PID namespace than bt's own, whose processes cannot be stopped from here: run bt inside it (nsenter)", p.PID, p.procfs)
}

// once makes one attempt at a snapshot. renewed says that the leader was
// killed, or replaced by execve, while it was stopped.
func (p *Process) once(mm *maps.Map, o *Options) (s *Snapshot, renewed bool, err error) {
	t, err := p.newTracer(mm, o)
	if err != nil {
		return nil, false, err
	}
	defer t.close()
	if p.held != 0 {
		t.run()
		s, err = t.result()
		return s, t.renewed, err
	}
	quietStops()
	own := onDyingThread(t.run)
	if t.attached {
		waitThreadEnd(own)
	}
	s, err = t.result()
	return s, t.renewed, err
}

// living reports whether the process has a living thread. In the middle of an
// execve that can take a moment to tell.
func (p *Process) living() bool {
	for range 10 {
		if st, err := p.dir.Stat("stat"); err != nil || !st.Dead() {
			return err == nil
		}
		if p.refresh() {
			return true
		}
		pause(500 * time.Microsecond)
	}
	return false
}

// tracee is a thread of the process while it is traced.
type tracee struct {
	tid     int
	name    string
	st      traceeState
	seen    int // the listing that it was last in
	sig     int // what it was about to receive when it stopped
	refused unix.Errno
	why     string        // it is withheld
	at      syscallRegs   // where it is then
	timed   bool          // ran is set
	ran     time.Duration // on a CPU, when it was first waited for

	wanted bool
	out    Thread
	regs   []byte // NT_PRSTATUS
	sp     uint64
	lo, hi uint64 // the addresses to copy
}

// syscallRegs is what /proc/PID/task/TID/syscall tells of a thread's registers.
type syscallRegs struct {
	nr     int
	args   []uint64
	sp, pc uint64
}

type traceeState uint8

const (
	found    traceeState = iota // not seized yet
	seized                      // told to stop, or about to be
	halted                      // stopped
	stuck                       // seized, but it does not stop
	denying                     // may not be seized
	withheld                    // must not be interrupted, and is not seized
	rests                       // of an Attachment: sleeps as it did, and is not stopped
	released                    // of an Attachment: was copied, and goes on
	over                        // ended
)

// tracer takes one snapshot.
type tracer struct {
	p  *Process
	mm *maps.Map
	o  *Options

	task    procfs.Lister
	threads []tracee
	known   map[int]int // TID to index in threads, of those that are still listed
	listing int
	reader  reader
	options uintptr // PTRACE_O_… that threads are seized with
	room    []byte  // for the register sets
	arena   []byte  // for the stacks
	iov     []remote
	stack   *maps.Mapping // [stack]

	start    time.Time
	patience time.Time // when threads that have not stopped are given up
	budget   budget
	pause    time.Duration
	mapsText []byte
	mapsErr  error
	dumping  bool          // the kernel is writing a core of it
	renewed  bool          // the leader was lost after it had stopped
	alsoRoom *process.Room // for what Options.Also reads
	recorder *process.Recorder
	attached bool // a thread could not be detached: the one that seized it must end
}

// regsetRoom is more than the NT_PRSTATUS set of any CPU, so that a set of
// another CPU than the candidates is not cut to the size of one of them.
const regsetRoom = 512

// newTracer does what can be done while the process still runs.
func (p *Process) newTracer(mm *maps.Map, o *Options) (*tracer, error) {
	t := &tracer{p: p, mm: mm, o: o, known: make(map[int]int)}
	t.budget.room = maxFetchedTotal
	t.reader = reader{dir: p.dir, mem: -1}
	var err error
	if t.task, err = p.dir.OpenTasks(32 << 10); err != nil {
		return nil, p.failed("listing the threads", err)
	}
	tids, err := t.task.List()
	if err == nil && len(tids) == 0 {
		err = unix.ESRCH
	}
	if err != nil {
		t.close()
		return nil, p.failed("listing the threads", err)
	}
	n := len(tids)
	t.threads = make([]tracee, 0, n+n/4+8)
	for _, tid := range tids {
		t.add(tid)
	}
	for i := range t.threads {
		t.threads[i].name = t.comm(t.threads[i].tid)
	}
	if st, err := p.dir.Status("status"); err == nil {
		t.dumping = dumpsCore(st)
	}
	if p.held == 0 {
		t.spare(0)
	}
	for i := range mm.Entries {
		if mm.Entries[i].Path == "[stack]" {
			t.stack = &mm.Entries[i]
		}
	}
	// Most stacks are a few KiB deep. Touch the pages now: a page fault in
	// the stop costs more than the copying.
	t.arena = touched(min(n*8<<10+128<<10, 32<<20))
	t.room = touched(regsetRoom * cap(t.threads))
	if o.Also != nil {
		t.alsoRoom = process.NewRoom(process.Need{Bytes: 2<<20 + o.AlsoNeeds.Bytes, Ranges: 1<<10 + o.AlsoNeeds.Ranges})
	}
	t.iov = make([]remote, 0, n+n/4+8)
	return t, nil
}

// touched returns n bytes whose pages are there already.
func touched(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += page {
		b[i] = 1
	}
	return b
}

func (t *tracer) close() {
	t.task.Dir.Close()
	if t.reader.mem >= 0 {
		unix.Close(t.reader.mem)
	}
}

func (t *tracer) comm(tid int) string {
	comm, _ := t.task.Dir.Comm(strconv.Itoa(tid) + "/comm")
	return comm
}

// add takes in a thread that has been found.
func (t *tracer) add(tid int) {
	t.known[tid] = len(t.threads)
	t.threads = append(t.threads, tracee{
		tid:    tid,
		wanted: len(t.o.TIDs) == 0 || slices.Contains(t.o.TIDs, tid),
	})
}

// run is the stop. From its first interrupt to its last detach the process
// stands still.
func (t *tracer) run() {
	t.stopAll()
	t.registers()
	t.copyStacks()
	t.walk()
	t.also()
	if t.o.MapsInStop {
		t.readMaps()
	}
	if t.p.held == 0 {
		t.detachAll()
	}
	t.pause = time.Since(t.start)
}

// readMaps reads the maps through a thread that is there for certain.
func (t *tracer) readMaps() {
	for i := range t.threads {
		if st := t.threads[i].st; st == halted || st == stuck {
			name := strconv.Itoa(t.threads[i].tid) + "/maps"
			t.mapsText, t.mapsErr = t.task.Dir.ReadUpTo(name, 256<<10, maxMaps)
			if t.mapsErr == nil && len(t.mapsText) > 0 {
				return
			}
		}
	}
}

// detachAll lets every thread go on.
func (t *tracer) detachAll() {
	for i := range t.threads {
		th := &t.threads[i]
		switch th.st {
		case halted:
			if detach(th.tid, th.sig) != 0 {
				t.attached = true // killed while it was stopped
			}
		case stuck:
			// It may have stopped after all. If not, it would as soon as it
			// can: it must not be ours any more by then.
			if st, sig := poll(th.tid); st != stopped || detach(th.tid, sig) != 0 {
				t.attached = true
			}
		case over:
			// Collected, or left to the end of this thread: a leader's end
			// is for its parent to hear of.
			if th.tid == t.p.PID {
				t.attached = true
			}
		}
	}
}

// result turns what was seen into a Snapshot.
func (t *tracer) result() (*Snapshot, error) {
	s := &Snapshot{Maps: t.mapsText, Pause: t.pause, Also: t.recorder}
	alive := false
	var refusal *tracee
	for i := range t.threads {
		th := &t.threads[i]
		switch th.st {
		case over:
			if th.wanted && !t.replaced(i) {
				s.Gone = append(s.Gone, th.tid)
			}
			continue
		case denying:
			if refusal == nil {
				refusal = th
			}
		default:
			alive = true
		}
		if !th.wanted {
			continue
		}
		out := &th.out
		out.TID, out.Name = th.tid, th.name
		if out.Name == "" {
			out.Name = t.comm(th.tid) // found during the stop
		}
		s.Threads = append(s.Threads, *out)
	}
	switch {
	case !alive && refusal != nil:
		return nil, t.p.refused("ptrace of "+strconv.Itoa(t.p.PID), refusal.tid, refusal.refused)
	case !alive:
		return nil, t.p.exited(nil)
	case t.o.MapsInStop && len(t.mapsText) == 0:
		return nil, fail(t.p.PID, ErrExited, t.mapsErr, "process %d: its maps cannot be read", t.p.PID)
	}
	for _, tid := range t.o.TIDs {
		known := func(th Thread) bool { return th.TID == tid }
		if !slices.ContainsFunc(s.Threads, known) && !slices.Contains(s.Gone, tid) {
			s.Gone = append(s.Gone, tid)
		}
	}
	slices.SortStableFunc(s.Threads, func(a, b Thread) int {
		switch {
		case a.TID == t.p.PID:
			return -1
		case b.TID == t.p.PID:
			return 1
		}
		return 0
	})
	return s, nil
}

// replaced reports whether thread i came to its end only in that another
// thread took its number over, by execve.
func (t *tracer) replaced(i int) bool {
	j, ok := t.known[t.threads[i].tid]
	return ok && j != i
}
