/* Threads that are created and end all the while; up to argv[1] at a time. */
#include "prog.h"
#include <pthread.h>

NOINLINE int descend(int n)
{
	if (n > 0) {
		n = descend(n - 1);
		KEEP;
	} else {
		usleep(300);
	}
	return n + 1;
}

static void *short_lived(void *arg)
{
	descend((int)(long)arg % 20);
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 16;
	pthread_t t[64];

	if (n > 64)
		n = 64;
	for (long round = 0;; round++) {
		for (int i = 0; i < n; i++)
			if (pthread_create(&t[i], NULL, short_lived, (void *)(long)i))
				die("pthread_create");
		if (round == 0)
			ready(NULL);
		for (int i = 0; i < n; i++)
			pthread_join(t[i], NULL);
	}
}
