//go:build linux

package live

import (
	"strconv"
	"time"

	"github.com/gatedso/bt/internal/procfs"
)

// Some threads must not be interrupted: it would change what they do, and they
// do not stop either. Where they are is in /proc/PID/task/TID/syscall already,
// but only as long as they sleep: that is read before anything else.
//
// The kernel's functions that they sleep in are in /proc/PID/task/TID/wchan.
// Linux 5.15 has none there, nor has any for a user who may not ptrace the
// thread: such a user cannot interrupt it either.
var withheldIn = map[string]string{
	// A page fault of the kernel's own that a userfaultfd is to serve.
	// Interrupted, it is retried in an endless loop, as only a fatal signal
	// ends it (fault_signal_pending, include/linux/sched/signal.h). It goes
	// on when bt is gone, because the interruption stays pending until the
	// thread returns from the system call.
	"handle_userfault": "waiting for a page from a userfaultfd",
	// A request to a FUSE server. Any signal, also one that stops, makes the
	// kernel ask the server to break the request off (request_wait_answer,
	// fs/fuse/dev.c).
	"request_wait_answer": "waiting for a FUSE server",
}

// graceWithheld is how long a thread that must not be interrupted may take to
// go on: most requests to file systems are short.
const graceWithheld = 2 * time.Millisecond

// spare looks for threads from index from on that must not be interrupted, and
// sets them aside.
func (t *tracer) spare(from int) {
	for i := from; i < len(t.threads); i++ {
		if th := &t.threads[i]; th.st == found {
			t.withhold(th)
		}
	}
}

// withhold sets th aside if it must not be interrupted, and reports whether.
func (t *tracer) withhold(th *tracee) bool {
	why := ""
	if t.dumping {
		why = "its core is being dumped"
	} else if name, err := t.task.Dir.Read(strconv.Itoa(th.tid) + "/wchan"); err == nil && len(name) > 1 {
		why = withheldIn[string(name)]
	}
	if why == "" {
		return false
	}
	nr, args, sp, pc, ok := t.syscall(th)
	if !ok || nr < 0 && !t.dumping {
		// It goes on; or it has not come from a system call, and a fault of
		// a program's own instruction is left for any signal.
		return false
	}
	th.st, th.why = withheld, why
	th.at = syscallRegs{nr: nr, args: args, sp: sp, pc: pc}
	return true
}

// release interrupts the threads that were set aside and go on by now.
func (t *tracer) release() {
	waits := 0
	for i := range t.threads {
		if t.threads[i].st == withheld {
			waits++
		}
	}
	if waits == 0 || t.dumping {
		return
	}
	for end := time.Now().Add(graceWithheld); waits > 0 && time.Now().Before(end); pause(200 * time.Microsecond) {
		for i := range t.threads {
			th := &t.threads[i]
			if th.st != withheld || t.withhold(th) {
				continue
			}
			waits--
			th.st, th.why = found, ""
			t.seize(th)
			if th.st == seized && interrupt(th.tid) != 0 {
				t.over(th, false)
			}
		}
	}
	t.wait(0)
}

// dumpsCore reports whether the kernel is writing a core of the process. Until
// Linux 5.19 any signal makes it stop that (dump_interrupted, fs/coredump.c).
func dumpsCore(st procfs.Status) bool { return st["CoreDumping"] == "1" }
