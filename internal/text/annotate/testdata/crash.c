/* Prints its maps and crashes: "crash" leaves it at that, "backtrace" has a
 * signal handler print the stack as glibc does. */
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void report(int sig)
{
	void *frames[64];

	(void)sig;
	backtrace_symbols_fd(frames, backtrace(frames, 64), 1);
	_exit(1);
}

static __attribute__((noinline)) int crash(volatile int *where)
{
	return *where;
}

static __attribute__((noinline)) int middle(long where)
{
	return crash((volatile int *)where) + 1;
}

int main(int argc, char **argv)
{
	char line[4096];
	FILE *maps = fopen("/proc/self/maps", "r");

	if (argc > 1 && strcmp(argv[1], "backtrace") == 0) {
		void *frame;

		backtrace(&frame, 1); /* loads libgcc before the maps are read */
		signal(SIGSEGV, report);
		rewind(maps);
	}
	while (fgets(line, sizeof line, maps))
		fputs(line, stdout);
	puts("crashing");
	fflush(stdout);
	return middle(argc > 9 ? 0 : 16) + 2;
}
