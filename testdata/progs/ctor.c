/* A library whose constructor blocks: nothing of the program has run by then. */
#include "prog.h"

__attribute__((constructor)) static void stay(void)
{
	ready(NULL);
	wait_here();
}
