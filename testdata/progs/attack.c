// A user who tries to harm processes: the numbers of those come on standard input,
// a line each. He goes on trying until its end, then says how often he has tried,
// and on a line of its own what he could do.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long tries;
static int done[16];

static void could(int what, const char *text, pid_t pid, int yes)
{
	tries++;
	if (yes && !done[what]) {
		done[what] = 1;
		printf("%s of %d\n", text, (int)pid);
		fflush(stdout);
	}
}

static int opens(pid_t pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	char c;
	// Of a process that is ending anybody may open these, and reads nothing.
	int yes = fd >= 0 && (!strncmp(name, "fd/", 3) || read(fd, &c, 1) > 0);
	if (fd >= 0)
		close(fd);
	return yes;
}

static void attack(pid_t pid)
{
	struct rlimit limit = {1, 1};
	char c;
	struct iovec here = {&c, 1}, there = {(void *)0x400000, 1};
	could(0, "ptrace", pid, ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
	could(1, "a signal", pid, kill(pid, SIGSTOP) == 0);
	could(2, "the priority", pid, setpriority(PRIO_PROCESS, pid, 19) == 0);
	could(3, "a limit", pid, prlimit(pid, RLIMIT_CPU, &limit, NULL) == 0);
	could(4, "the memory by a system call", pid, process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT);
	could(5, "the memory by /proc", pid, opens(pid, "mem"));
	could(6, "the maps", pid, opens(pid, "maps"));
	could(7, "the environment", pid, opens(pid, "environ"));
	could(8, "the descriptors", pid, opens(pid, "fd/0"));
	int fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd >= 0) {
		int got = syscall(SYS_pidfd_getfd, fd, 0, 0);
		could(9, "a descriptor by pidfd_getfd", pid, got >= 0);
		if (got >= 0)
			close(got);
		close(fd);
	}
}

int main(void)
{
	pid_t pids[8];
	int n = 0;
	char line[256];
	size_t len = 0;
	for (;;) {
		struct pollfd p = {0, POLLIN, 0};
		if (poll(&p, 1, n ? 0 : -1) > 0) {
			ssize_t got = read(0, line + len, sizeof line - 1 - len);
			if (got <= 0)
				break;
			len += got;
			line[len] = 0;
			char *nl;
			while ((nl = strchr(line, '\n'))) {
				if (n < 8)
					pids[n++] = atoi(line);
				len -= nl + 1 - line;
				memmove(line, nl + 1, len + 1);
			}
		}
		for (int i = 0; i < n; i++)
			attack(pids[i]);
	}
	printf("tried %ld times\n", tries);
	return 0;
}
