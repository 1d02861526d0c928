// Sleeps in a function that is inlined into main, and in another one that is inlined
// into that.
#include "prog.h"

static inline __attribute__((always_inline)) void inner(int n)
{
	for (int i = 0; i < n; i++)
		pause();
}

static inline __attribute__((always_inline)) void outer(int n)
{
	inner(n * 1000);
}

int main(int argc, char **argv)
{
	(void)argv;
	ready(0);
	outer(argc);
	return 0;
}
