package host

import "golang.org/x/sys/unix"

// AuditArch is how a filter of system calls knows the CPU that a number is of
// (linux/audit.h); 0 where FileCalls is not known.
const AuditArch uint32 = unix.AUDIT_ARCH_X86_64

// FileCalls are the system calls, beyond those that all CPUs have, by which Go's
// runtime and libc read files, wait, and ask the time.
func FileCalls() []uint32 {
	return []uint32{
		unix.SYS_EPOLL_WAIT, unix.SYS_NEWFSTATAT, unix.SYS_READLINK, unix.SYS_ACCESS, unix.SYS_GETRLIMIT,
		unix.SYS_ARCH_PRCTL, unix.SYS_TIME, unix.SYS_GETTIMEOFDAY,
	}
}
