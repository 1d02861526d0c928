/*
 * A thread that computes by turns in three functions, for 60, 30 and 10 parts of its CPU
 * time, and argv[1] threads that sleep. With a second argument it ends after so many
 * milliseconds of CPU time, with status 4.
 */
#include "prog.h"
#include <pthread.h>
#include <time.h>

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static volatile unsigned long sum;

/* Each has its own loop, which takes nearly all of the time. */
#define COMPUTE(name, op)                                       \
	NOINLINE void name(long us)                             \
	{                                                       \
		long end = now() + us * 1000;                   \
		do                                              \
			for (int i = 0; i < 20000; i++)         \
				sum = sum op i;                 \
		while (now() < end);                            \
	}

COMPUTE(most, +)
COMPUTE(some, ^)
COMPUTE(little, |)

static void *sleeper(void *arg)
{
	wait_here();
	return arg;
}

NOINLINE void compute(long ms)
{
	while (!ms || now() < ms * 1000000L) {
		most(6000);
		some(3000);
		little(1000);
	}
}

static void *computing(void *arg)
{
	compute((long)arg);
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0;
	long ms = argc > 2 ? atol(argv[2]) : 0;
	pthread_t t, w;

	for (int i = 0; i < n; i++)
		if (pthread_create(&t, NULL, sleeper, NULL))
			die("pthread_create");
	if (pthread_create(&w, NULL, computing, (void *)ms))
		die("pthread_create");
	ready(NULL);
	pthread_join(w, NULL);
	return 4;
}
