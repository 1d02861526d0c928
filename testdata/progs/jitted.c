/* A process with a page of code of its own making, and the file jit-PID.dump of the
   directory argv[1], which it makes, mapped as code, as perf's jitdump agents do. It
   tells the page's address. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char path[4096];
	snprintf(path, sizeof path, "%s/jit-%d.dump", argc > 1 ? argv[1] : ".", (int)getpid());
	int fd = open(path, O_RDWR | O_CREAT, 0644);
	if (code == MAP_FAILED || fd < 0 || ftruncate(fd, 1 << 16) != 0)
		return 1;
	memset(code, 0x90, 4096);
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		return 1;
	alarm(300); // should the test be killed
	printf("ready %lx\n", (unsigned long)code);
	fflush(stdout);
	for (;;)
		pause();
}
