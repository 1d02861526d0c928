/*
 * argv[1] threads that each count up a word of the shared file argv[2], and so
 * show that they run.
 */
#include "prog.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

NOINLINE void tick(volatile unsigned *n)
{
	for (;;) {
		++*n;
		usleep(1000);
	}
}

static void *worker(void *arg)
{
	tick(arg);
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[1]) : 0, fd = n ? open(argv[2], O_RDWR) : -1;
	volatile unsigned *words;
	pthread_t t;

	if (fd < 0)
		die("open");
	words = mmap(NULL, n * sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		die("mmap");
	for (int i = 1; i < n; i++)
		if (pthread_create(&t, NULL, worker, (void *)&words[i]))
			die("pthread_create");
	ready(NULL);
	tick(&words[0]);
}
