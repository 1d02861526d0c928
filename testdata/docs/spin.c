/* A program that computes for a while, in a function whose helper is inlined. */
#include <stdio.h>

static inline unsigned step(unsigned x)
{
	return x * 1103515245u + 12345u;
}

__attribute__((noinline)) unsigned compute(long n)
{
	unsigned x = 1;
	for (long i = 0; i < n; i++)
		x = step(x);
	return x;
}

int main(void)
{
	printf("%u\n", compute(200000000));
	return 0;
}
