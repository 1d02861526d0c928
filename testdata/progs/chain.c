/* A plain chain of calls with frames of several shapes, to be built with many flags. */
#include "prog.h"

NOINLINE int block(int a)
{
	ready(NULL);
	wait_here();
	return a;
}

NOINLINE int vla(int n)
{
	volatile char buf[n + 16];

	buf[0] = n;
	n = block(n + buf[0]);
	KEEP;
	return n + buf[0];
}

NOINLINE int realigned(int n)
{
	volatile int v __attribute__((aligned(64))) = n;

	n = vla(n + v);
	KEEP;
	return n + v;
}

NOINLINE int manyargs(int a, int b, int c, int d, int e, int f, int g, int h)
{
	a = realigned(a + b + c + d);
	KEEP;
	return a + e + f + g + h;
}

NOINLINE int saves(int n)
{
	int a = n * 3, b = n * 5, c = n * 7;

	n = manyargs(n, a, b, c, n + 1, n + 2, n + 3, n + 4);
	KEEP;
	return n + a + b + c;
}

int main(int argc, char **argv)
{
	(void)argv;
	argc = saves(argc);
	KEEP;
	return argc;
}
