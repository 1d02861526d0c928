//go:build linux

// Package live looks at a running process: its mappings and their files, its
// memory, and, in one short stop of all its threads, their registers and
// stacks. It is the only package that uses ptrace.
package live

import (
	"errors"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

// Process is a running process. It is bound to that process by an open
// directory of procfs: another one that gets the same number later is never
// taken for it. Its methods may be called by several goroutines; Close, once,
// after all others.
type Process struct {
	PID       int // the process (thread group)
	Requested int // the number that Open was given: PID, or the TID of one of its threads

	procfs  string     // where it is mounted
	foreign bool       // procfs is not that of bt's own PID namespace
	dir     procfs.Dir // PROCFS/PID
	held    int        // the thread that is about to die, if the calling thread traces them all; see Command

	mu     sync.RWMutex
	leader bool       // the leader lives: alive is dir
	alive  procfs.Dir // PROCFS/TID of a living thread: what /proc/PID/maps and the like are empty without
	tid    int        // that TID

	sameMounts func() bool // the process sees bt's own mount namespace
}

// Open finds the process with a thread numbered pid. proc is where procfs is
// mounted; empty means /proc. The error is an *Error. The caller must Close.
func Open(pid int, proc string) (*Process, error) {
	if proc == "" {
		proc = "/proc"
	}
	if pid <= 0 {
		return nil, fail(pid, ErrNoProcess, nil, "process %d: no such process", pid)
	}
	dir, tgid, err := openTask(proc, pid)
	if err == nil && tgid != pid {
		dir.Close()
		dir, _, err = openTask(proc, tgid)
	}
	if err != nil {
		return nil, notThere(pid, proc, err)
	}
	p := &Process{PID: tgid, Requested: pid, procfs: proc, dir: dir, alive: dir, tid: tgid, leader: true}
	p.sameMounts = sync.OnceValue(p.compareMounts)
	if err := p.check(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// openTask opens PROCFS/tid, which works for every thread although only the
// leaders are listed, and returns the thread's process.
func openTask(proc string, tid int) (dir procfs.Dir, tgid int, err error) {
	dir, err = procfs.OpenPID(proc, tid)
	if err != nil {
		return -1, 0, err
	}
	st, err := dir.Status("status")
	if tgid = st.Int("Tgid"); err == nil && tgid <= 0 {
		err = errors.New("no thread group in its status")
	}
	if err != nil {
		dir.Close()
		return -1, 0, err
	}
	return dir, tgid, nil
}

func notThere(pid int, proc string, err error) *Error {
	if exhausted(err) {
		return tooFew(pid, err)
	}
	if !gone(err) {
		kind := ErrNoProcess
		if denied(err) {
			kind = ErrPermission
		}
		return fail(pid, kind, err, "process %d: %v", pid, err)
	}
	if _, e := os.Stat(proc + "/self"); e != nil {
		return fail(pid, ErrNoProcess, err, "process %d: %s is no procfs: mount one, or name it with --procfs", pid, proc)
	}
	// Mounted with hidepid, procfs conceals other users' processes.
	if proc == "/proc" && unix.Kill(pid, 0) == unix.EPERM {
		return fail(pid, ErrPermission, err, "process %d is hidden: run as the same user, or mount /proc without hidepid", pid)
	}
	return fail(pid, ErrNoProcess, err, "process %d: no such process", pid)
}

// check refuses what has no stacks to look at.
func (p *Process) check() error {
	// procfs shows numbers of the PID namespace that it was mounted for,
	// ptrace takes those of bt's own.
	self, _ := procfs.Dir(unix.AT_FDCWD).Status(p.procfs + "/self/status")
	p.foreign = self["NSpid"] != strconv.Itoa(os.Getpid())
	if !p.foreign && p.PID == os.Getpid() {
		return fail(p.PID, ErrSelf, nil, "process %d is bt itself: name another one", p.PID)
	}
	st, err := p.dir.Stat("stat")
	if err != nil {
		return notThere(p.Requested, p.procfs, err)
	}
	if st.KernelThread() {
		return fail(p.PID, ErrKernelThread, nil, "%d (%s) is a kernel thread: it has no user stack; root finds its kernel stack in %s/%d/stack",
			p.PID, st.Comm, p.procfs, p.PID)
	}
	if st.Dead() && !p.living() {
		return fail(p.PID, ErrZombie, nil, "process %d (%s) is a zombie: it has ended, and its parent (pid %d) has not yet waited for it",
			p.PID, st.Comm, st.PPID)
	}
	return nil
}

// refresh is called when something about the process could not be read. If
// that was because the thread that it was read through has ended, and another
// one lives, refresh takes that one and reports true: try again.
func (p *Process) refresh() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if st, err := p.alive.Stat("stat"); err == nil && !st.Dead() {
		return false
	}
	l, err := p.dir.OpenTasks(8 << 10)
	if err != nil {
		return false
	}
	defer l.Dir.Close()
	tids, err := l.List()
	if err != nil {
		return false
	}
	for _, tid := range tids {
		dir, tgid, err := openTask(p.procfs, tid)
		if err != nil {
			continue
		}
		if st, err := dir.Stat("stat"); err != nil || st.Dead() || tgid != p.PID {
			dir.Close()
			continue
		}
		if p.alive != p.dir {
			p.alive.Close()
		}
		p.alive, p.tid, p.leader = dir, tid, tid == p.PID
		return true
	}
	return false
}

// through calls f with the directory of a living thread, and again with that
// of another one if the first has ended meanwhile.
func (p *Process) through(f func(dir procfs.Dir, tid int) error) error {
	for try := 0; ; try++ {
		p.mu.RLock()
		err := f(p.alive, p.tid)
		p.mu.RUnlock()
		if err == nil || try == 3 || !p.refresh() {
			return err
		}
	}
}

// Close releases what p holds. The process is not touched.
func (p *Process) Close() error {
	if p.alive != p.dir {
		p.alive.Close()
	}
	return p.dir.Close()
}

// LeaderGone reports whether the process's first thread had exited, while
// others live, when p last needed to know.
func (p *Process) LeaderGone() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return !p.leader
}

// Comm returns the name of the process's first thread, as it is: it may hold
// any character. It is empty when the process is gone.
func (p *Process) Comm() string {
	comm, _ := p.dir.Comm("comm")
	return comm
}

// Cmdline returns the arguments of the process, which it may have overwritten,
// or nil when there are none or they cannot be read.
func (p *Process) Cmdline() []string {
	var args []string
	p.through(func(dir procfs.Dir, _ int) (err error) {
		args, err = dir.Cmdline()
		if err == nil && len(args) == 0 {
			err = unix.ESRCH // as for a leader that has exited
		}
		return err
	})
	return args
}

// maxMaps bounds the maps: a process has at most 65530 mappings unless
// vm.max_map_count says otherwise.
const maxMaps = 1 << 30

// Maps returns the bytes of /proc/PID/maps. The process runs meanwhile: what
// it maps and unmaps while they are read may or may not be in them.
func (p *Process) Maps() ([]byte, error) {
	var b []byte
	err := p.through(func(dir procfs.Dir, _ int) (err error) {
		b, err = dir.ReadUpTo("maps", 64<<10, maxMaps)
		if err == nil && len(b) == 0 {
			err = unix.ESRCH // its address space is gone
		}
		return err
	})
	if err != nil {
		return nil, p.failed("reading the maps", err)
	}
	return b, nil
}
