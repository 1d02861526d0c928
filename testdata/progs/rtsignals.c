/*
 * A child queues argv[1] realtime signals, numbered from 0, to its parent, which
 * checks that each arrives, in order, and prints "lost N" when the last has come.
 */
#include "prog.h"
#include <errno.h>
#include <signal.h>
#include <time.h>

static volatile int next, lost;

static void on_queued(int sig, siginfo_t *si, void *uc)
{
	int n = si->si_value.sival_int;

	(void)sig, (void)uc;
	if (n != next)
		lost += n > next ? n - next : next - n;
	next = n + 1;
}

static void sender(int total)
{
	struct timespec pause = {0, 1000000};

	for (int i = 0; i < total; i++) {
		union sigval v = {.sival_int = i};

		while (sigqueue(getppid(), SIGRTMIN + 3, v)) {
			if (errno != EAGAIN)
				die("sigqueue");
			nanosleep(&pause, NULL);
		}
		if (i % 8 == 7)
			nanosleep(&pause, NULL);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};
	int total = argc > 1 ? atoi(argv[1]) : 100;

	if (sigaction(SIGRTMIN + 3, &sa, NULL))
		die("sigaction");
	ready(NULL);
	if (fork() == 0)
		sender(total);
	while (next < total)
		usleep(10000);
	printf("lost %d\n", lost);
	fflush(stdout);
	wait_here();
}
