/* argv[1] frames of one recursive function. */
#include "prog.h"

NOINLINE int recurse(int n)
{
	if (n <= 1) {
		ready(NULL);
		wait_here();
		return 0;
	}
	n = recurse(n - 1);
	KEEP;
	return n + 1;
}

int main(int argc, char **argv)
{
	argc = recurse(argc > 1 ? atoi(argv[1]) : 10);
	KEEP;
	return argc;
}
