// modes MODE: a process in one of the states that are hard to look at. Each
// prints "ready" when it is there.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static char **args;

static void ready(void)
{
	printf("ready\n");
	fflush(stdout);
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static pthread_t thread(void *(*f)(void *), void *arg)
{
	pthread_t t;
	while (pthread_create(&t, NULL, f, arg) != 0)
		usleep(100);
	return t;
}

// churn: threads created and ended all the while, by several creators.
static void *nothing(void *arg) { return arg; }

static void *creator(void *arg)
{
	for (;;) {
		pthread_t t[8];
		for (int i = 0; i < 8; i++)
			t[i] = thread(nothing, NULL);
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
	return arg;
}

static void churn(void)
{
	thread(creator, NULL);
	thread(creator, NULL);
	ready();
	sleeper(NULL);
}

// vfork [thread]: waits for a vfork child that lives until its input ends, and
// then says so.
static void vforking(void)
{
	if (args[2])
		thread(sleeper, NULL);
	ready();
	if (vfork() == 0) {
		char c;
		while (read(0, &c, 1) > 0)
			;
		_exit(0);
	}
	printf("done\n");
	fflush(stdout);
	sleeper(NULL);
}

// leader: the first thread ends, another lives.
static void *tell(void *arg)
{
	usleep(20000);
	ready();
	return sleeper(arg);
}

static void leader(void)
{
	thread(tell, NULL);
	pthread_exit(NULL);
}

// zombie: a child that nobody waits for; prints its PID.
static void zombie(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t si;
	waitid(P_PID, pid, &si, WEXITED | WNOWAIT);
	ready();
	printf("%d\n", pid);
	fflush(stdout);
	sleeper(NULL);
}

// exec N first: a thread that is not the first runs the program anew, N times; each
// says so.
static void *again(void *arg)
{
	char n[16];
	snprintf(n, sizeof n, "%d", atoi(args[2]) - 1);
	execl("/proc/self/exe", "modes", "exec", n, NULL);
	return arg;
}

static void execing(void)
{
	if (args[3]) // the first of them
		ready();
	for (int i = 0; i < 3; i++)
		thread(sleeper, NULL);
	if (atoi(args[2]) > 0)
		thread(again, NULL);
	else
		printf("done\n"), fflush(stdout);
	sleeper(NULL);
}

// altstack: a signal handler that waits on an alternate stack, below a frame
// with a mark.
static void handler(int sig)
{
	(void)sig;
	ready();
	sleeper(NULL);
}

static void altstack(void)
{
	volatile long mark[2] = { 0x5eed0000 + getpid(), 0 };
	size_t size = 64 << 10;
	stack_t ss = { .ss_size = size, .ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
	sigaltstack(&ss, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	printf("%ld\n", mark[0]);
}

// signals N: counts N queued realtime signals, which must come in order.
static volatile int count, disorder;

static void counted(int sig, siginfo_t *si, void *ctx)
{
	(void)sig, (void)ctx;
	if (si->si_value.sival_int != count)
		disorder++;
	count++;
}

static void signals(void)
{
	int n = atoi(args[2]);
	struct sigaction sa = { .sa_sigaction = counted, .sa_flags = SA_SIGINFO };
	sigaction(SIGRTMIN, &sa, NULL);
	pid_t parent = getpid(), pid;
	int gate[2];
	if (pipe(gate) != 0)
		abort();
	if ((pid = fork()) == 0) {
		char c;
		if (read(gate[0], &c, 1) != 1)
			_exit(1);
		for (int i = 0; i < n; i++) {
			union sigval v = { .sival_int = i };
			while (sigqueue(parent, SIGRTMIN, v) != 0 && errno == EAGAIN)
				usleep(100);
			if (i % 64 == 0)
				usleep(500);
		}
		_exit(0);
	}
	ready();
	char c;
	while (read(0, &c, 1) != 1)
		;
	if (write(gate[1], "", 1) != 1)
		abort();
	while (waitpid(pid, NULL, 0) != pid)
		;
	printf("%d %d\n", count, disorder);
	fflush(stdout);
	sleeper(NULL);
}

// epoll: waits for nothing, and says when its input ends how often that was interrupted.
static void waiting(void)
{
	int fd = epoll_create1(0), interrupted = 0;
	struct epoll_event ev = { .events = EPOLLIN };
	if (epoll_ctl(fd, EPOLL_CTL_ADD, 0, &ev) != 0)
		abort();
	ready();
	while (epoll_wait(fd, &ev, 1, -1) < 0)
		interrupted++;
	printf("%d\n", interrupted);
	fflush(stdout);
}

// end N: ends with that status when its input ends.
static void ending(void)
{
	char c;
	thread(sleeper, NULL);
	ready();
	while (read(0, &c, 1) > 0)
		;
	exit(atoi(args[2]));
}

// trace PID: traces it.
static void trace(void)
{
	if (ptrace(PTRACE_SEIZE, atoi(args[2]), 0, 0) != 0)
		perror("seize"), exit(1);
	ready();
	sleeper(NULL);
}

// work: threads that compute, for a mix of running and sleeping ones.
static void *computing(void *arg)
{
	for (volatile long n = 0;; n++)
		if (n % 5000000 == 0)
			usleep(1000);
	return arg;
}

static void work(void)
{
	for (int i = 0; i < 3; i++)
		thread(computing, NULL), thread(sleeper, NULL);
	ready();
	sleeper(NULL);
}

// chroot DIR: enters it.
static void chrooted(void)
{
	if (chroot(args[2]) != 0 || chdir("/") != 0)
		perror("chroot"), exit(1);
	ready();
	sleeper(NULL);
}

// mapfile FILE: maps it.
static void mapfile(void)
{
	int fd = open(args[2], O_RDONLY);
	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		perror("mmap"), exit(1);
	close(fd);
	ready();
	sleeper(NULL);
}

// quiet: not dumpable.
static void quiet(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	ready();
	sleeper(NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*f)(void);
	} modes[] = {
		{ "churn", churn }, { "vfork", vforking }, { "leader", leader },
		{ "zombie", zombie }, { "exec", execing }, { "altstack", altstack },
		{ "signals", signals }, { "trace", trace }, { "work", work },
		{ "epoll", waiting }, { "end", ending },
		{ "chroot", chrooted }, { "mapfile", mapfile }, { "quiet", quiet },
	};
	args = argv;
	alarm(300); // should the test be killed
	for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			modes[i].f();
	return 2;
}
