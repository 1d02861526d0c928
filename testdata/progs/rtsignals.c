/*
 * A child queues realtime signals, numbered from 0, to its parent, argv[1] of them and
 * then more until standard input ends. The parent checks that each arrives, in order,
 * and prints "lost N of TOTAL" when the last has come.
 */
#include "prog.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#define LAST 0x40000000

static volatile int next, lost, ended;

static void on_queued(int sig, siginfo_t *si, void *uc)
{
	int n = si->si_value.sival_int & ~LAST;

	(void)sig, (void)uc;
	ended = si->si_value.sival_int & LAST;
	if (n != next)
		lost += n > next ? n - next : next - n;
	next = n + 1;
}

static void sender(int total)
{
	struct timespec pause = {0, 1000000};
	struct pollfd in = {.fd = 0, .events = POLLIN};

	for (int i = 0, last = 0; !last; i++) {
		last = i + 1 >= total && poll(&in, 1, 0) > 0;
		union sigval v = {.sival_int = i | (last ? LAST : 0)};

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
	while (!ended)
		usleep(10000);
	printf("lost %d of %d\n", lost, next);
	fflush(stdout);
	wait_here();
}
