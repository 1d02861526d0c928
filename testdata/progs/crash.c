/* Ways to die, and not to; argv[1] says which. */
#define _GNU_SOURCE
#include "prog.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Some linkers put constants beside the code; these are read-only all the same. */
__attribute__((section(".data.rel.ro"))) static const int constant[1024] = {1, 2, 3};
static void (*volatile null)(void);
static volatile int zero;
static sigjmp_buf back;
static volatile int handled;

NOINLINE int read_null(volatile int *p) { return p[4]; }
NOINLINE void write_constant(volatile int *p) { *p = 1; }
NOINLINE void call(void (*f)(void)) { f(); KEEP; }
NOINLINE int divide(int n) { return n / zero; }
NOINLINE void aborts(void) { abort(); }
#ifdef __aarch64__
NOINLINE void breaks(void) { __asm__ volatile("brk #0"); }
NOINLINE void illegal(void) { __asm__ volatile("udf #0"); }
#else
NOINLINE void breaks(void) { __asm__ volatile("int3"); }
NOINLINE void illegal(void) { __asm__ volatile("ud2"); }
#endif

#pragma GCC diagnostic ignored "-Winfinite-recursion"
NOINLINE int overflow(volatile char *p)
{
	volatile char room[256];

	room[0] = p[0];
	return overflow(room) + room[0];
}

NOINLINE void not_canonical(void)
{
#ifdef __x86_64__
	__asm__ volatile("mov %0, %%rax\n\tmov (%%rax), %%eax" ::"r"(0xdeadbeefdeadbeefUL) : "rax");
#elif defined __aarch64__
	__asm__ volatile("ldr w0, [%0]" ::"r"(0xdeadbeefdeadbeefUL) : "x0");
#endif
}

NOINLINE void misaligned(char *p)
{
#ifdef __x86_64__
	__asm__ volatile("movaps (%0), %%xmm0" ::"r"(p) : "xmm0");
#elif defined __aarch64__
	__asm__ volatile("ldaxr w0, [%0]" ::"r"(p) : "x0");
#endif
}

NOINLINE void past_end(void)
{
	int fd = memfd_create("short", 0);
	volatile char *p;

	if (fd < 0 || ftruncate(fd, 4096))
		die("memfd_create");
	p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	p[4096];
}

NOINLINE void forbidden(void) { syscall(SYS_getppid); KEEP; }

static void only_without_getppid(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {sizeof f / sizeof *f, f};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		die("seccomp");
}

static void handle(int sig, void (*f)(int), int flags)
{
	struct sigaction sa = {.sa_flags = flags};

	sa.sa_handler = f;
	if (sigaction(sig, &sa, NULL))
		die("sigaction");
}

static void block(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void altstack(void)
{
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536};

	if (sigaltstack(&ss, NULL))
		die("sigaltstack");
}

static void jump(int sig) { handled++; siglongjmp(back, sig); }
static void count(int sig) { (void)sig; handled++; }

static int wanted;

static void say(int sig)
{
	char line[32];
	int n = snprintf(line, sizeof line, "signal %d\n", sig);

	if (write(1, line, n) != n || sig == SIGTERM || sig == SIGALRM)
		_exit(wanted);
}

/* give_up is what crash reporters do: let the signal happen again. */
static void give_up(int sig) { signal(sig, SIG_DFL); }

NOINLINE void in_handler(int sig) { (void)sig; read_null(NULL); }

NOINLINE void *crashing_thread(void *p)
{
	usleep(20000);
	read_null(p);
	return NULL;
}

NOINLINE void *idle(void *p)
{
	for (;;)
		pause();
	return p;
}

NOINLINE void *executing_thread(void *self)
{
	execl(self, self, "null", NULL);
	die("execl");
	return NULL;
}

static void threads(void *(*f)(void *), void *p, int others)
{
	pthread_t t;

	while (others--)
		if (pthread_create(&t, NULL, idle, NULL))
			die("pthread_create");
	if (pthread_create(&t, NULL, f, p))
		die("pthread_create");
}

static int child(void *p) { (void)p; read_null(NULL); return 0; }

static int storm(int sig, int n)
{
	handle(sig, count, 0);
	while (n--)
		raise(sig);
	return 0;
}

static int run(const char *self, const char *mode, int n)
{
	int status;
	pid_t pid;

	if (!strcmp(mode, "exit"))
		return n;
	if (!strcmp(mode, "null"))
		read_null(NULL);
	if (!strcmp(mode, "constant"))
		write_constant((int *)constant);
	if (!strcmp(mode, "callnull"))
		call(null);
	if (!strcmp(mode, "calldata"))
		call((void (*)(void))constant);
	if (!strcmp(mode, "abort"))
		aborts();
	if (!strcmp(mode, "divide"))
		divide(n);
	if (!strcmp(mode, "illegal"))
		illegal();
	if (!strcmp(mode, "break"))
		breaks();
	if (!strcmp(mode, "overflow"))
		overflow("");
	if (!strcmp(mode, "canonical"))
		not_canonical();
	if (!strcmp(mode, "misaligned"))
		misaligned((char *)constant + 1);
	if (!strcmp(mode, "pastend"))
		past_end();
	if (!strcmp(mode, "seccomp")) {
		only_without_getppid();
		forbidden();
	}
	if (!strcmp(mode, "raise"))
		raise(n);
	if (!strcmp(mode, "ignored")) {
		signal(n, SIG_IGN);
		raise(n);
		return 0;
	}
	if (!strcmp(mode, "blocked")) {
		handle(SIGSEGV, count, 0);
		block(SIGSEGV);
		read_null(NULL);
	}
	if (!strcmp(mode, "giveup")) {
		handle(SIGSEGV, give_up, 0);
		read_null(NULL);
	}
	if (!strcmp(mode, "handler")) {
		handle(SIGUSR1, in_handler, 0);
		raise(SIGUSR1);
	}
	if (!strcmp(mode, "jump")) {
		altstack();
		handle(SIGSEGV, jump, SA_ONSTACK);
		sigsetjmp(back, 1);
		if (handled < n)
			read_null(NULL);
		return 0;
	}
	if (!strcmp(mode, "overflowjump")) {
		altstack();
		handle(SIGSEGV, jump, SA_ONSTACK);
		if (!sigsetjmp(back, 1))
			overflow("");
		return 0;
	}
	if (!strcmp(mode, "overflowgiveup")) {
		altstack();
		handle(SIGSEGV, give_up, SA_ONSTACK);
		overflow("");
	}
	if (!strcmp(mode, "storm"))
		return storm(SIGUSR1, n);
	if (!strcmp(mode, "urgent"))
		return storm(SIGURG, n);
	if (!strcmp(mode, "getppid")) {
		while (n--)
			syscall(SYS_getppid);
		return 0;
	}
	if (!strcmp(mode, "thread")) {
		threads(crashing_thread, NULL, n);
		idle(NULL);
	}
	if (!strcmp(mode, "leader")) {
		threads(crashing_thread, NULL, n);
		pthread_exit(NULL);
	}
	if (!strcmp(mode, "execthread")) {
		threads(executing_thread, (void *)self, n);
		idle(NULL);
	}
	if (!strcmp(mode, "spawn")) {
		while (n--) {
			pthread_t t;

			if (pthread_create(&t, NULL, (void *(*)(void *))read_null, (void *)constant))
				die("pthread_create");
			pthread_join(t, NULL);
		}
		return 0;
	}
	if (!strcmp(mode, "fork")) {
		pid = fork();
		if (!pid)
			read_null(NULL);
		if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
			return 1;
		return 0;
	}
	if (!strcmp(mode, "clone")) {
		/* A child whose end is told by no signal. */
		pid = clone(child, (char *)malloc(65536) + 65536, 0, NULL);
		if (waitpid(pid, &status, __WALL) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
			return 1;
		return 0;
	}
	if (!strcmp(mode, "vfork")) {
		pid = vfork();
		if (!pid) {
			execl(self, self, "null", NULL);
			_exit(1);
		}
		if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
			return 1;
		return 0;
	}
	if (!strcmp(mode, "sleep")) {
		ready(NULL);
		for (;;)
			pause();
	}
	if (!strcmp(mode, "handle")) {
		/* Says which signals it gets, and ends by SIGTERM, or by ready's SIGALRM. */
		for (int sig = 1; sig < SIGSTOP; sig++)
			if (sig != SIGKILL && sig != SIGSEGV)
				handle(sig, say, 0);
		wanted = n;
		ready(NULL);
		for (;;)
			pause();
	}
	if (!strcmp(mode, "sigwait")) {
		/* The same, with the signals blocked; ends by SIGTSTP, too. */
		sigset_t set;
		int sig;

		sigfillset(&set);
		sigdelset(&set, SIGSEGV);
		sigprocmask(SIG_BLOCK, &set, NULL);
		ready(NULL);
		do {
			if (sigwait(&set, &sig))
				die("sigwait");
			printf("signal %d\n", sig);
			fflush(stdout);
		} while (sig != SIGTERM && sig != SIGALRM && sig != SIGTSTP);
		return n;
	}
	return 99;
}

int main(int argc, char **argv)
{
	int status = run(argv[0], argc > 1 ? argv[1] : "", argc > 2 ? atoi(argv[2]) : 0);

	KEEP;
	return status;
}
