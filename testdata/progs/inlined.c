// Sleeps in a function that is inlined into main, and in another one that is inlined
// into that. With two arguments it computes in one instead, and ends.
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

static inline __attribute__((always_inline)) unsigned square(unsigned n)
{
	volatile unsigned m = n;
	return m * m;
}

static NOINLINE unsigned compute(void)
{
	unsigned sum = 0;
	for (unsigned i = 0; i < 50000000; i++)
		sum += square(i);
	return sum;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 2)
		return compute() == 1;
	ready(0);
	outer(argc);
	return 0;
}
