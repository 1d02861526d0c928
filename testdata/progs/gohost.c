/*
 * Calls Enter of a Go shared library: the name of the library, and the number
 * of what it is to do in the end. With a third argument, in a second thread.
 */
#include "prog.h"
#include <dlfcn.h>
#include <pthread.h>

static int (*enter)(int, int);
static int what;

NOINLINE static int call_go(int depth)
{
	int r = enter(depth, what);

	KEEP;
	return r;
}

NOINLINE static void *worker(void *arg)
{
	int r = call_go(2);

	KEEP;
	return r ? arg : 0;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	void *lib;

	if (argc < 3 || !(lib = dlopen(argv[1], RTLD_NOW)) ||
	    !(*(void **)&enter = dlsym(lib, "Enter")))
		die("dlopen");
	what = atoi(argv[2]);
	if (argc > 3) {
		if (pthread_create(&thread, 0, worker, 0))
			die("pthread_create");
		pthread_join(thread, 0);
		return 0;
	}
	return call_go(2);
}
