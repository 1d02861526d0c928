/* The parent waits in vfork for a child that never execs; a worker thread lives on. */
#include "prog.h"
#include <pthread.h>

static void *worker(void *arg)
{
	wait_here();
	return arg;
}

NOINLINE int forks(void)
{
	int pid = vfork();

	if (pid == 0) {
		ready(NULL);
		wait_here();
	}
	KEEP;
	return pid;
}

int main(void)
{
	pthread_t t;
	int n;

	if (pthread_create(&t, NULL, worker, NULL))
		die("pthread_create");
	n = forks();
	KEEP;
	return n;
}
