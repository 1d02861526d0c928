/*
 * Moves its code to other memory at the same addresses, as what puts code into huge
 * pages does: "all" of it to anonymous memory, to a "memfd" or in "pieces"; or
 * "altered", with a byte changed on the page of one of its functions.
 */
#define _GNU_SOURCE
#include "prog.h"
#include <link.h>
#include <sys/mman.h>

#define PAGE 4096UL

NOINLINE int innermost(int n)
{
	ready(NULL);
	wait_here();
	return n;
}

__attribute__((section(".own_page"), aligned(PAGE))) NOINLINE int on_page(int n)
{
	n = innermost(n + 1);
	KEEP;
	return n;
}

__attribute__((section(".next_page"), aligned(PAGE))) NOINLINE int outer(int n)
{
	n = on_page(n + 1);
	KEEP;
	return n;
}

static char *text;
static size_t size;

static int find_text(struct dl_phdr_info *info, size_t n, void *arg)
{
	int i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			text = (char *)((info->dlpi_addr + p->p_vaddr) & ~(PAGE - 1));
			size = (info->dlpi_addr + p->p_vaddr + p->p_memsz - (size_t)text + PAGE - 1) & ~(PAGE - 1);
		}
	}
	(void)n, (void)arg;
	return 1; /* the program is the first */
}

/* move puts a copy of [from, from+n) in its place, with one byte changed. */
static void move(char *from, size_t n, char *change, int shared)
{
	int fd = shared ? memfd_create("code", 0) : -1;
	char *copy;

	if (shared && ftruncate(fd, n))
		die("ftruncate");
	copy = mmap(NULL, n, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	if (copy == MAP_FAILED)
		die("mmap");
	memcpy(copy, from, n);
	if (change)
		copy[change - from] ^= 0x40;
	if (mprotect(copy, n, PROT_READ | PROT_EXEC))
		die("mprotect");
	if (mremap(copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, from) == MAP_FAILED)
		die("mremap");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "all";
	size_t at;

	dl_iterate_phdr(find_text, NULL);
	if (!strcmp(how, "pieces")) {
		/* They differ in their rights, or the kernel would join them. */
		for (at = 0; at < size; at += PAGE) {
			move(text + at, PAGE, NULL, 0);
			if (at / PAGE % 2 && mprotect(text + at, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
				die("mprotect");
		}
	} else {
		move(text, size, strcmp(how, "altered") ? NULL : (char *)on_page + PAGE / 2, !strcmp(how, "memfd"));
	}
	argc = outer(argc);
	KEEP;
	return argc;
}
