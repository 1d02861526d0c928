/* Loads the library argv[1] and blocks in a function that the library calls. */
#include "prog.h"
#include <dlfcn.h>

typedef int plugin(int (*)(int), int);

NOINLINE int callback(int n)
{
	ready(NULL);
	wait_here();
	return n;
}

int main(int argc, char **argv)
{
	plugin *(*start)(void);
	void *h;
	int n;

	h = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW);
	if (!h) {
		fprintf(stderr, "%s\n", dlerror());
		return 6;
	}
	start = (plugin *(*)(void))dlsym(h, "plugin_start");
	n = start()(callback, argc);
	KEEP;
	return n;
}
