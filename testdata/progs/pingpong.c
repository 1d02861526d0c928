/*
 * Two processes that hand a byte to and fro by two pipes, and sleep for argv[1]
 * microseconds in between: each waits for the other at times, never both at once.
 */
#include "prog.h"
#include <sys/wait.h>

static void play(int in, int out, unsigned us)
{
	char c;

	while (read(in, &c, 1) == 1) {
		usleep(us);
		if (write(out, &c, 1) != 1)
			break;
	}
}

int main(int argc, char **argv)
{
	unsigned us = argc > 1 ? atoi(argv[1]) : 10000;
	int there[2], back[2];
	pid_t child;

	if (pipe(there) || pipe(back))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		close(there[1]);
		close(back[0]);
		play(there[0], back[1], us);
		return 0;
	}
	close(there[0]);
	close(back[1]);
	printf("%d\n", child);
	fflush(stdout);
	ready(NULL);
	if (write(there[1], "", 1) != 1)
		die("write");
	play(back[0], there[1], us);
	return 0;
}
