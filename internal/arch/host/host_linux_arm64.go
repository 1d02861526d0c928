package host

import "golang.org/x/sys/unix"

// AuditArch is how a filter of system calls knows the CPU that a number is of
// (linux/audit.h); 0 where FileCalls is not known.
const AuditArch uint32 = unix.AUDIT_ARCH_AARCH64

// FileCalls are the system calls, beyond those that all CPUs have, by which Go's
// runtime and libc read files, wait, and ask the time.
func FileCalls() []uint32 { return []uint32{unix.SYS_FSTATAT} }
