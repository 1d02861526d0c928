/* A service that is slow: one thread computes, two wait for work that does not come. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 16];

__attribute__((noinline)) static void replace(char *s, char from, char to)
{
	for (size_t i = 0; i < strlen(s); i++) /* its length, again and again */
		if (s[i] == from)
			s[i] = to;
}

__attribute__((noinline)) static void serve(void)
{
	for (;;) {
		replace(text, 'x', 'y');
		replace(text, 'y', 'x');
	}
}

static void *wait_for_work(void *queue)
{
	char job;

	while (read(*(int *)queue, &job, 1) > 0)
		;
	return NULL;
}

int main(void)
{
	static int queue[2];
	pthread_t t;

	memset(text, 'y', sizeof text - 1);
	if (pipe(queue))
		return 1;
	for (int i = 0; i < 2; i++)
		pthread_create(&t, NULL, wait_for_work, queue);
	alarm(300);
	puts("ready");
	fflush(stdout);
	serve();
}
