/* Steps through a call of clock_gettime, an instruction at a time, to the first
 * one of the gate DSO, says "ready" and waits there in the signal's handler. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/auxv.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef __x86_64__
#define REG_PC REG_RIP
#else
#define REG_PC REG_EIP
#endif

#define GATE_MAX 0x10000 /* larger than any, and no other code is so near */

static unsigned long gate;

static void on_step(int sig, siginfo_t *info, void *context)
{
	unsigned long pc = ((ucontext_t *)context)->uc_mcontext.gregs[REG_PC];

	(void)sig, (void)info;
	if (pc - gate < GATE_MAX) {
		write(1, "ready\n", 6);
		for (;;)
			pause();
	}
}

/* The trap flag has every instruction raise SIGTRAP. */
static inline void step(void)
{
#ifdef __x86_64__
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
#else
	__asm__ volatile("pushfl; orl $0x100, (%%esp); popfl" ::: "memory", "cc");
#endif
}

static long ask_the_time(void)
{
	struct timespec now;

	step();
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_nsec;
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

	gate = getauxval(AT_SYSINFO_EHDR);
	sigaction(SIGTRAP, &sa, NULL);
	return ask_the_time() < 0;
}
