//go:build linux

package live

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/maps"
)

const (
	tcbPart  = 64       // above the thread pointer
	unknown  = 64 << 10 // copied where the top of the stack is not known
	maxTotal = 512 << 20
	maxGrown = 64 << 20 // by which [stack] may have grown since the maps were read
	iovMax   = 1024     // UIO_MAXIOV
	maxBatch = 64 << 20 // bytes that are copied without looking at the time
)

// registers reads the registers of the threads that are wanted.
func (t *tracer) registers() {
	t.stopLate()
	room := t.room
	if n := regsetRoom * len(t.threads); n > len(room) {
		room = make([]byte, n)
	}
	for i := range t.threads {
		th := &t.threads[i]
		if !th.wanted || th.st != halted {
			continue
		}
		b := room[i*regsetRoom : (i+1)*regsetRoom]
		n, errno := regset(th.tid, ntPrstatus, b)
		if errno == unix.ESRCH { // killed, maybe by execve: nothing else ends a stop
			th.st, t.attached = over, true
			t.renewed = t.renewed || th.tid == t.p.PID
			continue
		}
		if errno != 0 {
			th.out.NotStopped = "its registers cannot be read: " + errno.Error()
			continue
		}
		th.regs = b[:n]
		for _, a := range t.o.Arches {
			if a.RegsetSize != n {
				continue
			}
			if r, ok := a.DecodeRegset(th.regs); ok {
				th.out.Arch, th.out.Regs, th.out.HasRegs = a, r, true
				if a.Syscalls.Asleep != nil {
					th.out.Call, th.out.HasCall = a.Syscalls.Asleep(th.regs)
				}
				th.sp, _ = r.Get(a.SP)
				if a.PACRegset != 0 {
					th.out.PACMask, _ = regsetWord(th.tid, a.PACRegset, 1)
				}
				break
			}
		}
		switch {
		case th.out.Arch == nil:
			th.out.Machine = arch.HostName()
		case th.sp == 0 && noUserRegs(th):
			th.out.HasRegs = false
			th.out.Kernel = kernelWorker(th.name)
		}
		if mask, errno := sigmask(th.tid); errno == 0 {
			th.out.Blocked, th.out.HasBlocked = mask, true
		}
	}
	for i := range t.threads {
		if th := &t.threads[i]; th.wanted && (th.st == stuck || th.st == denying || th.st == withheld) {
			t.fromSyscall(th)
		}
	}
}

// kernelWorker says what a thread without registers is, which the kernel has made
// inside the process (io_uring/io-wq.c, io_uring/sqpoll.c, drivers/vhost/vhost.c).
func kernelWorker(name string) string {
	switch {
	case strings.HasPrefix(name, "iou-wrk-"):
		return "a worker of io_uring"
	case strings.HasPrefix(name, "iou-sqp-"):
		return "io_uring's thread that polls a submission queue"
	case strings.HasPrefix(name, "vhost-"):
		return "a worker of vhost"
	}
	return "made by the kernel"
}

func noUserRegs(th *tracee) bool {
	pc, _ := th.out.Regs.Get(th.out.Arch.PC)
	return pc == 0
}

// fromSyscall gets what procfs tells of a thread that did not stop.
func (t *tracer) fromSyscall(th *tracee) {
	st, _ := t.stat(th.tid)
	switch {
	case th.st == withheld:
		th.out.NotStopped = th.why
	case th.st == denying:
		th.out.NotStopped = "not permitted"
		if st, err := t.task.Dir.Status(strconv.Itoa(th.tid) + "/status"); err == nil {
			if tracer := st.Int("TracerPid"); tracer != 0 {
				th.out.NotStopped = "already traced by pid " + strconv.Itoa(tracer)
			}
		}
	case t.inVfork(th):
		th.out.NotStopped = "waiting in vfork"
	case st.State != 0 && st.State != 't': // it may have stopped just now
		th.out.NotStopped = "state " + string(rune(st.State))
	default:
		th.out.NotStopped = "it did not stop"
	}
	nr, args, sp, pc, ok := t.syscall(th)
	if th.st == withheld {
		nr, args, sp, pc, ok = th.at.nr, th.at.args, th.at.sp, th.at.pc, true
	}
	if !ok || sp == 0 && pc == 0 { // a thread that ends has no registers
		return
	}
	a := t.archOf(sp)
	if a == nil {
		return
	}
	th.out.Arch, th.out.HasRegs, th.sp = a, true, sp
	th.out.Regs.Set(a.SP, sp)
	th.out.Regs.Set(a.PC, pc)
	if th.out.HasCall = nr >= 0 && len(args) == len(th.out.Call.Args); th.out.HasCall {
		th.out.Call = arch.Call{Nr: nr, Args: [6]uint64(args)}
	}
	// vfork keeps its return address in an argument's register.
	for i, r := range a.Syscalls.Args {
		if i < len(args) {
			th.out.Regs.Set(r, args[i])
		}
	}
}

func (t *tracer) syscall(th *tracee) (nr int, args []uint64, sp, pc uint64, ok bool) {
	b, err := t.task.Dir.Read(strconv.Itoa(th.tid) + "/syscall")
	if err != nil {
		return -1, nil, 0, 0, false
	}
	return parseSyscall(string(b))
}

// inVfork reports whether the thread is in a system call that makes it wait
// for its child. It is meant for threads in state D.
func (t *tracer) inVfork(th *tracee) bool {
	nr, _, sp, _, ok := t.syscall(th)
	if !ok {
		return false
	}
	a := t.archOf(sp)
	return a != nil && slices.Contains(a.Syscalls.Vfork, nr)
}

// archOf guesses which of the kernel's CPUs a thread is of whose registers cannot
// be read: only 32-bit code has its stack below 4 GiB.
func (t *tracer) archOf(sp uint64) *arch.Arch {
	size := 8
	if sp>>32 == 0 {
		size = 4
	}
	for _, a := range t.o.Arches {
		if a.PtrSize == size {
			return a
		}
	}
	return nil
}

// threadPointer returns the address that glibc and musl have point into the
// top of a thread's stack.
func (th *tracee) threadPointer() (uint64, bool) {
	a := th.out.Arch
	if a.TLSBase != nil {
		return a.TLSBase(th.regs)
	}
	if a.TLSRegset != 0 {
		return regsetWord(th.tid, a.TLSRegset, 0)
	}
	if a.TLSEntry != nil {
		if entry, ok := a.TLSEntry(th.regs); ok {
			return threadArea(th.tid, entry)
		}
	}
	return 0, false
}

// plan decides which addresses of a thread's stack to copy.
func (t *tracer) plan(th *tracee) {
	sp := th.sp
	m := t.mm.Find(sp)
	if m != nil && m.Perm&maps.Read == 0 {
		// It has run into a guard page: the stack is what lies above.
		if above := t.mm.Find(m.End); above != nil && above.Perm&maps.Read != 0 {
			sp, m = m.End, above
		}
	}
	if m == nil && t.stack != nil && sp < t.stack.Start && t.stack.Start-sp <= maxGrown {
		m = t.stack
	}
	var lo, hi uint64
	switch {
	case m == nil:
		hi = sp + unknown
		if hi < sp {
			hi = ^uint64(0)
		}
	case m == t.stack:
		hi, th.out.Complete = m.End, true
	default:
		hi = m.End
		// Not for the first thread: its thread pointer is in a mapping of
		// its own, with which that of an alternate stack may have merged.
		if th.st == halted && th.tid != t.p.PID {
			if tls, ok := th.threadPointer(); ok && tls > sp && tls <= m.End {
				hi, th.out.Complete = min(hi, tls+tcbPart), true
			}
		}
	}
	lo = sp - min(sp, uint64(th.out.Arch.RedZone))
	if m != nil && m.Start <= sp {
		lo = max(lo, m.Start)
	}
	th.lo, th.hi = lo, hi
	if th.out.Complete {
		th.limit(t.o.MaxStack)
	} else {
		th.limit(min(t.o.MaxStack, unknown))
	}
}

// limit bounds what is to be copied of the thread.
func (th *tracee) limit(n int) {
	if th.hi-th.lo > uint64(n) {
		th.hi, th.out.Complete = th.lo+uint64(n), false
	}
}

// copyStacks copies the stacks with as few system calls as possible.
func (t *tracer) copyStacks() {
	t.reader.tid = t.p.PID
	total, n := 0, 0
	for i := range t.threads {
		th := &t.threads[i]
		if th.st == halted || th.st == stuck || th.st == withheld {
			t.reader.tid = th.tid // one with an address space, unlike a dead leader
		}
		if th.wanted && th.st != over && th.out.HasRegs && th.sp != 0 {
			t.plan(th)
			total += int(th.hi - th.lo)
			n++
		}
	}
	if total > maxTotal {
		total = 0
		for i := range t.threads {
			t.threads[i].limit(maxTotal / n)
			total += int(t.threads[i].hi - t.threads[i].lo)
		}
	}
	if total > len(t.arena) {
		t.arena = make([]byte, total)
	}
	// batch holds the indices of the threads whose pieces are in t.iov.
	batch := make([]int, 0, min(n, iovMax))
	used, size := 0, 0
	flush := func() {
		if t.budget.late() {
			for _, i := range batch {
				t.threads[i].out.Complete, t.threads[i].out.Cut = false, CutByTime
			}
		} else {
			t.copyBatch(batch, t.arena[used:used+size])
		}
		used, size = used+size, 0
		batch, t.iov = batch[:0], t.iov[:0]
	}
	for i := range t.threads {
		th := &t.threads[i]
		if th.hi == th.lo {
			continue
		}
		batch = append(batch, i)
		t.iov = append(t.iov, remote{th.lo, th.hi - th.lo})
		size += int(th.hi - th.lo)
		if len(batch) == iovMax || size >= maxBatch {
			flush()
		}
	}
	if len(batch) > 0 {
		flush()
	}
}

// copyBatch reads t.iov into b, which is as large as all of it.
func (t *tracer) copyBatch(batch []int, b []byte) {
	for k := 0; k < len(batch); {
		got := 0
		if t.reader.mem < 0 {
			n, errno := processVMReadv(t.reader.tid, b, t.iov[k:len(batch)])
			if errno != 0 && errno != unix.EFAULT {
				t.reader.fallback()
			}
			got = max(n, 0)
			if errno != 0 {
				got = 0
			}
		}
		// The pieces that came whole.
		for ; k < len(batch); k++ {
			size := int(t.iov[k].len)
			if got < size {
				break
			}
			t.keep(batch[k], b[:size])
			b, got = b[size:], got-size
		}
		if k == len(batch) {
			return
		}
		// The one that ended the call: as much as there is of it.
		size := int(t.iov[k].len)
		n := t.reader.read(t.iov[k].base, b[:size])
		t.keep(batch[k], b[:n])
		b = b[size:]
		k++
	}
}

// keep records what was read of a thread's stack.
func (t *tracer) keep(i int, b []byte) {
	th := &t.threads[i]
	lo := th.lo
	if len(b) < int(th.hi-th.lo) {
		th.out.Complete = false
		// The stack pointer is off the stack: take what lies above.
		if len(b) == 0 && t.stack != nil && lo < t.stack.Start && th.hi > t.stack.Start {
			lo = t.stack.Start
			b = b[:min(uint64(cap(b)), th.hi-lo)]
			b = b[:t.reader.read(lo, b)]
		}
	}
	if len(b) == 0 {
		return
	}
	th.out.segs = []segment{{lo, b[:len(b):len(b)]}}
	th.out.TopOfStack = lo + uint64(len(b))
}

// walk has the caller follow the stacks that the copy may lack a part of.
func (t *tracer) walk() {
	if t.o.Walk == nil {
		return
	}
	for i := range t.threads {
		th := &t.threads[i]
		if !th.out.HasRegs || th.st == rests || th.st == released || th.out.Complete && !t.o.WalkAll {
			continue
		}
		if t.budget.late() {
			if !th.out.Complete {
				th.out.Cut = CutByTime
			}
			continue
		}
		f := fetching{copied: copied{segs: th.out.segs}, read: t.reader.read, ahead: page, budget: &t.budget}
		th.out.TID, th.out.Name = th.tid, th.name
		t.o.Walk(&th.out.Thread, &f)
		th.out.segs, th.out.Cut = f.segs, f.cut
	}
}

// fallback turns to /proc/TID/mem.
func (r *reader) fallback() bool {
	if r.mem < 0 {
		fd, err := r.dir.Open("task/"+strconv.Itoa(r.tid)+"/mem", unix.O_RDONLY)
		if err != nil {
			return false
		}
		r.mem = fd
	}
	return true
}
