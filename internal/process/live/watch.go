//go:build linux

package live

import (
	"bytes"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

// watcher is the tracer of a command. Everything runs on the thread that
// started it, but for what jobs.go says.
type watcher struct {
	c   *Command
	sig *ownSignals
	pid int // the command
	// options are PTRACE_O_… that the command is traced with beside the usual ones.
	options uintptr

	known map[int]int    // traced threads: TID to PID, as far as they have been heard of
	last  map[int][]byte // PID to the siginfo of the last signal that can kill it
	dying map[int]int    // PID to the signal that Dying was called for

	starting    bool // the stop that takeOver made has not been seen yet
	discardCont bool // the SIGCONT that ends it has not been seen yet
}

// loop runs until the command ends.
//
// It looks at what has stopped without taking it (WNOWAIT): a signal stays with
// its thread, in the kernel, until the thread goes on with it, also if bt is
// killed meanwhile.
func (w *watcher) loop() (Ended, error) {
	w.last, w.dying = make(map[int][]byte), make(map[int]int)
	for {
		var si siginfo
		if errno := waitFor(unix.P_ALL, 0, unix.WSTOPPED|unix.WEXITED, &si); errno != 0 {
			return Ended{}, os.NewSyscallError("waitid", errno)
		}
		switch tid := int(si.pid); si.code {
		case cldTrapped:
			w.stop(tid, int(si.status))
		case cldExited, cldKilled, cldDumped:
			if e, over := w.exit(tid, &si); over {
				w.finish()
				return e, nil
			}
		default: // the stop of a child that is not traced
			collect(tid, unix.WSTOPPED)
			if tid == w.pid {
				w.sig.suspend(int(si.status))
			}
		}
	}
}

// finish deals with what has stopped already when the command ends: processes
// that died together with it have something to report, too. The others run on,
// unwatched.
func (w *watcher) finish() {
	for range 4 * len(w.known) { // a death has more stops than one; others stop for ever
		var si siginfo
		if waitFor(unix.P_ALL, 0, unix.WSTOPPED|unix.WEXITED|unix.WNOHANG, &si) != 0 || si.pid == 0 {
			return
		}
		switch tid := int(si.pid); si.code {
		case cldTrapped:
			w.stop(tid, int(si.status))
		case cldExited, cldKilled, cldDumped:
			w.exit(tid, &si)
		}
	}
}

// waitFor waits for one of bt's children or tracees, and leaves it as it is.
func waitFor(idType, id, options int, si *siginfo) unix.Errno {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, uintptr(idType), uintptr(id), uintptr(unsafe.Pointer(si)),
			uintptr(options|unix.WALL|unix.WNOWAIT), 0, 0)
		if errno != unix.EINTR {
			return errno
		}
	}
}

// collect takes what waitFor has left.
func collect(tid, options int) {
	unix.RawSyscall6(unix.SYS_WAITID, unix.P_PID, uintptr(tid), 0, uintptr(options|unix.WALL|unix.WNOHANG), 0, 0)
}

// stop deals with a stop of a tracee. Stops that are not let go on are not
// reported again (JOBCTL_LISTENING in kernel/exit.c).
func (w *watcher) stop(tid, status int) {
	sig, event := status&0x7f, status>>8
	if _, ok := w.known[tid]; !ok && !w.meet(tid) {
		detach(tid, 0)
		return
	}
	switch {
	case event == 0:
		w.signal(tid, sig)
	case event == ptraceEventStop && sig != int(unix.SIGTRAP):
		listen(tid)
		if tid == w.pid {
			w.suspended(sig)
		}
	default:
		resume(tid, 0)
	}
}

// meet takes in a new tracee, if it is one to watch: a thread, or a process if
// forks are followed. Without that the kernel still adds a process whose end its
// parent wants to hear of by another signal than SIGCHLD (kernel_clone).
func (w *watcher) meet(tid int) bool {
	pid := w.pid
	if w.c.FollowForks {
		pid = tid
		if tgid := statusOf(tid).Int("Tgid"); tgid > 0 {
			pid = tgid
		}
	} else if unix.Access("/proc/"+itoa(w.pid)+"/task/"+itoa(tid), unix.F_OK) != nil {
		return false
	}
	w.known[tid] = pid
	return true
}

// signal deals with a thread that is about to receive a signal.
func (w *watcher) signal(tid, sig int) {
	pid := w.known[tid]
	if pid == w.pid && !w.passes(sig) {
		resume(tid, 0)
		return
	}
	switch {
	case Crashes(sig):
		w.last[pid] = siginfoOf(tid)
		if w.c.Dying != nil && fatal(tid, sig) {
			w.report(tid, pid, sig)
		}
	case terminates(sig):
		w.last[pid] = siginfoOf(tid)
	}
	resume(tid, sig)
}

// passes takes notice of a signal that the command is about to receive. It is false for
// the one that only ends the stop in which the command was taken over.
func (w *watcher) passes(sig int) bool {
	if sig == int(unix.SIGCONT) && w.discardCont {
		w.discardCont = false
		return false
	}
	w.sig.seen(sig)
	return true
}

// suspended deals with a group-stop of the command by sig.
func (w *watcher) suspended(sig int) {
	if w.starting {
		w.starting = false
		unix.Kill(w.pid, unix.SIGCONT)
		return
	}
	w.sig.suspend(sig)
}

// report has a death explained.
func (w *watcher) report(tid, pid, sig int) {
	p, err := openHeld(tid)
	if err != nil {
		return // it has been killed meanwhile
	}
	defer p.Close()
	w.c.Dying(&Dying{Process: p, TID: tid, Signo: sig, Siginfo: w.last[pid]})
	w.dying[pid] = sig
}

// exit deals with the end of a thread. over is true when the command has ended.
func (w *watcher) exit(tid int, si *siginfo) (e Ended, over bool) {
	pid, ok := w.known[tid]
	over = tid == w.pid
	if over {
		w.sig.process.set(0)
	}
	collect(tid, unix.WEXITED)
	delete(w.known, tid)
	if !over && (!ok || pid != tid) {
		return e, false // a thread, or an orphan that came to bt as init
	}
	e = Ended{PID: tid}
	if si.code == cldExited {
		e.Status = int(si.status)
	} else {
		e.Signo = int(si.status)
		e.Reported = w.dying[pid] == e.Signo
		if last := w.last[pid]; len(last) > 0 && int(last[0]) == e.Signo {
			e.Siginfo = last
		}
		if w.c.Ended != nil {
			w.c.Ended(&e)
		}
	}
	delete(w.last, pid)
	delete(w.dying, pid)
	return e, over
}

// fatal reports whether a signal is one that the thread's process dies of: it
// has no handler and is not ignored. For a fault with its signal blocked or
// ignored the kernel has restored the default action by now
// (force_sig_info_to_task in kernel/signal.c).
func fatal(tid, sig int) bool {
	st := statusOf(tid)
	return st != nil && !st.HasSignal("SigCgt", sig) && !st.HasSignal("SigIgn", sig)
}

// statusOf reads the status of a thread; it is nil when that is gone.
func statusOf(tid int) procfs.Status {
	st, _ := procfs.Dir(unix.AT_FDCWD).Status("/proc/" + itoa(tid) + "/status")
	return st
}

// siginfoOf reads what came with the signal that a thread is about to receive.
func siginfoOf(tid int) []byte {
	var si siginfo
	if ptrace(ptraceGetSiginfo, tid, 0, unsafe.Pointer(&si)) != 0 {
		return nil
	}
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&si)), unsafe.Sizeof(si)))
}

// resume lets a thread go on, with the signal sig if that is not 0.
func resume(tid, sig int) {
	unix.RawSyscall6(unix.SYS_PTRACE, ptraceCont, uintptr(tid), 0, uintptr(sig), 0, 0)
}

// listen leaves a thread in its group-stop, but hears of its end.
func listen(tid int) { ptrace(ptraceListen, tid, 0, nil) }
