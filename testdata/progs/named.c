/* The functions' names come from the compiler's command line, so that a decoy can have others. */
#include "prog.h"
#include <sys/prctl.h>

#ifndef INNER
#define INNER real_inner
#define OUTER real_outer
#endif

NOINLINE int INNER(int n)
{
	ready(NULL);
	wait_here();
	return n;
}

NOINLINE int OUTER(int n)
{
	n = INNER(n);
	KEEP;
	return n;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		prctl(PR_SET_NAME, argv[1]);
	argc = OUTER(argc);
	KEEP;
	return argc;
}
