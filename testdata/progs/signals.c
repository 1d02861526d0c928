/* Signal handlers in every position; argv[1] says which. */
#include "prog.h"
#include <signal.h>
#include <sys/mman.h>

static char elsewhere[64 * 1024] __attribute__((aligned(16)));
static void *announced;

NOINLINE void block(void)
{
	ready(announced);
	wait_here();
}

NOINLINE void on_signal(int sig)
{
	(void)sig;
	block();
	KEEP;
}

NOINLINE void on_siginfo(int sig, siginfo_t *si, void *uc)
{
	(void)sig, (void)si, (void)uc;
	block();
	KEEP;
}

NOINLINE void on_outer(int sig)
{
	(void)sig;
	raise(SIGUSR2);
	KEEP;
}

/* on_level raises the next of five signals and blocks in the last. */
NOINLINE void on_level(int sig)
{
	static const int next[] = {
		[SIGUSR1] = SIGUSR2, [SIGUSR2] = SIGHUP, [SIGHUP] = SIGINT, [SIGINT] = SIGTERM, [SIGTERM] = 0,
	};

	if (next[sig])
		raise(next[sig]);
	else
		block();
	KEEP;
}

static void handle(int sig, void (*f)(int), int flags)
{
	struct sigaction sa = {.sa_flags = flags};

	sa.sa_handler = f;
	if (sigaction(sig, &sa, NULL))
		die("sigaction");
}

static void altstack(void *p, size_t n)
{
	stack_t ss = {.ss_sp = p, .ss_size = n};

	if (sigaltstack(&ss, NULL))
		die("sigaltstack");
}

NOINLINE void interrupted(void)
{
	raise(SIGUSR1);
	KEEP;
}

NOINLINE void calls(void (*f)(void))
{
	f();
	KEEP;
}

/* jumps gives its own return address to whatever f is. */
#ifdef __aarch64__
void jumps(void (*f)(void));
__asm__(".text\n.global jumps\n.type jumps, %function\njumps: .cfi_startproc\nbr x0\n.cfi_endproc\n.size jumps, . - jumps");
#else
__attribute__((naked, noinline)) void jumps(void (*f)(void))
{
#ifdef __x86_64__
	__asm__("jmp *%rdi");
#else
	__asm__("jmp *4(%esp)");
#endif
}
#endif

NOINLINE void calls_jumps(void (*f)(void))
{
	jumps(f);
	KEEP;
}

static void (*unmapped(void))(void)
{
	void *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p, 4096))
		die("mmap");
	announced = p;
	return (void (*)(void))p;
}

int main(int argc, char **argv)
{
	char local[64 * 1024] __attribute__((aligned(16)));
	const char *mode = argc > 1 ? argv[1] : "plain";

	handle(SIGUSR1, on_signal, 0);
	handle(SIGSEGV, on_signal, 0);
	if (!strcmp(mode, "siginfo")) {
		handle(SIGUSR1, (void (*)(int))on_siginfo, SA_SIGINFO);
	} else if (!strcmp(mode, "altstack")) {
		altstack(elsewhere, sizeof elsewhere);
		handle(SIGUSR1, on_signal, SA_ONSTACK);
	} else if (!strcmp(mode, "localstack")) {
		altstack(local, sizeof local);
		handle(SIGUSR1, on_signal, SA_ONSTACK);
	} else if (!strcmp(mode, "nested")) {
		handle(SIGUSR1, on_outer, 0);
		handle(SIGUSR2, on_signal, 0);
	} else if (!strcmp(mode, "nested5")) {
		static const int sigs[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGTERM};

		for (int i = 0; i < 5; i++)
			handle(sigs[i], on_level, 0);
	} else if (!strcmp(mode, "callnull")) {
		calls(NULL);
	} else if (!strcmp(mode, "callunmapped")) {
		calls(unmapped());
	} else if (!strcmp(mode, "jumpunmapped")) {
		calls_jumps(unmapped());
	} else if (!strcmp(mode, "calldata")) {
		announced = elsewhere;
		calls((void (*)(void))(void *)elsewhere);
	} else if (strcmp(mode, "plain")) {
		return 7;
	}
	interrupted();
	return local[0];
}
