package crash

import "golang.org/x/sys/unix"

// oldCalls are those that newer CPUs do not have.
var oldCalls = []uint32{unix.SYS_EPOLL_WAIT, unix.SYS_NEWFSTATAT, unix.SYS_READLINK, unix.SYS_ACCESS, unix.SYS_GETRLIMIT, unix.SYS_ARCH_PRCTL, unix.SYS_TIME, unix.SYS_GETTIMEOFDAY}
