/*
 * argv[1] threads that wait in pause, argv[2] + i % 9 calls deep. The i-th has
 * the name "worker i". With a third argument the main thread ends.
 */
#include "prog.h"
#include <pthread.h>
#include <sys/prctl.h>

static volatile int waiting;

NOINLINE int descend(int n)
{
	if (n <= 1) {
		__sync_fetch_and_add(&waiting, 1);
		wait_here();
		return 0;
	}
	n = descend(n - 1);
	KEEP;
	return n + 1;
}

static int base;

NOINLINE void *worker(void *arg)
{
	char name[16];
	int i = (int)(long)arg, r;

	snprintf(name, sizeof name, "worker %d", i);
	prctl(PR_SET_NAME, name);
	r = descend(base + i % 9);
	KEEP;
	return (void *)(long)r;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 4;
	pthread_attr_t attr;
	pthread_t t;

	base = argc > 2 ? atoi(argv[2]) : 3;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 * 1024);
	for (int i = 0; i < n; i++)
		if (pthread_create(&t, &attr, worker, (void *)(long)i))
			die("pthread_create");
	while (waiting < n)
		usleep(1000);
	ready(NULL);
	if (argc > 3)
		pthread_exit(NULL);
	wait_here();
}
