//go:build linux

package live

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Wait lets the threads run until a time, and sees to what they stop for. It reports
// whether the process is still there; it returns at once when it is not.
func (a *Attachment) Wait(until time.Time) bool {
	for a.end == nil {
		some := a.event(unix.WNOHANG)
		left := time.Until(until)
		if left <= 0 {
			break // also where one event follows the other
		}
		if some {
			continue
		}
		if a.alarm == nil {
			pause(min(left, 200*time.Microsecond))
			continue
		}
		a.alarm.set(left)
		a.event(0)
	}
	if a.alarm != nil {
		a.alarm.set(0)
	}
	return a.end == nil
}

// wnothread is __WNOTHREAD: tracees and children of other threads are not waited for.
const wnothread = 0x20000000

// event waits for a thread that stops or ends, and sees to it. With WNOHANG it does not
// wait; it is false where nothing has happened. What has stopped is not taken
// (WNOWAIT): a signal is the thread's until it goes on.
func (a *Attachment) event(options int) bool {
	var si siginfo
	options |= unix.WSTOPPED | unix.WEXITED | unix.WALL | unix.WNOWAIT | wnothread
	var errno unix.Errno
	if options&unix.WNOHANG != 0 {
		_, _, errno = unix.RawSyscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&si)), uintptr(options), 0, 0)
	} else {
		_, _, errno = unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&si)), uintptr(options), 0, 0)
	}
	switch {
	case errno == unix.EINTR:
		return false
	case errno != 0: // ECHILD: nobody is left
		a.gone(nil)
		return false
	case si.pid == 0:
		return false
	}
	tid := int(si.pid)
	f := a.threads[tid]
	switch si.code {
	case cldTrapped:
		a.stopped(tid, f, int(si.status))
	case cldExited, cldKilled, cldDumped:
		a.exited(tid, f, &si)
	default:
		collect(tid, unix.WSTOPPED) // the stop of a child that is not traced
	}
	return true
}

// stopped sees to a thread that has stopped, f if it is known, and lets it go on.
func (a *Attachment) stopped(tid int, f *follower, status int) {
	if f == nil {
		if !a.belongs(tid) {
			// A process that shares more with its parent than others, or whose
			// end its parent wants to hear of by another signal than SIGCHLD:
			// the kernel takes it for a thread (kernel_clone in kernel/fork.c).
			detach(tid, 0)
			return
		}
		f = a.meet(tid)
	}
	f.halted, f.status = true, status
	a.note(f)
	a.release(f)
	a.suspend()
}

func (a *Attachment) belongs(tid int) bool {
	return unix.Faccessat(int(a.t.task.Dir), itoa(tid), unix.F_OK, 0) == nil
}

// note takes notice of what a thread has stopped for.
func (a *Attachment) note(f *follower) {
	f.asked, f.resting = false, false
	if f.status>>8 == ptraceEventExec {
		a.execed(f)
	}
}

// execed takes notice of an execve: all other threads are gone, and the one that called
// it has got the number of the first.
func (a *Attachment) execed(f *follower) {
	a.execs++
	// The kernel wants this one stop to be taken before ptrace is used on the number that
	// now is another thread's (looks_like_a_spurious_pid in kernel/ptrace.c). No signal
	// goes with it.
	collect(f.tid, unix.WSTOPPED)
	for _, o := range a.order {
		if o != f && !o.ended {
			a.forget(o)
		}
	}
	f.keptIs, f.name, f.named = false, "", time.Time{}
	f.close()
	a.p.refresh()
}

// release lets a thread go on that stands still: with the signal that it was about to
// receive, or, in a group-stop, without leaving that.
func (a *Attachment) release(f *follower) {
	if !f.halted {
		return
	}
	f.halted = false
	sig, event := f.status&0x7f, f.status>>8
	grouped := f.grouped
	f.grouped = false
	switch {
	case event == 0:
		if a.w != nil && !a.w.passes(sig) {
			sig = 0
		}
		a.crashing = a.crashing || Crashes(sig)
		resume(f.tid, sig)
	case event == ptraceEventStop && sig != int(unix.SIGTRAP):
		listen(f.tid)
		f.grouped = true
		if !grouped && f.tid == a.p.PID {
			a.groupStop = sig
		}
	default:
		resume(f.tid, 0)
	}
}

// suspend has bt follow a command that has come to a group-stop.
func (a *Attachment) suspend() {
	if sig := a.groupStop; sig != 0 {
		a.groupStop = 0
		if a.w != nil {
			a.w.suspended(sig)
		}
	}
}

// exited sees to the end of a thread.
func (a *Attachment) exited(tid int, f *follower, si *siginfo) {
	if tid == a.p.PID {
		// The whole process has ended: the end of its first thread alone is told
		// when the others have ended, too. Its remains are its parent's.
		a.gone(si)
		return
	}
	collect(tid, unix.WEXITED)
	if f != nil {
		a.forget(f)
	}
}

// gone notes that the process has ended.
func (a *Attachment) gone(si *siginfo) {
	if a.end != nil {
		return
	}
	a.end = &Ended{PID: a.p.PID}
	if si == nil {
		return
	}
	if si.code == cldExited {
		a.end.Status = int(si.status)
	} else {
		a.end.Signo = int(si.status)
	}
}
