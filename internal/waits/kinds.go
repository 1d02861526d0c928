//go:build linux

package waits

import "sync"

// class is what is known of a system call beside its arguments.
type class uint8

const (
	plainCall class = iota
	futexCall
	fdCall // it waits for a descriptor
	pollCall
	selectCall
	epollCall
	sleepCall
	childCall
	connectCall
	flockCall
	fcntlCall
)

// kind describes a system call.
type kind struct {
	class  class
	known  bool // args are all that it has
	writes bool // of fdCall: what is waited for is room
	fd     int  // of fdCall: the number of the argument that is waited for
	// args are the kinds of the arguments: d descriptor, D directory's descriptor, i
	// int, u unsigned, x flags, p pointer, s path, t timespec, T timespec that is a
	// timeout, V timeval that is one, m timeout in milliseconds.
	args string
}

func plain(args string) kind { return kind{known: true, args: args} }

func reads(args string) kind  { return kind{class: fdCall, known: true, args: args} }
func writes(args string) kind { return kind{class: fdCall, known: true, writes: true, args: args} }

// kinds describes the system calls that sleep, by their names: those of all CPUs.
var kinds = sync.OnceValue(func() map[string]kind {
	m := make(map[string]kind, len(kindList))
	for i := range kindList {
		m[kindList[i].name] = kindList[i].kind
	}
	return m
})

var kindList = [...]struct {
	name string
	kind kind
}{
	{"futex", kind{class: futexCall, args: "pxuT"}},
	{"futex_time64", kind{class: futexCall, args: "pxuT"}},

	{"read", reads("dpu")},
	{"readv", reads("dpu")},
	{"pread64", reads("dpuu")},
	{"preadv", reads("dpuu")},
	{"preadv2", reads("dpuu")},
	{"recvfrom", reads("dpux")},
	{"recvmsg", reads("dpx")},
	{"recvmmsg", reads("dpuxT")},
	{"accept", reads("dpp")},
	{"accept4", reads("dppx")},
	{"splice", plain("dpdpux")},
	{"tee", plain("ddux")},
	{"getdents", reads("dpu")},
	{"getdents64", reads("dpu")},
	{"ioctl", reads("dxp")},
	{"fsync", reads("d")},
	{"fdatasync", reads("d")},
	{"syncfs", reads("d")},
	{"close", reads("d")},
	{"ftruncate", reads("du")},
	{"fallocate", reads("diuu")},
	{"mq_timedreceive", reads("dpupT")},
	{"io_uring_enter", reads("duuxpu")},
	{"fanotify_mark", reads("dx")},
	{"recvmmsg_time64", reads("dpuxT")},
	{"mq_timedreceive_time64", reads("dpupT")},

	{"write", writes("dpu")},
	{"writev", writes("dpu")},
	{"pwrite64", writes("dpuu")},
	{"pwritev", writes("dpuu")},
	{"pwritev2", writes("dpuu")},
	{"sendto", writes("dpux")},
	{"sendmsg", writes("dpx")},
	{"sendmmsg", writes("dpux")},
	{"sendfile", plain("ddpu")},
	{"sendfile64", plain("ddpu")},
	{"vmsplice", writes("dpux")},
	{"mq_timedsend", writes("dpuuT")},
	{"mq_timedsend_time64", writes("dpuuT")},

	{"connect", kind{class: connectCall, known: true, args: "dpu"}},
	{"flock", kind{class: flockCall, known: true, args: "dx"}},
	{"fcntl", kind{class: fcntlCall, known: true, args: "dip"}},
	{"fcntl64", kind{class: fcntlCall, known: true, args: "dip"}},

	{"poll", kind{class: pollCall, known: true, args: "pum"}},
	{"ppoll", kind{class: pollCall, known: true, args: "puTp"}},
	{"ppoll_time64", kind{class: pollCall, known: true, args: "puTp"}},
	{"select", kind{class: selectCall, known: true, args: "ipppV"}},
	{"_newselect", kind{class: selectCall, known: true, args: "ipppV"}},
	{"pselect6", kind{class: selectCall, known: true, args: "ipppTp"}},
	{"pselect6_time64", kind{class: selectCall, known: true, args: "ipppTp"}},
	{"epoll_wait", kind{class: epollCall, known: true, args: "dpim"}},
	{"epoll_pwait", kind{class: epollCall, known: true, args: "dpimp"}},
	{"epoll_pwait2", kind{class: epollCall, known: true, args: "dpiTp"}},

	{"nanosleep", kind{class: sleepCall, known: true, args: "tt"}},
	{"clock_nanosleep", kind{class: sleepCall, known: true, args: "ixtt"}},
	{"clock_nanosleep_time64", kind{class: sleepCall, known: true, args: "ixtt"}},

	{"wait4", kind{class: childCall, known: true, args: "ipxp"}},
	{"waitpid", kind{class: childCall, known: true, args: "ipx"}},
	{"waitid", kind{class: childCall, known: true, args: "iipxp"}},

	{"pause", plain("")},
	{"rt_sigsuspend", plain("pu")},
	{"sigsuspend", plain("")},
	{"rt_sigtimedwait", plain("ppTu")},
	{"rt_sigtimedwait_time64", plain("ppTu")},
	{"open", plain("sx")},
	{"openat", plain("Dsx")},
	{"openat2", plain("Dspu")},
	{"stat", plain("sp")},
	{"lstat", plain("sp")},
	{"stat64", plain("sp")},
	{"lstat64", plain("sp")},
	{"newfstatat", plain("Dspx")},
	{"fstatat", plain("Dspx")},
	{"fstatat64", plain("Dspx")},
	{"statx", plain("Dsxxp")},
	{"access", plain("sx")},
	{"faccessat", plain("Dsx")},
	{"faccessat2", plain("Dsxx")},
	{"readlink", plain("spu")},
	{"readlinkat", plain("Dspu")},
	{"unlink", plain("s")},
	{"unlinkat", plain("Dsx")},
	{"mkdir", plain("sx")},
	{"mkdirat", plain("Dsx")},
	{"rmdir", plain("s")},
	{"rename", plain("ss")},
	{"chdir", plain("s")},
	{"truncate", plain("su")},
	{"creat", plain("sx")},
	{"execve", plain("spp")},
	{"statfs", plain("sp")},
	{"sync", plain("")},
	{"vfork", plain("")},
	{"sched_yield", plain("")},
	{"semop", plain("ipu")},
	{"semtimedop", plain("ipuT")},
	{"semtimedop_time64", plain("ipuT")},
	{"msgrcv", plain("ipuix")},
	{"msgsnd", plain("ipux")},
	{"io_getevents", plain("xiipT")},
	{"io_pgetevents", plain("xiipTp")},
	{"munmap", plain("pu")},
	{"mmap", plain("puxxdu")},
	{"mprotect", plain("pux")},
	{"madvise", plain("pui")},
	{"exit", plain("i")},
	{"exit_group", plain("i")},
	{"getrandom", plain("pux")},
	{"ptrace", plain("iipp")},
	{"futex_waitv", plain("puxTi")},
}
