/* Loads known values into all registers, traps, and has the signal handler
   print what lies where it returns to: the code, and the stack as the code will
   find it. Arguments: siginfo or plain; libc, bare (no SA_RESTORER) or own. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif

unsigned long before_sp;
extern char trap[];
void restore(void), restore_rt(void), run(void);

static void dump(const char *name, const unsigned char *p, int n) {
	printf("%s ", name);
	while (n--)
		printf("%02x", *p++);
	printf("\n");
}

static inline __attribute__((always_inline)) void report(void) {
	unsigned char *ret = __builtin_return_address(0);
	dump("code", ret, 9);
	/* The stack pointer as it will be when the handler has returned. */
	dump("stack", __builtin_dwarf_cfa(), 640);
	printf("sp %lx\npc %lx\n", before_sp, (unsigned long)trap);
	fflush(stdout);
	_exit(0);
}

static void handler(int sig) { report(); }
static void handler_info(int sig, siginfo_t *info, void *uc) { report(); }

struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned char mask[8];
};

#ifdef __x86_64__
__asm__(
	".globl run, trap, restore, restore_rt\n"
	"run: push %rbx; push %rbp\n"
	"mov %rsp, before_sp(%rip)\n"
	"mov $0x1001, %rax; mov $0x1002, %rbx; mov $0x1003, %rcx; mov $0x1004, %rdx\n"
	"mov $0x1005, %rsi; mov $0x1006, %rdi; mov $0x1007, %rbp\n"
	"mov $0x1008, %r8; mov $0x1009, %r9; mov $0x100a, %r10; mov $0x100b, %r11\n"
	"mov $0x100c, %r12; mov $0x100d, %r13; mov $0x100e, %r14; mov $0x100f, %r15\n"
	"trap: ud2\n"
	"restore: restore_rt: mov $15, %eax; syscall\n");
#elif defined __aarch64__
#define MOV(n, v) "mov x" #n ", #" #v "\n"
__asm__(
	".globl run, trap, restore, restore_rt\n"
	"run: stp x29, x30, [sp, #-16]!\n"
	"mov x0, sp; adrp x1, before_sp; str x0, [x1, #:lo12:before_sp]\n"
	MOV(0, 0x1000) MOV(1, 0x1001) MOV(2, 0x1002) MOV(3, 0x1003) MOV(4, 0x1004) MOV(5, 0x1005)
	MOV(6, 0x1006) MOV(7, 0x1007) MOV(8, 0x1008) MOV(9, 0x1009) MOV(10, 0x100a) MOV(11, 0x100b)
	MOV(12, 0x100c) MOV(13, 0x100d) MOV(14, 0x100e) MOV(15, 0x100f) MOV(16, 0x1010) MOV(17, 0x1011)
	MOV(18, 0x1012) MOV(19, 0x1013) MOV(20, 0x1014) MOV(21, 0x1015) MOV(22, 0x1016) MOV(23, 0x1017)
	MOV(24, 0x1018) MOV(25, 0x1019) MOV(26, 0x101a) MOV(27, 0x101b) MOV(28, 0x101c) MOV(29, 0x101d)
	MOV(30, 0x101e)
	"trap: .inst 0\n"
	"restore: restore_rt: mov x8, #139; svc #0\n");
#else
__asm__(
	".globl run, trap, restore, restore_rt\n"
	"run: push %ebx; push %ebp\n"
	"mov %esp, before_sp\n"
	"mov $0x1001, %eax; mov $0x1002, %ebx; mov $0x1003, %ecx; mov $0x1004, %edx\n"
	"mov $0x1005, %esi; mov $0x1006, %edi; mov $0x1007, %ebp\n"
	"trap: ud2\n"
	"restore: pop %eax; mov $119, %eax; int $0x80\n"
	"restore_rt: mov $173, %eax; int $0x80\n");
#endif

int main(int argc, char **argv) {
	if (argc != 3)
		return 2;
	int info = !strcmp(argv[1], "siginfo");
	void *fn = info ? (void *)handler_info : (void *)handler;
	sigset_t block;
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigaddset(&block, SIGUSR2);
	sigprocmask(SIG_SETMASK, &block, 0);
	if (!strcmp(argv[2], "libc")) {
		struct sigaction sa = { .sa_flags = info ? SA_SIGINFO : 0 };
		sa.sa_handler = fn;
		sigaction(SIGILL, &sa, 0);
	} else {
		struct kernel_sigaction sa = { .handler = fn, .flags = info ? SA_SIGINFO : 0 };
		if (!strcmp(argv[2], "own")) {
			sa.flags |= SA_RESTORER;
			sa.restorer = info ? (void *)restore_rt : (void *)restore;
		}
		if (syscall(SYS_rt_sigaction, SIGILL, &sa, 0, 8))
			return 1;
	}
	run();
	return 1;
}
