/*
 * Code written in assembly with one row of call frame information for all of
 * it, which is wrong within its own subroutine: there the row takes a local of
 * the function for the return address. "zero" makes that local zero, "code"
 * the address of code that was not called, "data" some number.
 */
#include "prog.h"

long machine(long local);
void landing(void);

#ifdef __aarch64__
__asm__(
	".text\n"
	".globl machine, landing\n"
	".type machine, %function\n"
	"machine:\n"
	"	.cfi_startproc\n"
	"	sub sp, sp, #64\n"
	"	.cfi_def_cfa_offset 64\n"
	"	str x30, [sp, #56]\n"
	"	.cfi_offset 30, -8\n"
	"	str x0, [sp, #40]\n"
	"	b dispatch\n"
	"	.cfi_endproc\n"
	".size machine, .-machine\n"
	".type dispatch, %function\n"
	"dispatch:\n"
	"	.cfi_startproc\n"
	"	.cfi_def_cfa 31, 64\n"
	"	.cfi_offset 30, -8\n"
	"1:	bl 2f\n"
	"	b 1b\n"
	"2:	sub sp, sp, #16\n"
	"	mov w2, #5000\n"
	"3:	add x1, x1, #1\n"
	"	subs w2, w2, #1\n"
	"	b.ne 3b\n"
	"	add sp, sp, #16\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size dispatch, .-dispatch\n"
	"landing:\n"
	"	nop\n"
	"	nop\n"
	"	ret\n");
#else
__asm__(
	".text\n"
	".globl machine, landing\n"
	".type machine, @function\n"
	"machine:\n"
	"	.cfi_startproc\n"
	"	subq $56, %rsp\n"
	"	.cfi_def_cfa_offset 64\n"
	"	movq %rdi, 48(%rsp)\n"
	"	jmp dispatch\n"
	"	.cfi_endproc\n"
	".size machine, .-machine\n"
	".type dispatch, @function\n"
	"dispatch:\n"
	"	.cfi_startproc\n"
	"	.cfi_def_cfa %rsp, 64\n"
	"1:	call 2f\n"
	"	jmp 1b\n"
	"2:	movl $5000, %ecx\n"
	"3:	incq %rax\n"
	"	decl %ecx\n"
	"	jnz 3b\n"
	"	testq %rax, %rax\n"
	"	js 2b\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size dispatch, .-dispatch\n"
	"landing:\n"
	"	nop\n"
	"	nop\n"
	"	ret\n");
#endif

NOINLINE static int run(long local)
{
	int r = (int)machine(local);

	KEEP;
	return r;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "zero";

	ready(0);
	return run(strcmp(kind, "code") == 0 ? (long)landing + 1 : strcmp(kind, "data") == 0 ? 0x1234567 : 0);
}
