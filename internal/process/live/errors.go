//go:build linux

package live

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

// What can be wrong with a process. The errors that this package returns wrap
// one of these, and their text names the process and the remedy.
var (
	ErrNoProcess    = errors.New("no such process")
	ErrExited       = errors.New("the process has ended meanwhile")
	ErrZombie       = errors.New("the process is a zombie")
	ErrKernelThread = errors.New("a kernel thread")
	ErrSelf         = errors.New("bt itself")
	ErrPermission   = errors.New("not permitted")
	ErrTraced       = errors.New("already traced")
	ErrNamespace    = errors.New("procfs of another PID namespace")
	ErrDescriptors  = errors.New("too few file descriptors")
)

// Error is what is wrong with the process PID.
type Error struct {
	PID  int
	Kind error // one of the Err… values
	Err  error // the system's own error, where there was one
	msg  string
}

// Error returns a text that names the process and, where there is one, the
// remedy.
func (e *Error) Error() string { return e.msg }

// Unwrap returns the kind of the error and the system's own.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

func fail(pid int, kind, err error, format string, args ...any) *Error {
	return &Error{PID: pid, Kind: kind, Err: err, msg: fmt.Sprintf(format, args...)}
}

func (p *Process) exited(err error) *Error {
	return fail(p.PID, ErrExited, err, "process %d exited while it was being looked at", p.PID)
}

// failed says why something about the process could not be read.
func (p *Process) failed(what string, err error) *Error {
	switch {
	case gone(err):
		return p.exited(err)
	case denied(err):
		return p.refused(what+" of "+strconv.Itoa(p.PID), p.PID, err)
	case exhausted(err):
		return tooFew(p.PID, err)
	}
	return fail(p.PID, ErrNoProcess, err, "process %d: %v", p.PID, err)
}

// exhausted reports whether err says that bt may open no more files.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

func tooFew(pid int, err error) *Error {
	remedy := "raise the limit (ulimit -n)"
	if errors.Is(err, unix.ENFILE) {
		remedy = "raise the system's limit (sysctl fs.file-max)"
	}
	return fail(pid, ErrDescriptors, err, "process %d: too few file descriptors to look at it: %s", pid, remedy)
}

// gone reports whether err says that a process or thread does not exist. A
// file below /proc/PID that is opened or read too late gives one or the other.
func gone(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT)
}

func denied(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}

// refused explains why the kernel did not let us at the process or at its
// thread tid: kernel/ptrace.c gives EPERM for all of it. what is what was
// attempted: "ptrace of 1234".
func (p *Process) refused(what string, tid int, err error) *Error {
	st, _ := p.dir.Status("task/" + strconv.Itoa(tid) + "/status")
	if tracer := st.Int("TracerPid"); tracer != 0 {
		comm, _ := procfs.Dir(unix.AT_FDCWD).Comm(p.procfs + "/" + strconv.Itoa(tracer) + "/comm")
		if comm == "" {
			comm = "another process"
		}
		return fail(p.PID, ErrTraced, err, "process %d is already traced by %s (pid %d): detach that first", p.PID, comm, tracer)
	}
	return fail(p.PID, ErrPermission, err, "%s not permitted: %s", what, p.remedy(st))
}

func (p *Process) remedy(st procfs.Status) string {
	self, _ := procfs.Dir(unix.AT_FDCWD).Status("/proc/self/status")
	caps, _ := strconv.ParseUint(self["CapEff"], 16, 64)
	if caps>>unix.CAP_SYS_PTRACE&1 != 0 {
		return "it is in another user namespace, or a seccomp filter or security module forbids it; run bt outside the container"
	}
	uids, known := st.UIDs()
	for _, u := range uids {
		if known && u != uint32(os.Getuid()) {
			return fmt.Sprintf("run as the same user (uid %d), or as root", u)
		}
	}
	scope, _ := procfs.Dir(unix.AT_FDCWD).Read(p.procfs + "/sys/kernel/yama/ptrace_scope")
	switch strings.TrimSpace(string(scope)) {
	case "1":
		return "run as root, or sysctl kernel.yama.ptrace_scope=0"
	case "2":
		return "run as root: kernel.yama.ptrace_scope=2 lets nobody else"
	case "3":
		return "kernel.yama.ptrace_scope=3 forbids it to everybody until the next boot"
	}
	// The files of a process that is not dumpable belong to root.
	var fs unix.Stat_t
	if err := unix.Fstatat(int(p.dir), "stat", &fs, 0); err == nil && known && fs.Uid != uids[1] {
		return "run as root: it is not dumpable (set-user-ID, file capabilities or prctl PR_SET_DUMPABLE)"
	}
	return "run as root; in a container, with the capability SYS_PTRACE (docker run --cap-add SYS_PTRACE)"
}
