/* The program of bt's demo: it stops in a signal handler that interrupted code
 * of the gate DSO, so that its stack crosses both.
 *
 *   demo          says "ready" and waits, in the handler
 *   demo FILE     writes the gate DSO's image to FILE
 */
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static unsigned long gate, gate_end;

#ifdef __x86_64__
#define PC(uc) ((unsigned long)(uc)->uc_mcontext.gregs[REG_RIP])
#else
#define PC(uc) ((unsigned long)(uc)->uc_mcontext.gregs[REG_EIP])
#endif

static volatile int ticks;

/* Waits as soon as the signal has interrupted the gate DSO. */
static void on_alarm(int sig, siginfo_t *info, void *context)
{
	unsigned long pc = PC((ucontext_t *)context);
	(void)sig, (void)info;
	if ((pc >= gate && pc < gate_end) || ++ticks > 5000) {
		write(1, "ready\n", 6);
		pause();
	}
}

static long ask_the_time(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_nsec;
}

static unsigned long image_size(unsigned long start)
{
	unsigned long at, end;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx", &at, &end) == 2 && at == start)
			return end - start;
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO};
	struct itimerval every = {{0, 1000}, {0, 1000}};
	volatile long sum = 0;

	gate = getauxval(AT_SYSINFO_EHDR);
	gate_end = gate + image_size(gate);
	if (argc > 1) {
		FILE *f = fopen(argv[1], "w");
		return !f || fwrite((void *)gate, gate_end - gate, 1, f) != 1 || fclose(f);
	}
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (;;)
		sum += ask_the_time();
}
