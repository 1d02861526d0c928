// Package live looks at a running process: its mappings and their files, its
// memory, and, in one short stop of all its threads, their registers and
// stacks. It is the only package that uses ptrace.
package live

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Process is a running process. It is bound to that process by an open
// directory of procfs: another one that gets the same number later is never
// taken for it. Its methods may be called by several goroutines; Close, once,
// after all others.
type Process struct {
	PID       int // the process (thread group)
	Requested int // the number that Open was given: PID, or the TID of one of its threads

	procfs  string
	foreign bool // procfs is not that of bt's own PID namespace
	dir     int  // PROCFS/PID
	held    int  // the thread that is about to die, if the calling thread traces them all; see Command

	mu     sync.RWMutex
	leader bool // the leader lives: alive is dir
	alive  int  // PROCFS/TID of a living thread: what /proc/PID/maps and the like are empty without
	tid    int  // that TID

	sameMounts func() bool // the process sees bt's own mount namespace
}

// Open finds the process with a thread numbered pid. procfs is where procfs is
// mounted; empty means /proc. The error is an *Error. The caller must Close.
func Open(pid int, procfs string) (*Process, error) {
	if procfs == "" {
		procfs = "/proc"
	}
	if pid <= 0 {
		return nil, fail(pid, ErrNoProcess, nil, "process %d: no such process", pid)
	}
	dir, tgid, err := openTask(procfs, pid)
	if err == nil && tgid != pid {
		unix.Close(dir)
		dir, _, err = openTask(procfs, tgid)
	}
	if err != nil {
		return nil, notThere(pid, procfs, err)
	}
	p := &Process{PID: tgid, Requested: pid, procfs: procfs, dir: dir, alive: dir, tid: tgid, leader: true}
	p.sameMounts = sync.OnceValue(p.compareMounts)
	if err := p.check(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// openTask opens PROCFS/tid, which works for every thread although only the
// leaders are listed, and returns the thread's process.
func openTask(procfs string, tid int) (dir, tgid int, err error) {
	dir, err = openat(unix.AT_FDCWD, procfs+"/"+strconv.Itoa(tid), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, 0, err
	}
	b, err := readFileAt(dir, "status", 2048, maxSmall)
	if err != nil {
		unix.Close(dir)
		return -1, 0, err
	}
	tgid, err = strconv.Atoi(parseStatus(b)["Tgid"])
	if err != nil || tgid <= 0 {
		unix.Close(dir)
		return -1, 0, errors.New("no thread group in its status")
	}
	return dir, tgid, nil
}

func notThere(pid int, procfs string, err error) *Error {
	if !gone(err) {
		kind := ErrNoProcess
		if denied(err) {
			kind = ErrPermission
		}
		return fail(pid, kind, err, "process %d: %v", pid, err)
	}
	if _, e := os.Stat(procfs + "/self"); e != nil {
		return fail(pid, ErrNoProcess, err, "process %d: %s is no procfs: mount one, or name it with --procfs", pid, procfs)
	}
	// Mounted with hidepid, procfs conceals other users' processes.
	if procfs == "/proc" && unix.Kill(pid, 0) == unix.EPERM {
		return fail(pid, ErrPermission, err, "process %d is hidden: run as the same user, or mount /proc without hidepid", pid)
	}
	return fail(pid, ErrNoProcess, err, "process %d: no such process", pid)
}

// check refuses what has no stacks to look at.
func (p *Process) check() error {
	// procfs shows numbers of the PID namespace that it was mounted for,
	// ptrace takes those of bt's own.
	self := parseStatus([]byte(p.read(p.procfs + "/self/status")))
	p.foreign = self["NSpid"] != strconv.Itoa(os.Getpid())
	if !p.foreign && p.PID == os.Getpid() {
		return fail(p.PID, ErrSelf, nil, "process %d is bt itself: name another one", p.PID)
	}
	st, err := statOf(p.dir, "stat")
	if err != nil {
		return notThere(p.Requested, p.procfs, err)
	}
	if st.flags&pfKthread != 0 {
		return fail(p.PID, ErrKernelThread, nil, "%d (%s) is a kernel thread: it has no user stack; root finds its kernel stack in %s/%d/stack",
			p.PID, st.comm, p.procfs, p.PID)
	}
	if st.dead() && !p.living() {
		return fail(p.PID, ErrZombie, nil, "process %d (%s) is a zombie: it has ended, and its parent (pid %d) has not yet waited for it",
			p.PID, st.comm, st.ppid)
	}
	return nil
}

// refresh is called when something about the process could not be read. If
// that was because the thread that it was read through has ended, and another
// one lives, refresh takes that one and reports true: try again.
func (p *Process) refresh() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if st, err := statOf(p.alive, "stat"); err == nil && !st.dead() {
		return false
	}
	fd, err := openat(p.dir, "task", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	l := lister{fd: fd, buf: make([]byte, 8192)}
	tids, err := l.list()
	if err != nil {
		return false
	}
	for _, tid := range tids {
		dir, tgid, err := openTask(p.procfs, tid)
		if err != nil {
			continue
		}
		if st, err := statOf(dir, "stat"); err != nil || st.dead() || tgid != p.PID {
			unix.Close(dir)
			continue
		}
		if p.alive != p.dir {
			unix.Close(p.alive)
		}
		p.alive, p.tid, p.leader = dir, tid, tid == p.PID
		return true
	}
	return false
}

// through calls f with the directory of a living thread, and again with that
// of another one if the first has ended meanwhile.
func (p *Process) through(f func(dir, tid int) error) error {
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
		unix.Close(p.alive)
	}
	return unix.Close(p.dir)
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
	b, err := readFileAt(p.dir, "comm", 64, maxSmall)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}

// Cmdline returns the arguments of the process, which it may have overwritten,
// or nil when there are none or they cannot be read.
func (p *Process) Cmdline() []string {
	var b []byte
	p.through(func(dir, _ int) (err error) {
		b, err = readFileAt(dir, "cmdline", 4096, maxSmall)
		if err == nil && len(b) == 0 {
			err = unix.ESRCH // as for a leader that has exited
		}
		return err
	})
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// maxMaps bounds the maps: a process has at most 65530 mappings unless
// vm.max_map_count says otherwise.
const maxMaps = 1 << 30

// Maps returns the bytes of /proc/PID/maps. The process runs meanwhile: what
// it maps and unmaps while they are read may or may not be in them.
func (p *Process) Maps() ([]byte, error) {
	var b []byte
	err := p.through(func(dir, _ int) (err error) {
		b, err = readFileAt(dir, "maps", 64<<10, maxMaps)
		if err == nil && len(b) == 0 {
			err = unix.ESRCH // its address space is gone
		}
		return err
	})
	switch {
	case err == nil:
		return b, nil
	case gone(err):
		return nil, p.exited(err)
	case denied(err):
		return nil, p.refused("reading the maps of "+strconv.Itoa(p.PID), p.PID, err)
	}
	return nil, fail(p.PID, ErrNoProcess, err, "process %d: %v", p.PID, err)
}

// status reads a status file below the process's directory.
func (p *Process) status(name string) map[string]string {
	b, _ := readFileAt(p.dir, name, 2048, maxSmall)
	return parseStatus(b)
}

// read returns the contents of a small file, or nothing.
func (p *Process) read(path string) string {
	b, _ := readFileAt(unix.AT_FDCWD, path, 2048, maxSmall)
	return string(b)
}
