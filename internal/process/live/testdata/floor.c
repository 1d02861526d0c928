// floor PID: the least that stopping a process can cost. It seizes all
// threads, interrupts them, reads registers and 8 KiB of stack of each,
// detaches, and prints the nanoseconds from the first interrupt to the last
// detach. Run with a count as the second argument it does so several times.
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int tids[100000];
static char stacks[100000][8192];

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int pid = atoi(argv[1]), times = argc > 2 ? atoi(argv[2]) : 1, n = 0;
	char dir[64];
	snprintf(dir, sizeof dir, "/proc/%d/task", pid);
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d)) && n < 100000;)
		if (e->d_name[0] != '.')
			tids[n++] = atoi(e->d_name);
	while (times-- > 0) {
		for (int i = 0; i < n; i++)
			if (ptrace(PTRACE_SEIZE, tids[i], 0, 0) != 0)
				return perror("seize"), 1;
		long long start = now();
		for (int i = 0; i < n; i++)
			ptrace(PTRACE_INTERRUPT, tids[i], 0, 0);
		for (int i = 0; i < n; i++) {
			int status;
			waitpid(tids[i], &status, __WALL);
		}
		for (int i = 0; i < n; i++) {
			struct user_regs_struct regs;
			struct iovec iov = { &regs, sizeof regs };
			ptrace(PTRACE_GETREGSET, tids[i], NT_PRSTATUS, &iov);
			struct iovec local = { stacks[i], sizeof stacks[i] };
			struct iovec there = { (void *)regs.rsp, sizeof stacks[i] };
			process_vm_readv(pid, &local, 1, &there, 1, 0);
		}
		for (int i = 0; i < n; i++)
			ptrace(PTRACE_DETACH, tids[i], 0, 0);
		printf("%lld\n", now() - start);
	}
	return 0;
}
