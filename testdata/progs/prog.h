/*
 * What every fixture shares. A fixture brings itself into the state under
 * test, says "ready" on standard output and stays there until it is killed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

/* KEEP after a call keeps it from becoming a jump, so that its frame stays. */
#define KEEP __asm__ volatile("" ::: "memory")

/* ready ends the process by itself one day, should nobody be left to kill it. */
static inline void ready(const void *p)
{
	char line[64];
	int n = snprintf(line, sizeof line, "ready %lx\n", (unsigned long)p);

	alarm(300);
	if (write(1, line, n) != n)
		_exit(9);
}

/* wait_here blocks, for all that the compiler knows, for a while only. */
static volatile int leave;

static inline __attribute__((always_inline)) void wait_here(void)
{
	while (!leave)
		pause();
}

static inline void die(const char *what)
{
	perror(what);
	exit(8);
}
