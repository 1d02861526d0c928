/*
 * last_call ends with its call, and neighbour starts where that call would
 * return to: built with -falign-functions=1 there is no padding between.
 */
#include "prog.h"

__attribute__((noinline, noreturn)) void stop_forever(void)
{
	ready(NULL);
	for (;;)
		pause();
}

__attribute__((noinline, noreturn)) void last_call(void)
{
	stop_forever();
}

NOINLINE int neighbour(void)
{
	KEEP;
	return 1;
}

int main(void)
{
	last_call();
	return neighbour();
}
