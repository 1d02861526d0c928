/*
 * A thread on a stack that the program has made, as coroutines are:
 *   context   makecontext, glibc's
 *   assembly  as Boost.Context does: a return address that ends the process
 *   function  a C function as return address, as small libraries do
 *   zero      no return address at all
 *   switched  a call on another stack, back to which the frame pointer leads, as
 *             Rust's stacker and psm do
 */
#include "prog.h"
#include <stdint.h>
#include <ucontext.h>

static uint64_t other[16384] __attribute__((aligned(64)));
void enter(void *top, void (*fn)(void));
void call_on(void *top, void (*fn)(void));
void finish(void);

/* enter: jumps to fn as if what lies at top had called it. */
#ifdef __aarch64__
__asm__(
	".text\n"
	".globl enter, finish, call_on\n"
	".type enter, %function\n"
	"enter:	ldr x30, [x0]\n"
	"	add sp, x0, #8\n"
	"	br x1\n"
	".size enter, .-enter\n"
	"	.p2align 4\n"
	"	mov x0, #0\n"
	"	nop\n"
	"finish:	mov x8, #93\n"
	"	svc #0\n"
	"	brk #0\n"
	"	.p2align 4\n"
	".type call_on, %function\n"
	"call_on:\n"
	"	.cfi_startproc\n"
	"	stp x29, x30, [sp, #-16]!\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset 29, -16\n"
	"	.cfi_offset 30, -8\n"
	"	mov x29, sp\n"
	"	.cfi_def_cfa_register 29\n"
	"	mov sp, x0\n"
	"	blr x1\n"
	"	mov sp, x29\n"
	"	ldp x29, x30, [sp], #16\n"
	"	.cfi_def_cfa 31, 0\n"
	"	.cfi_restore 29\n"
	"	.cfi_restore 30\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size call_on, .-call_on\n");
#else
__asm__(
	".text\n"
	".globl enter, finish, call_on\n"
	".type enter, @function\n"
	"enter:	movq %rdi, %rsp\n"
	"	jmp *%rsi\n"
	".size enter, .-enter\n"
	"	.p2align 4\n"
	"	xorl %edi, %edi\n"
	"	nop\n"
	"finish:	movl $60, %eax\n"
	"	syscall\n"
	"	hlt\n"
	"	.p2align 4\n"
	".type call_on, @function\n"
	"call_on:\n"
	"	.cfi_startproc\n"
	"	pushq %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbp, -16\n"
	"	movq %rsp, %rbp\n"
	"	.cfi_def_cfa_register %rbp\n"
	"	movq %rdi, %rsp\n"
	"	call *%rsi\n"
	"	movq %rbp, %rsp\n"
	"	popq %rbp\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size call_on, .-call_on\n");
#endif

NOINLINE static int inner(void)
{
	wait_here();
	return 1;
}

NOINLINE static void body(void)
{
	inner();
	KEEP;
}

__attribute__((noreturn, noinline)) static void ended(void)
{
	body();
	_exit(1);
}

int main(int argc, char **argv)
{
	static ucontext_t here, there;
	const char *kind = argc > 1 ? argv[1] : "";
	uint64_t *top = other + 16000;

	ready(0);
	if (strcmp(kind, "context") == 0) {
		getcontext(&there);
		there.uc_stack.ss_sp = other;
		there.uc_stack.ss_size = sizeof other;
		there.uc_link = &here;
		makecontext(&there, body, 0);
		swapcontext(&here, &there);
	} else if (strcmp(kind, "switched") == 0) {
		call_on(top, body);
	} else {
		top[1] = strcmp(kind, "assembly") == 0 ? (uint64_t)finish : strcmp(kind, "function") == 0 ? (uint64_t)ended : 0;
		top[2] = 0x1111;
		enter(top + 1, body);
	}
	return 0;
}
