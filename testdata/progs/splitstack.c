/*
 * Built with -fsplit-stack: a stack that goes on in other segments. The first
 * thread's grows from [stack] into memory that libgcc maps below it, the other
 * one's from a small stack into segments that may lie above it.
 */
#include "prog.h"
#include <pthread.h>

static volatile int sink;

NOINLINE static int descend(int n)
{
	char block[2500];
	int i, r;

	for (i = 0; i < (int)sizeof block; i += 64)
		block[i] = n;
	if (n == 0) {
		wait_here();
		return block[sink & 63];
	}
	r = descend(n - 1);
	KEEP;
	return r + block[sink & 63];
}

NOINLINE static void *worker(void *arg)
{
	int r = descend(40);

	KEEP;
	return r ? arg : 0;
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 65536) ||
	    pthread_create(&thread, &attr, worker, 0))
		die("pthread_create");
	ready(0);
	descend(20);
	KEEP;
	return 0;
}
