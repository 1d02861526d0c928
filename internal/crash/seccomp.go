//go:build linux

package crash

import (
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/arch/host"
)

// The system calls that the worker keeps: those of Go's runtime, and reading of
// files. What is not listed fails with EPERM, as it does for a program without
// rights: the worker goes on. So nobody who takes the worker over by a damaged
// core has sockets, other processes, signals, keys, namespaces or files to write.
var workerCalls = []uint32{
	// Memory.
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MREMAP,
	// Threads, waiting, and Go's signals to its own threads (tgkill, below).
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RESTART_SYSCALL,
	unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	// Of libc's threads, where bt is built with cgo.
	unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_MEMBARRIER, unix.SYS_WRITEV,
	// Descriptors and files, to read. Opening is below.
	unix.SYS_READ, unix.SYS_READV, unix.SYS_PREAD64, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_FCNTL,
	unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_FSTATFS, unix.SYS_STATFS, unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_FACCESSAT,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_DUP, unix.SYS_DUP3,
	// Who and where it is.
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UNAME, unix.SYS_GETRANDOM,
	unix.SYS_GETCWD,
}

// Offsets in struct seccomp_data (linux/seccomp.h), on little-endian machines.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16 // eight bytes each
)

// What a filter answers, and how one is set (linux/seccomp.h).
const (
	retAllow = 0x7fff0000 // SECCOMP_RET_ALLOW
	retErrno = 0x00050000 // SECCOMP_RET_ERRNO

	setModeFilter    = 1 // SECCOMP_SET_MODE_FILTER
	filterAllThreads = 1 // SECCOMP_FILTER_FLAG_TSYNC
)

// writing are the flags of open that do more than read.
const writing = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND

// filterCalls leaves the process the calls above, for good. Where the kernel has
// no filters, or bt does not know the CPU's numbers, all stay: the worker's user
// has no rights to use them with.
func (j *Job) filterCalls() error {
	if host.AuditArch == 0 {
		return nil
	}
	prog := callFilter(host.AuditArch, workerCalls)
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// Without the right to gain privileges anybody may set a filter. The flag is
	// the thread's; the filter takes it to all others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, filterAllThreads, uintptr(unsafe.Pointer(&fprog)))
	switch errno {
	case 0, unix.ENOSYS, unix.EINVAL: // EINVAL: built without CONFIG_SECCOMP_FILTER
		return nil
	}
	return errno
}

// callFilter allows calls, and of three more what is harmless: clone makes
// threads, openat opens for reading, and tgkill sends to the process itself.
func callFilter(arch uint32, calls []uint32) []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	answer := func(v uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v} }
	// jump goes on at the next instruction where the word is v, else past skip.
	jump := func(v uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: v, Jf: skip}
	}
	// anyOf goes on where a bit of v is set, else past skip.
	anyOf := func(v uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: v, Jf: skip}
	}
	allow, refuse := answer(retAllow), answer(retErrno|uint32(unix.EPERM))
	// clone3 hides its flags in memory: Go's runtime and libc then take clone.
	unknown := answer(retErrno | uint32(unix.ENOSYS))

	prog := []unix.SockFilter{
		load(dataArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		refuse,
		load(dataNumber),
		jump(unix.SYS_CLONE, 4), load(dataArgs), anyOf(unix.CLONE_THREAD, 1), allow, refuse,
		jump(unix.SYS_OPENAT, 4), load(dataArgs + 2*8), anyOf(writing, 1), refuse, allow,
		jump(unix.SYS_TGKILL, 4), load(dataArgs), jump(uint32(unix.Getpid()), 1), allow, refuse,
		jump(unix.SYS_CLONE3, 1), unknown,
		jump(unix.SYS_OPENAT2, 1), unknown,
	}
	for _, nr := range slices.Concat(calls, host.FileCalls()) {
		prog = append(prog, jump(nr, 1), allow)
	}
	return append(prog, refuse)
}
