//go:build linux

package live

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is a command that Run runs and watches.
type Command struct {
	Path string   // the file to execute
	Argv []string // from the command's name on
	Env  []string

	// FollowForks has the processes watched that the command makes, and those
	// that these make.
	FollowForks bool

	// Dying is called when a process is about to die of a signal that says
	// that something is wrong with it (Crashes). All its threads are traced
	// by the calling thread, and stand still as soon as d.Process is asked
	// for a snapshot.
	Dying func(d *Dying)

	// Ended is called when a process that is watched has died of a signal,
	// whether Dying was called before or not.
	Ended func(e *Ended)

	// Unwatched is called when the command runs but cannot be watched.
	Unwatched func(err error)
}

// Dying is a process about to die of a signal.
type Dying struct {
	Process *Process // valid until Dying returns
	TID     int      // the thread that receives the signal
	Signo   int
	Siginfo []byte // siginfo_t of a 64-bit process; nil if it could not be read
}

// Ended is how a process ended.
type Ended struct {
	PID    int
	Status int // its exit status, when Signo is 0
	Signo  int // the signal that it died of, or 0

	// Siginfo is what came with the last signal with number Signo that it
	// received; nil if none was seen, as with SIGKILL.
	Siginfo []byte
	// Reported is set when Dying was called for this death.
	Reported bool
}

// Crashes reports whether a signal that kills means that something is wrong with
// the process itself, rather than that somebody wanted it to end.
func Crashes(signo int) bool {
	switch unix.Signal(signo) {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGABRT, unix.SIGTRAP, unix.SIGSYS, unix.SIGQUIT:
		return true
	}
	return false
}

// terminates reports whether the default action of a signal is to kill, without
// a core dump.
func terminates(signo int) bool {
	switch unix.Signal(signo) {
	case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH,
		unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return false
	}
	return !Crashes(signo)
}

// Run runs a command with bt's own standard input, output and error, in bt's own
// process group, and returns how it ended. Should bt be killed, the command runs
// on. While it runs, signals that bt is sent are the command's: those that it
// was not sent itself are passed on to it, and when it is stopped from its
// terminal bt stops, too. An error means that it could not be started: an
// *exec.Error or a *os.PathError. Run may be called once in a process.
func Run(c Command) (e Ended, err error) {
	quietStops()
	sig := catchSignals()
	onDyingThread(func() {
		w := &watcher{c: &c, sig: sig}
		if err = w.start(); err != nil {
			return
		}
		sig.serve(w.pid)
		e, err = w.loop()
	})
	return e, err
}

// Follow runs a command as Run does, but not to see what it dies of: it calls run with
// the command attached to before its first instruction. When run returns before the
// command has ended, that is let go, and runs to its end. The Process is run's to close,
// whenever it likes. c's Dying, Ended and FollowForks are not used.
func Follow(c Command, o AttachOptions, run func(*Process, *Attachment)) (e Ended, err error) {
	quietStops()
	sig := catchSignals()
	w := &watcher{c: &c, sig: sig, options: traced}
	attached := true
	if c.Unwatched != nil {
		unwatched := c.Unwatched
		c.Unwatched = func(err error) { attached = false; unwatched(err) }
	}
	own := onDyingThread(func() {
		if err = w.start(); err != nil {
			return
		}
		sig.serve(w.pid)
		if attached {
			e, err = w.follow(o, run)
		}
	})
	waitThreadEnd(own)
	if err != nil || e.PID != 0 {
		return e, err
	}
	return w.outlive()
}

// follow calls run with the command attached to. The Ended is empty where the command
// runs on.
func (w *watcher) follow(o AttachOptions, run func(*Process, *Attachment)) (e Ended, err error) {
	defer func() {
		if w.starting {
			unix.Kill(w.pid, unix.SIGCONT)
		}
	}()
	p, err := Open(w.pid, "")
	if err != nil {
		return e, nil // killed already, which outlive tells
	}
	a, err := newAttachment(p, o)
	if err != nil {
		p.Close()
		return e, err
	}
	defer a.close()
	a.w = w
	a.meet(w.pid)
	// It stands in the stop in which it was taken over; only then it is a process to
	// look at.
	for w.starting && a.end == nil {
		a.event(0)
	}
	if a.end != nil {
		p.Close()
	} else {
		run(p, a)
	}
	if a.end == nil {
		return e, nil
	}
	w.sig.process.set(0)
	collect(w.pid, unix.WEXITED)
	return *a.end, nil
}

// outlive waits until the command ends, which is not traced any more.
func (w *watcher) outlive() (e Ended, err error) {
	for {
		var si siginfo
		if errno := waitFor(unix.P_PID, w.pid, unix.WSTOPPED|unix.WEXITED, &si); errno != 0 {
			return e, os.NewSyscallError("waitid", errno)
		}
		switch si.code {
		case cldExited, cldKilled, cldDumped:
			w.sig.process.set(0)
			collect(w.pid, unix.WEXITED)
			e = Ended{PID: w.pid}
			if si.code == cldExited {
				e.Status = int(si.status)
			} else {
				e.Signo = int(si.status)
			}
			return e, nil
		default:
			collect(w.pid, unix.WSTOPPED)
			w.sig.suspend(int(si.status))
		}
	}
}

// start starts the command.
func (w *watcher) start() error {
	attr := &syscall.ProcAttr{
		Env:   w.c.Env,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Ptrace: true},
	}
	pid, err := forkExec(w.c.Path, w.c.Argv, attr)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		// It could be ptrace or execve that is not permitted.
		refusal := &os.SyscallError{Syscall: "ptrace", Err: err}
		attr.Sys = nil
		if pid, err = forkExec(w.c.Path, w.c.Argv, attr); err == nil {
			w.pid = pid
			w.c.Unwatched(refusal)
			return nil
		}
	}
	if err != nil {
		return &os.PathError{Op: "exec", Path: w.c.Path, Err: err}
	}
	w.pid = pid
	if err := w.takeOver(); err != nil {
		w.c.Unwatched(err)
	}
	return nil
}

// forkExec runs a file as execvp(3) does: what is no program is a script of the
// shell.
func forkExec(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	pid, err := syscall.ForkExec(path, argv, attr)
	if errors.Is(err, unix.ENOEXEC) {
		const shell = "/bin/sh"
		return syscall.ForkExec(shell, append([]string{shell, path}, argv[1:]...), attr)
	}
	return pid, err
}

// LookPath finds the file of a command as a shell does. The error is an
// *exec.Error: it wraps exec.ErrNotFound if there is no such file.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		err = nil // somebody has set PATH like that
	}
	return path, err
}

// takeOver turns the command, which has asked to be traced and stands at its
// first instruction, into a tracee that was seized: only these can be stopped by
// their terminal as usual (PTRACE_LISTEN). In between it is in a group-stop.
func (w *watcher) takeOver() error {
	for {
		var si siginfo
		if errno := waitFor(unix.P_PID, w.pid, unix.WSTOPPED|unix.WEXITED, &si); errno != 0 {
			return os.NewSyscallError("waitid", errno)
		}
		if si.code != cldTrapped {
			return nil // killed already: loop will see that
		}
		if si.status == int32(unix.SIGTRAP) {
			break
		}
		resume(w.pid, int(si.status))
	}
	detach(w.pid, int(unix.SIGSTOP))
	options := w.options | unix.PTRACE_O_TRACECLONE
	if w.c.FollowForks {
		options |= unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK
	}
	if errno := seize(w.pid, options); errno != 0 {
		unix.Kill(w.pid, unix.SIGCONT)
		if errno == unix.ESRCH {
			return nil
		}
		return os.NewSyscallError("ptrace", errno)
	}
	w.starting, w.discardCont = true, true
	w.known = map[int]int{w.pid: w.pid}
	return nil
}

// openHeld opens the process that thread tid, which the calling thread traces,
// belongs to.
func openHeld(tid int) (*Process, error) {
	p, err := Open(tid, "")
	if err != nil {
		return nil, err
	}
	p.held = tid
	return p, nil
}

// guarded keeps what another goroutine signals from being another process.
type guarded struct {
	sync.Mutex
	pid int // 0: not started yet, or collected
}

// kill sends the process a signal, if it is still there.
func (g *guarded) kill(sig unix.Signal) {
	g.Lock()
	defer g.Unlock()
	if g.pid != 0 {
		unix.Kill(g.pid, sig)
	}
}

func (g *guarded) set(pid int) {
	g.Lock()
	g.pid = pid
	g.Unlock()
}

func itoa(n int) string { return strconv.Itoa(n) }
