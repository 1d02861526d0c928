/* What compilers make of calls, frames and returns, for a test that steps
 * through main from its first instruction to its last. Everything runs once or
 * a few times: each instruction costs the test a comparison of whole stacks. */
#define _GNU_SOURCE
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, used))
#if __GNUC__ >= 8 && !defined(__clang__)
#define OPAQUE __attribute__((noinline, noclone, used, noipa))
#else
#define OPAQUE NOINLINE
#endif

volatile int sink;
volatile int zero;

OPAQUE int leaf(int x) { return 3 * x + 1; }

OPAQUE int nested3(int x) { return leaf(x) + 3; }
OPAQUE int nested2(int x) { return nested3(x) + nested3(x + 1); }
OPAQUE int nested(int x) { return nested2(x) * 2; }

OPAQUE int recurse(int n) { return n <= 0 ? 1 : n + recurse(n - 1); }

/* Tail calls: at -O2 these are jumps. */
OPAQUE int tail2(int x) { return leaf(x + 2); }
OPAQUE int tail(int x) {
    sink = nested3(x);
    return tail2(x + 1);
}
OPAQUE int tail_odd(int n);
OPAQUE int tail_even(int n) { return n == 0 ? 1 : tail_odd(n - 1); }
OPAQUE int tail_odd(int n) { return n == 0 ? 0 : tail_even(n - 1); }
OPAQUE int tail_pointer(int (*f)(int), int x) { return f(x); }
OPAQUE char *tail_plt(char *s) { return strchr(s, 'x'); }

/* More live values than registers: all callee-saved registers are pushed. */
OPAQUE long pressure(long a, long b, long c, long d) {
    long e = leaf(a), f = leaf(b), g = leaf(c), h = leaf(d), i = leaf(a ^ b), j = leaf(c ^ d);
    sink = leaf(e + f);
    sink = leaf(g + h);
    return a + b * c - d + e * f + g * h + i * j;
}

/* A return in the middle, with the frame taken down and up again, and saves
 * that happen on one path only (shrink-wrapping). */
OPAQUE long branches(long a, long b) {
    if (a == 0)
        return b;
    if (a == 1) {
        sink = leaf(b);
        return leaf(a) + b;
    }
    long c = leaf(a), d = leaf(b);
    if (zero)
        abort();
    while (b-- > 0)
        c += leaf(d + b) + a;
    return pressure(a, b, c, d) + c;
}

OPAQUE int use(void *p, size_t n) {
    volatile char *c = p;
    c[0] = 1;
    c[n - 1] = 2;
    return c[0] + (int)n;
}

OPAQUE int vla(int n) {
    int a[n];
    int s = use(a, sizeof a);
    for (int i = 1; i < 3; i++) {
        char b[n * i];
        s += use(b, sizeof b);
    }
    return s;
}

OPAQUE int with_alloca(int n) {
    char *p = alloca(n);
    int s = use(p, n);
    if (n > 40) {
        char *q = alloca(2 * n);
        s += use(q, 2 * n);
    }
    return s;
}

OPAQUE int realigned(int x) {
    _Alignas(64) char a[128];
    return use(a, sizeof a) + leaf(x);
}

/* Realigned, with arguments on the stack and a variable size: gcc needs an
 * argument pointer (DRAP) whose place only a DWARF expression can tell. */
OPAQUE long realigned_vla(long a, long b, long c, long d, long e, long f, long g, int n) {
    _Alignas(64) char x[64];
    char y[n];
    long s = use(x, sizeof x) + use(y, sizeof y);
    return s + pressure(a, b, c, d) + e + f + g;
}

OPAQUE int large(int x) {
    char a[3 * 4096 + 100];
    return use(a, sizeof a) + x;
}
OPAQUE int larger(int x) {
    char a[200000];
    return use(a, sizeof a) + large(x);
}

OPAQUE int varargs(int n, ...) {
    va_list ap;
    int s = 0;
    va_start(ap, n);
    for (int i = 0; i < n; i++)
        s += va_arg(ap, int);
    va_end(ap);
    return leaf(s);
}
OPAQUE double many(double a, double b, int c, int d, int e, int f, int g, int h, int i, int j, int k) {
    return a + b + leaf(c + d + e) + f + g + h + i + j + k;
}

struct big { long v[9]; };
OPAQUE struct big by_value(struct big b, int x) {
    b.v[2] += leaf(x);
    return b;
}
OPAQUE long structs(int x) {
    struct big b = {{1, 2, 3}};
    struct big c = by_value(b, x);
    struct big d = by_value(c, x + 1);
    return c.v[2] + d.v[2] + leaf(x);
}

static int (*const table[])(int) = {leaf, nested3, tail2, tail};
OPAQUE int pointers(int x) {
    int s = 0;
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
        s += table[i](x + i);
    return s;
}

OPAQUE int jump_table(int n, int x) {
    switch (n) {
    case 0: return leaf(x);
    case 1: return nested3(x) + 1;
    case 2: sink = x; break;
    case 3: x += leaf(x) * leaf(x + 1); break;
    case 4: return tail(x);
    case 5: { char b[300]; x += use(b, sizeof b); break; }
    case 6: sink = leaf(1); return 7;
    case 7: x *= 5; /* falls through */
    case 8: x += sink; break;
    default: return -1;
    }
    return x + leaf(x);
}

static jmp_buf env, outer;

/* The call that does not return is the last instruction. */
OPAQUE __attribute__((noreturn)) void jump(int v) { longjmp(env, v); }
OPAQUE __attribute__((noreturn)) void jump_deep(int n) {
    volatile char pad[64];
    pad[0] = n;
    if (n > 0)
        jump_deep(n - 1);
    jump(2 + pad[0]);
}
OPAQUE int jumps(int x) {
    volatile int s = leaf(x);
    if (setjmp(env) == 0)
        jump(1);
    s++;
    if (setjmp(env) == 0)
        jump_deep(2);
    return s + leaf(s);
}

OPAQUE int compare(const void *a, const void *b) {
    return leaf(*(const int *)a) - leaf(*(const int *)b);
}
OPAQUE int sorts(void) {
    int a[] = {5, 2, 9, 1, 4};
    qsort(a, 5, sizeof *a, compare);
    int key = 4;
    int *p = bsearch(&key, a, 5, sizeof *a, compare);
    return p ? *p : -1;
}

OPAQUE int strings(int n) {
    char a[200], b[200];
    memset(a, 'a', sizeof a);
    a[n] = 0;
    strcpy(b, a);
    memcpy(b + n, "tail", 5);
    memmove(b + 1, b, 20);
    return (int)strlen(b) + strcmp(a, b) + memcmp(a, b, n) + (strchr(b, 't') - b) + (tail_plt(b) != 0);
}

OPAQUE int system_calls(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    time_t t = time(0);
    return getppid() + (int)syscall(SYS_getpid) + (t == ts.tv_sec) + (write(-1, "", 1) < 0);
}

OPAQUE int heap(int n) {
    char *p = malloc(n);
    p = realloc(p, 10 * n);
    int s = use(p, 10 * n);
    free(p);
    return s;
}

static void handler(int sig) { sink = leaf(sig); }
static void info_handler(int sig, siginfo_t *info, void *context) {
    (void)info;
    (void)context;
    sink = nested3(sig);
}
static void leaving_handler(int sig) { siglongjmp(outer, sig); }
static char altstack[1 << 15];

OPAQUE int signals(void) {
    struct sigaction sa = {.sa_handler = handler};
    sigaction(SIGUSR1, &sa, 0);
    raise(SIGUSR1);
    stack_t ss = {.ss_sp = altstack, .ss_size = sizeof altstack};
    sigaltstack(&ss, 0);
    sa.sa_sigaction = info_handler;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGUSR2, &sa, 0);
    syscall(SYS_kill, getpid(), SIGUSR2);
    sa.sa_handler = leaving_handler;
    sa.sa_flags = 0;
    sigaction(SIGURG, &sa, 0);
    volatile int s = 1;
    if (sigsetjmp(outer, 1) == 0)
        raise(SIGURG);
    return s + leaf(s);
}

/* The compiler does not know of these pushes: with a frame pointer the frame
 * can be told all the same. */
__attribute__((noinline, optimize("no-omit-frame-pointer"))) int asm_pushes(int x) {
#if defined __aarch64__
    volatile int keep[x + 62]; /* else gcc finds the frame by the stack pointer */
#else
    volatile int keep[64];
#endif
    keep[0] = leaf(x);
#if defined __aarch64__
    __asm__ volatile("stp x0, x1, [sp, #-16]!\n\tsub sp, sp, #32\n\tadd sp, sp, #32\n\tldp x0, x1, [sp], #16" ::: "memory", "cc");
#elif defined __x86_64__
    __asm__ volatile("sub $128, %%rsp\n\tpush %%rax\n\tpush %%rbx\n\tpushf\n\tpopf\n\tpop %%rbx\n\tpop %%rax\n\tadd $128, %%rsp" ::: "memory", "cc");
#else
    __asm__ volatile("push %%eax\n\tpush %%ebx\n\tpushf\n\tpopf\n\tpop %%ebx\n\tpop %%eax" ::: "memory", "cc");
#endif
    return keep[0];
}

#ifdef __i386__
OPAQUE __attribute__((regparm(3))) int regparm(int a, int b, int c) { return leaf(a) + b * c; }
OPAQUE __attribute__((stdcall)) int takes_down(int a, int b, int c) { return leaf(a + b) + c; }
OPAQUE __attribute__((stdcall)) int takes_down_leaf(int a, int b) { return a - b; }
OPAQUE __attribute__((fastcall)) int fastcall(int a, int b, int c, int d) { return takes_down(a, b, c) + d; }
OPAQUE int conventions(int x) {
    int s = takes_down(x, 2, 3) + takes_down_leaf(x, 1);
    for (int i = 0; i < 2; i++)
        s += fastcall(x, s, i, 4) + regparm(s, i, x);
    return s;
}
#elif defined __aarch64__
/* The callee saves the vector registers, too. */
OPAQUE __attribute__((aarch64_vector_pcs)) int vectors(int a, int b) { return leaf(a) + b; }
OPAQUE int conventions(int x) { return vectors(x, 2) + leaf(x); }
#else
OPAQUE __attribute__((ms_abi)) int ms(int a, int b, int c, int d, int e, int f) { return leaf(a) + b + c + d + e + f; }
OPAQUE int conventions(int x) { return ms(x, 2, 3, 4, 5, 6) + leaf(x); }
#endif

/* Written by hand, without call frame information: pushes of everything, a
 * loop, a second entry into the middle, enter and leave. */
int by_hand(int x);
int by_hand_enter(int x);
__asm__(
    "\t.text\n"
    "\t.globl by_hand\n\t.type by_hand, @function\n"
    "by_hand:\n"
#if defined __aarch64__
    "\tstr x30, [sp, #-64]!\n\tstp x19, x20, [sp, #16]\n\tmov w19, w0\n\tmov w20, #2\n"
    "1:\tmov w0, w19\n\tbl leaf\n\tadd w19, w19, w0\n\tsub w20, w20, #1\n\tcbnz w20, 1b\n"
    "\tmov w0, w19\n\tldp x19, x20, [sp, #16]\n\tldr x30, [sp], #64\n\tret\n"
#elif defined __x86_64__
    "\tpush %rbx\n\tpush %r12\n\tpush %r13\n\tsub $0x20, %rsp\n"
    "\tmov %edi, %ebx\n\tmov $2, %r12d\n"
    "1:\tmov %ebx, %edi\n\tcall leaf\n\tadd %eax, %ebx\n\tdec %r12d\n\tjnz 1b\n"
    "\tpushq $7\n\tpop %rcx\n"
    "\tmov %ebx, %eax\n\tadd $0x20, %rsp\n\tpop %r13\n\tpop %r12\n\tpop %rbx\n\tret\n"
#else
    "\tpush %ebx\n\tpush %esi\n\tpush %edi\n\tsub $0x10, %esp\n"
    "\tmov 0x20(%esp), %ebx\n\tmov $2, %esi\n"
    "1:\tmov %ebx, (%esp)\n\tcall leaf\n\tadd %eax, %ebx\n\tdec %esi\n\tjnz 1b\n"
    "\tpush $7\n\tpop %ecx\n"
    "\tmov %ebx, %eax\n\tadd $0x10, %esp\n\tpop %edi\n\tpop %esi\n\tpop %ebx\n\tret\n"
#endif
    "\t.size by_hand, .-by_hand\n"
    "\t.globl by_hand_enter\n\t.type by_hand_enter, @function\n"
    "by_hand_enter:\n"
#if defined __aarch64__
    /* A large frame whose size is in a register, and the return address in another
     * register for a while. */
    "\tmov x9, x30\n\tmov x10, #0x1230\n\tmovk x10, #1, lsl #16\n\tsub sp, sp, x10\n"
    "\tstp x29, x9, [sp]\n\tmov x29, sp\n\tsub x11, sp, #256\n\tand sp, x11, #-64\n\tbl leaf\n"
    "\tmov sp, x29\n\tldp x29, x30, [sp]\n\tmov x10, #0x1230\n\tmovk x10, #1, lsl #16\n\tadd sp, sp, x10\n\tret\n"
#else
    "\tenter $0x20, $0\n"
#ifdef __x86_64__
    "\tpush %rbx\n\tpush %rbx\n\tmov %rsp, %rbx\n\tand $-64, %rsp\n\tcall leaf\n\tmov %rbx, %rsp\n\tpop %rbx\n\tpop %rbx\n"
#else
    "\tpush %ebx\n\tmov %esp, %ebx\n\tand $-64, %esp\n\tpush %eax\n\tcall leaf\n\tmov %ebx, %esp\n\tpop %ebx\n"
#endif
    "\tleave\n\tret\n"
#endif
    "\t.size by_hand_enter, .-by_hand_enter\n");

int main(void) {
    long s = leaf(1) + nested(2) + recurse(4) + tail(3) + tail_even(3);
    s += tail_pointer(leaf, 1) + tail_pointer(nested3, 2);
    s += pressure(1, 2, 3, 4) + branches(0, 1) + branches(1, 1) + branches(2, 2);
    s += vla(7) + with_alloca(30) + with_alloca(60);
    s += realigned(1) + realigned_vla(1, 2, 3, 4, 5, 6, 7, 33) + large(1) + larger(2);
    s += varargs(3, 1, 2, 3) + (long)many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) + structs(4);
    s += pointers(1);
    for (int i = 0; i < 10; i++)
        s += jump_table(i, i);
    s += jumps(3) + sorts() + strings(40) + system_calls() + heap(24);
    s += signals() + asm_pushes(2) + conventions(3);
    s += by_hand(1) + by_hand_enter(2);
    sink = (int)s;
    return 0;
}
