//go:build linux

package live

import (
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/guard"
)

// The requests of <linux/ptrace.h> that bt makes. All but PTRACE_SEIZE are raw
// system calls: they cannot block, and the target stands still meanwhile.
const (
	ptraceCont          = 7
	ptraceDetach        = 17
	ptraceGetThreadArea = 25
	ptraceGetEventMsg   = 0x4201
	ptraceGetSiginfo    = 0x4202
	ptraceGetRegset     = 0x4204
	ptraceSeize         = 0x4206
	ptraceInterrupt     = 0x4207
	ptraceListen        = 0x4208
	ptraceGetSigmask    = 0x420a

	ntPrstatus = 1
)

func ptrace(req uintptr, tid int, addr uintptr, data unsafe.Pointer) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, req, uintptr(tid), addr, uintptr(data), 0, 0)
	return errno
}

// seize may wait for an execve to end (ptrace_attach in kernel/ptrace.c).
// options are PTRACE_O_….
func seize(tid int, options uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, ptraceSeize, uintptr(tid), 0, options, 0, 0)
	return errno
}

func interrupt(tid int) unix.Errno { return ptrace(ptraceInterrupt, tid, 0, nil) }

// detach lets the thread go on, with the signal sig if that is not 0.
func detach(tid, sig int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, ptraceDetach, uintptr(tid), 0, uintptr(sig), 0, 0)
	return errno
}

// regset reads a register set into b and returns its size. Of the general
// registers, ntPrstatus, the kernel gives 32-bit code its own set.
func regset(tid int, typ uint32, b []byte) (int, unix.Errno) {
	iov := unix.Iovec{Base: &b[0]}
	iov.SetLen(len(b))
	errno := ptrace(ptraceGetRegset, tid, uintptr(typ), unsafe.Pointer(&iov))
	return int(iov.Len), errno
}

func sigmask(tid int) (uint64, unix.Errno) {
	var mask uint64
	errno := ptrace(ptraceGetSigmask, tid, 8, unsafe.Pointer(&mask))
	return mask, errno
}

// regsetWord reads word i of a register set of 64-bit words.
func regsetWord(tid int, typ uint32, i int) (uint64, bool) {
	var b [2]uint64
	n, errno := regset(tid, typ, unsafe.Slice((*byte)(unsafe.Pointer(&b)), int(unsafe.Sizeof(b))))
	if i == 0 && n == 4 { // of a 32-bit process
		return uint64(*(*uint32)(unsafe.Pointer(&b))), errno == 0
	}
	return b[i], errno == 0 && n >= 8*(i+1)
}

// threadArea returns the base of a segment of the GDT's thread-local entries.
func threadArea(tid, entry int) (uint64, bool) {
	var desc struct{ entry, base, limit, flags uint32 } // struct user_desc
	errno := ptrace(ptraceGetThreadArea, tid, uintptr(entry), unsafe.Pointer(&desc))
	return uint64(desc.base), errno == 0
}

// siginfo is the part of siginfo_t that waitid fills in, on 64-bit CPUs.
type siginfo struct {
	signo, errno, code, _ int32
	pid, uid, status      int32
	_                     [100]byte
}

const (
	cldExited  = 1
	cldKilled  = 2
	cldDumped  = 3
	cldTrapped = 4

	ptraceEventClone = 3
	ptraceEventExec  = 4
	ptraceEventStop  = 128
)

// waitState is what has become of a thread that was told to stop.
type waitState uint8

const (
	running waitState = iota
	stopped
	ended // only its remains wait to be collected
	lost  // no such tracee: it was released, or renamed by execve
)

// poll asks, without waiting, what has become of a thread. sig is the signal
// that it was about to receive: it must be detached with it.
//
// WNOWAIT leaves that signal with the thread in the kernel as well
// (wait_task_stopped in kernel/exit.c would take it): should bt be killed
// now, the thread receives it all the same.
func poll(tid int) (st waitState, sig int) {
	st, status := pollStatus(tid)
	if status>>8 != 0 {
		// Our interruption, a group-stop, in which detaching leaves it, or
		// something else that is no signal's delivery.
		return st, 0
	}
	return st, status & 0x7f
}

// pollStatus is poll, and returns of a thread that has stopped the whole status: a
// signal, and above its 8 bits the event.
func pollStatus(tid int) (st waitState, status int) {
	var si siginfo
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_WAITID, unix.P_PID, uintptr(tid), uintptr(unsafe.Pointer(&si)),
			unix.WSTOPPED|unix.WEXITED|unix.WALL|unix.WNOWAIT|unix.WNOHANG, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return lost, 0
		}
		break
	}
	switch {
	case si.pid == 0:
		return running, 0
	case si.code == cldExited || si.code == cldKilled || si.code == cldDumped:
		return ended, 0
	}
	return stopped, int(si.status)
}

// reap collects the remains of a thread that has ended, and nothing else: a
// wait for any tracee takes its stops too, whatever its options say, and the
// signal that it has stopped for with them (wait_task_stopped).
func reap(tid int) {
	if st, _ := poll(tid); st == ended {
		unix.RawSyscall6(unix.SYS_WAITID, unix.P_PID, uintptr(tid), 0, unix.WEXITED|unix.WALL|unix.WNOHANG, 0, 0)
	}
}

// pause sleeps for less than the Go scheduler would need to get a goroutine
// that is bound to its thread back to it.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil)
}

// goFirst has the calling thread go before all threads of the usual kind, and reports
// whether that was permitted. A process that stands still must not wait until the thread
// that lets it go on gets a CPU. No thread that is made by this one goes before others.
func goFirst() bool {
	const roundRobin, notInherited = 2, 0x40000000 // SCHED_RR, SCHED_RESET_ON_FORK
	priority := int32(1)
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, roundRobin|notInherited, uintptr(unsafe.Pointer(&priority)))
	return errno == 0
}

// nap is pause for short times in which bt must be the one to go on: the Go scheduler
// does not hear of it, and gives the processor that the goroutine runs on to no other.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

func yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// quietStops keeps every stop of a tracee from sending bt a SIGCHLD, whose
// handler would take the CPU that the tracee needs: SA_NOCLDSTOP. Children that
// end are reported as before.
var quietStops = sync.OnceFunc(func() {
	const noCldStop = 1
	var act action
	if setAction(unix.SIGCHLD, nil, &act) == 0 {
		act[1] |= noCldStop
		setAction(unix.SIGCHLD, &act, nil)
	}
})

// onDyingThread runs f on an OS thread that ends when f returns, and returns
// that thread's TID. Ptrace binds tracees to the thread that seized them: when
// it ends, the kernel lets go of every one that is left.
func onDyingThread(f func()) (tid int) {
	done := make(chan struct{})
	go guard.Run(func() {
		// A goroutine that ends without unlocking takes its thread along.
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			defer close(done)
			tid = unix.Gettid()
			f()
			return
		}
		// But not the process's first thread, which Go only parks. While
		// this goroutine holds that one, the next cannot be on it.
		tid = onDyingThread(f)
		runtime.UnlockOSThread()
		close(done)
	})
	<-done
	return tid
}

// waitThreadEnd waits until bt's own thread tid has ended and with it, as
// exit_notify in kernel/exit.c comes first, its hold on every tracee.
func waitThreadEnd(tid int) {
	pid := unix.Getpid()
	for i := range 2000 {
		if unix.Tgkill(pid, tid, 0) == unix.ESRCH {
			return
		}
		time.Sleep(time.Duration(min(20*(i+1), 1000)) * time.Microsecond)
	}
}
