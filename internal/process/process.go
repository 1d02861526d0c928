// Package process defines what a stopped process, or the remains of one, gives
// to the unwinder. Its subfolders are the kinds of target: target/live is a
// running process and the only package that uses ptrace.
package process

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind"
)

// Thread is one thread as it was at the moment of the snapshot.
type Thread struct {
	TID  int
	Name string // /proc/PID/task/TID/comm; empty when it is not known any more

	Arch *arch.Arch
	// Machine names the CPU where Arch is nil because bt does not unwind it.
	Machine string
	Regs    arch.Regs

	// Call is the system call that the thread sleeps in, valid when HasCall is set.
	Call    arch.Call
	HasCall bool

	// Blocked is the set of blocked signals (bit signo-1), valid when
	// HasBlocked is set.
	Blocked    uint64
	HasBlocked bool

	// PACMask has the bits of a code address that hold its signature; 0 where
	// that is not known, or addresses are not signed.
	PACMask uint64

	// TLS is the thread pointer, which libc has point at what pthread_self returns
	// or into it; 0 where it is not known. Of a running process it is known to
	// those that are called in the stop, and afterwards.
	TLS uint64

	// NotStopped says why the thread could not be stopped. Its registers
	// then come from /proc/PID/task/TID/syscall (the stack pointer and the
	// pc alone), or are missing altogether when HasRegs is false.
	NotStopped string
	HasRegs    bool

	// Kernel says what a thread that the kernel has made in the process is for.
	// It never runs the process's code: it has no registers and no stack there,
	// and nothing is missing. Empty for all others.
	Kernel string

	// TopOfStack is the address up to which the snapshot holds the thread's
	// stack, upwards from the stack pointer; informative.
	TopOfStack uint64
}

// Unwound is a thread with its stack.
type Unwound struct {
	Thread
	Stack unwind.Stack
}
