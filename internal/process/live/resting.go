//go:build linux

package live

import (
	"bytes"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A thread that has not been on a CPU since it was looked at last is as it was then.
// The kernel counts how often it gives a CPU to each thread: the third number of
// /proc/PID/task/TID/schedstat. Our own stops count, too. So there are two steps. Once a
// thread that was stopped and copied sleeps again, bt reads its registers pc and sp from
// /proc/PID/task/TID/syscall, and its stack: if they are as they were in the copy, and
// the count has not changed over that reading, then it sleeps where it slept before, and
// the copy is true of it until the count changes.
//
// What that cannot see are registers that the sleeping function has not saved. They hold
// what they held when the thread slept here before, with the same callers, the same
// local variables and the same saved registers on the stack.

// looked is what to do with a thread for a sample.
type looked uint8

const (
	lookStop  looked = iota // it has to be stopped
	lookRests               // it sleeps as it did
	lookSkip                // it is not wanted
)

// look finds out what to do with a thread.
func (a *Attachment) look(f *follower) looked {
	runs, ok := a.runs(f)
	if a.o.OnCPU {
		if ok && f.asleep && runs == f.runs {
			return lookSkip
		}
		st, err := a.t.stat(f.tid)
		if err != nil {
			return lookSkip
		}
		f.runs, f.asleep = runs, st.State != 'R'
		if f.asleep {
			return lookSkip
		}
		return lookStop
	}
	if f.tid == a.p.PID {
		if st, err := a.t.stat(f.tid); err != nil || st.Dead() {
			return lookSkip // it has ended, and others have not
		}
	}
	if !ok || !f.keptIs {
		return lookStop
	}
	if f.resting && runs == f.runs {
		f.still = true
		return lookRests
	}
	f.resting, f.still = false, false
	if !a.sleepsAsKept(f) {
		return lookStop
	}
	again, ok := a.runs(f)
	if !ok || again != runs {
		return lookStop
	}
	f.resting, f.runs = true, runs
	return lookRests
}

// runs is how often the thread was given a CPU. It is false where the kernel does not
// count that.
func (a *Attachment) runs(f *follower) (uint64, bool) {
	var b [96]byte
	if f.sched < 0 {
		fd, err := a.t.task.Dir.Open(schedOf(f.tid), unix.O_RDONLY)
		if err != nil {
			return 0, false
		}
		f.sched = fd
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(f.sched), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	if errno != 0 || int(n) > len(b) {
		return 0, false
	}
	fields := bytes.Fields(b[:n])
	if len(fields) != 3 {
		return 0, false
	}
	runs, err := strconv.ParseUint(string(fields[2]), 10, 64)
	return runs, err == nil && runs > 0
}

// sleepsAsKept reports whether the thread sleeps with the pc, the stack pointer and the
// stack that are kept of it. The caller makes sure that it does not run meanwhile.
func (a *Attachment) sleepsAsKept(f *follower) bool {
	_, _, sp, pc, ok := a.t.syscall(&tracee{tid: f.tid})
	if !ok || sp != f.keptSP || pc != f.keptPC && pc != f.keptPC+uint64(f.kept.Arch.Syscalls.Rewound) {
		return false
	}
	for i := range f.kept.segs {
		s := &f.kept.segs[i]
		if len(a.scratch) < len(s.data) {
			a.scratch = make([]byte, maxKept)
		}
		b := a.scratch[:len(s.data)]
		if n, err := readv(f.tid, s.start, b); err != nil || n < len(b) || !bytes.Equal(b, s.data) {
			return false
		}
	}
	return true
}

// keep keeps what was copied of a thread that was stopped, if that is all of its stack.
func (a *Attachment) keep(f *follower, th *tracee) {
	f.keptIs = false
	size := 0
	for i := range th.out.segs {
		size += len(th.out.segs[i].data)
	}
	if a.o.OnCPU || th.st != halted && th.st != released || th.out.Arch == nil || !th.out.HasRegs || th.out.Cut != Uncut || len(th.out.segs) == 0 || size > maxKept {
		return
	}
	if size > cap(f.keptRoom) {
		if a.keptBytes+size > maxKeptTotal {
			return
		}
		a.keptBytes += size - cap(f.keptRoom)
		f.keptRoom = make([]byte, size)
	}
	// The segments are the kept thread's own: those of the sample are written over.
	room := f.keptRoom[:cap(f.keptRoom)]
	segs := f.kept.segs[:0]
	for _, s := range th.out.segs {
		n := copy(room, s.data)
		segs = append(segs, segment{s.start, room[:n:n]})
		room = room[n:]
	}
	f.kept, f.keptIs = th.out, true
	f.kept.segs = segs
	f.keptPC, _ = th.out.Regs.Get(th.out.Arch.PC)
	f.keptSP, _ = th.out.Regs.Get(th.out.Arch.SP)
}
