//go:build linux

package steptest

import "golang.org/x/sys/unix"

var breakpoint = []byte{0xcc} // int3

// setPC makes the program go on at pc.
func (t *tracee) setPC(pc uint64) error {
	// struct user_regs_struct of the tracer's width, also for a 32-bit program.
	const rip = 16 * 8
	return ptrace(unix.PTRACE_POKEUSR, t.pid, rip, uintptr(pc))
}

// exclusive implements tracee.step: there are no such instructions.
func exclusive(*tracee) []uint64 { return nil }

// variants are the ways to compile testdata/steps.c.
var variants = variantsX86
