// threads N DEPTH: N threads, each DEPTH calls deep, that wait. Prints "ready"
// when all are there. Each frame holds the thread's TID, twice, in a mark.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int depth;
static pthread_barrier_t all;

static __attribute__((noinline)) int down(int n, long tid)
{
	volatile long room[4] = { 0x5eed0000 + tid, n, 0x5eed0000 + tid, n };
	if (n > 1)
		return down(n - 1, tid) + (int)room[0];
	pthread_barrier_wait(&all);
	for (;;)
		pause();
}

static void *body(void *arg)
{
	down(depth, syscall(SYS_gettid));
	return arg;
}

static void *report(void *arg)
{
	pthread_detach(pthread_self());
	pthread_barrier_wait(&all);
	usleep(1000);
	printf("ready\n");
	fflush(stdout);
	return arg;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1;
	depth = argc > 2 ? atoi(argv[2]) : 1;
	alarm(300); // should the test be killed
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16 << 10 > depth * 128 ? 64 << 10 : depth * 128 + (64 << 10));
	pthread_barrier_init(&all, NULL, n + 1);
	pthread_t t;
	for (int i = 0; i < n - 1; i++)
		if (pthread_create(&t, &attr, body, NULL) != 0)
			abort();
	pthread_create(&t, &attr, report, NULL);
	body(NULL);
	return 0;
}
