//go:build linux

package live

import (
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alarm ends a wait of the thread that made it: the kernel sends that thread a signal
// when the time has come, and again and again after that, should the first have come
// just before the wait began. A thread that waits for its tracees has no other way to
// wait for a time as well.
type alarm struct{ id int32 }

// alarmSignal is a real-time signal that nothing else in bt uses.
const alarmSignal = unix.Signal(34 + 21)

// alarmAgain is how late a wait ends at most that the signal came too early for.
const alarmAgain = time.Millisecond

// interruptible has the signal end system calls, which the Go runtime's handlers do
// not by themselves: SA_RESTART.
var interruptible = sync.OnceFunc(func() {
	const restart = 0x10000000
	var act action
	if setAction(alarmSignal, nil, &act) == 0 {
		act[1] &^= restart
		setAction(alarmSignal, &act, nil)
	}
})

// newAlarm makes an alarm for the calling thread, which must be locked.
func newAlarm() (*alarm, error) {
	interruptible()
	// struct sigevent, with the thread's number where the kernel has it.
	event := struct {
		value         uint64
		signo, notify int32
		tid           int32
		_             [44]byte
	}{signo: int32(alarmSignal), notify: 4 /* SIGEV_THREAD_ID */, tid: int32(unix.Gettid())}
	a := new(alarm)
	_, _, errno := unix.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&a.id)))
	if errno != 0 {
		return nil, errno
	}
	return a, nil
}

// set has the alarm go off in d, and again and again from then on; 0 turns it off.
func (a *alarm) set(d time.Duration) {
	var every time.Duration
	if d > 0 {
		every = alarmAgain
	}
	spec := [2]unix.Timespec{unix.NsecToTimespec(int64(every)), unix.NsecToTimespec(int64(d))}
	unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(a.id), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

func (a *alarm) close() { unix.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(a.id), 0, 0) }
