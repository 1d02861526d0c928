/* What a 64-bit ARM CPU with signed addresses, landing pads and tagged memory
   refuses; argv[1] says which. */
#include "prog.h"
#include <sys/mman.h>
#include <sys/prctl.h>

#define PROT_BTI 0x10
#define PROT_MTE 0x20
#define TAGGED_ADDR_ENABLE (1UL << 0)
#define MTE_TCF_SYNC (1UL << 1)
#define MTE_TCF_ASYNC (1UL << 2)
#define MTE_TAGS(mask) ((unsigned long)(mask) << 3)

/* forged changes a bit of its return address's signature. */
__attribute__((noinline, noclone, target("branch-protection=pac-ret"))) void forged(void)
{
	void **record = __builtin_frame_address(0);

	record[1] = (void *)((unsigned long)record[1] ^ 1UL << 50);
	KEEP;
	__asm__ volatile("" ::: "x19", "x20", "x30");
}

NOINLINE void call_forged(void)
{
	forged();
	KEEP;
}

/* no_pad calls code that begins with no landing pad. */
NOINLINE void no_pad(void)
{
	static const unsigned code[] = {0xd503201f, 0xd65f03c0}; /* nop; ret */
	unsigned *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	memcpy(p, code, sizeof code);
	if (mprotect(p, 4096, PROT_READ | PROT_EXEC | PROT_BTI))
		die("mprotect");
	__builtin___clear_cache((char *)p, (char *)p + sizeof code);
	((void (*)(void))p)();
	KEEP;
}

NOINLINE int read_tagged(volatile int *p)
{
	return p[1];
}

NOINLINE int wrong_tag(unsigned long mode)
{
	char *p, *tagged;
	int sum = 0;

	if (prctl(PR_SET_TAGGED_ADDR_CTRL, TAGGED_ADDR_ENABLE | mode | MTE_TAGS(0xfffe), 0, 0, 0))
		die("prctl");
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_MTE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	tagged = p + (5UL << 56);
	__asm__ volatile(".arch armv8.5-a+memtag\n\tstg %0, [%0]" ::"r"(tagged) : "memory");
	sum += read_tagged((volatile int *)tagged);
	sum += read_tagged((volatile int *)(p + (6UL << 56)));
	getppid(); /* what an access has done wrong is told at the latest when the kernel is entered */
	KEEP;
	return sum;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "forged"))
		call_forged();
	if (!strcmp(mode, "nopad"))
		no_pad();
	if (!strcmp(mode, "tag"))
		return wrong_tag(MTE_TCF_SYNC);
	if (!strcmp(mode, "tagasync"))
		return wrong_tag(MTE_TCF_ASYNC);
	return 7;
}
