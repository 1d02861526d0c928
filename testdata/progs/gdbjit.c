/*
 * A JIT compiler that tells debuggers of its code by GDB's interface. argv[1] is an
 * ELF image that describes the code, linked at CODE. "loop" makes the list a loop.
 */
#define _GNU_SOURCE
#include "prog.h"
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CODE ((unsigned char *)0x700000000000)

struct jit_code_entry {
	struct jit_code_entry *next, *prev;
	const char *symfile_addr;
	uint64_t symfile_size;
};

struct jit_descriptor {
	uint32_t version, action_flag;
	struct jit_code_entry *relevant_entry, *first_entry;
} __jit_debug_descriptor = { 1, 0, NULL, NULL };

NOINLINE void __jit_debug_register_code(void)
{
	KEEP;
}

/* compiled is two functions that call what they are given, without a frame pointer: */
static const unsigned char compiled[] = {
	0x48, 0x81, 0xec, 0x28, 0x01, 0x00, 0x00, /* first: sub $0x128,%rsp */
	0xe8, 0x14, 0x00, 0x00, 0x00,             /* call second */
	0x48, 0x81, 0xc4, 0x28, 0x01, 0x00, 0x00, /* add $0x128,%rsp */
	0xc3, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
	0x53,                                     /* second: push %rbx */
	0x89, 0xe3,                               /* mov %esp,%ebx, which is of no use */
	0xff, 0xd7,                               /* call *%rdi */
	0x5b, 0xc3,                               /* pop %rbx; ret */
};

NOINLINE void callee(void)
{
	ready(NULL);
	wait_here();
}

int main(int argc, char **argv)
{
	static struct jit_code_entry entry, empty;
	struct stat st;
	int fd = open(argv[1], O_RDONLY);
	char *image;
	void *code = mmap(CODE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (fd < 0 || fstat(fd, &st) || code != CODE)
		die("start");
	image = malloc(st.st_size);
	if (read(fd, image, st.st_size) != st.st_size)
		die("read");
	memcpy(code, compiled, sizeof compiled);
	if (mprotect(code, 4096, PROT_READ | PROT_EXEC))
		die("mprotect");
	entry.symfile_addr = image;
	entry.symfile_size = st.st_size;
	empty.next = &entry;
	entry.prev = &empty;
	if (argc > 2 && !strcmp(argv[2], "loop"))
		entry.next = &empty;
	__jit_debug_descriptor.first_entry = __jit_debug_descriptor.relevant_entry = &empty;
	__jit_debug_descriptor.action_flag = 1;
	__jit_debug_register_code();
	((void (*)(void (*)(void)))code)(callee);
	KEEP;
	return 0;
}
