/* Functions with all the kinds of frames that a compiler makes. */
#include <alloca.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* noipa: callers know no more than the ABI says, as of functions of other files. */
#define NOINLINE __attribute__((noipa))

struct big { long v[12]; };
struct pair { double re, im; };

extern int sink(const void *p, long n);
NOINLINE int sink(const void *p, long n) { return p ? *(const char *)p + (int)n : (int)n; }

NOINLINE int leaf(int a, int b) { return a * b + (a ^ b); }

NOINLINE long many(long a, long b, long c, long d, long e, long f, long g, long h, long i) {
	return sink(&a, b) + sink(&c, d) + sink(&e, f) + sink(&g, h) + i;
}

NOINLINE long callmany(long a) { return many(a, 2, 3, 4, a, 6, 7, 8, 9) + many(1, a, 3, 4, 5, 6, a, 8, 9); }

NOINLINE struct big mkbig(long n) {
	struct big b;
	for (int i = 0; i < 12; i++)
		b.v[i] = n * i;
	sink(&b, n);
	return b;
}

NOINLINE struct pair mkpair(double x) {
	struct pair p = { x, -x };
	sink(&p, 2);
	return p;
}

/* Structures returned in memory: 32-bit callees take their address off the stack. */
NOINLINE long usebig(long n) {
	struct big a = mkbig(n), b = mkbig(n + 1);
	long s = 0;
	if (sink(&a, n))
		s += mkbig(n + 2).v[3];
	for (int i = 0; i < 12; i++)
		s += a.v[i] * b.v[11 - i];
	return s + sink(&b, s);
}

NOINLINE double usepair(double x) {
	struct pair p = mkpair(x);
	if (p.re < 1) {
		struct pair q = mkpair(p.im);
		return q.re + sink(&q, 3);
	}
	return p.re + p.im;
}

NOINLINE int vla(int n) {
	char buf[n];
	memset(buf, n, n);
	return sink(buf, n);
}

NOINLINE int useloca(int n) {
	int s = 0;
	for (int i = 1; i < n; i++) {
		char *p = alloca(i * 16);
		p[0] = i;
		s += sink(p, i);
	}
	return s;
}

NOINLINE int aligned(int n) {
	char buf[256] __attribute__((aligned(64)));
	memset(buf, n, sizeof buf);
	return sink(buf, n);
}

NOINLINE int alignedvla(int n) {
	char buf[128] __attribute__((aligned(64)));
	char v[n];
	memset(buf, n, sizeof buf);
	memset(v, n, n);
	return sink(buf, n) + sink(v, n);
}

NOINLINE int large(int n) {
	char buf[100000];
	buf[n] = 3;
	return sink(buf, n);
}

__attribute__((noreturn, noipa)) void die(const char *why) {
	fprintf(stderr, "%s\n", why);
	exit(1);
}

NOINLINE int guarded(int a, int b, int c) {
	if (a > 1000)
		die("a");
	int r = sink(&b, a);
	if (r > 100000) {
		sink(&c, r);
		die("r");
	}
	while (r < c) {
		r += leaf(r, b);
		if (r == 77)
			die("77");
	}
	return r;
}

NOINLINE int shrink(int *p, int n) {
	if (!p)
		return -1;
	int a = sink(p, n), b = sink(p, a), c = sink(p, b), d = sink(p, c), e = sink(p, d);
	return a + b + c + d + e + sink(&a, b) * c + d * e;
}

NOINLINE int tail(int a, int b) {
	sink(&a, b);
	return leaf(b, a);
}

NOINLINE int table(int op, int a, int b) {
	int s = sink(&a, b);
	switch (op) {
	case 0: s += leaf(a, b); break;
	case 1: s -= leaf(b, a); break;
	case 2: return vla(a + 1);
	case 3: s *= sink(&b, s); break;
	case 4: die("4");
	case 5: s ^= tail(a, b); break;
	case 6: return aligned(a);
	case 7: s += many(a, b, s, a, b, s, a, b, s); break;
	case 8: s = a / (b | 1); break;
	case 9: return tail(s, b);
	default: s = 0;
	}
	return s + sink(&s, op);
}

NOINLINE int interp(const unsigned char *pc, int acc) {
	static const void *const ops[] = { &&stop, &&add, &&call, &&twice };
	goto *ops[*pc & 3];
add:
	acc += *++pc;
	goto *ops[*++pc & 3];
call:
	acc = sink(pc, acc);
	goto *ops[*++pc & 3];
twice:
	acc *= 2;
	sink(&acc, 1);
	goto *ops[*++pc & 3];
stop:
	return acc;
}

NOINLINE int variadic(const char *f, ...) {
	va_list ap;
	char buf[64];
	va_start(ap, f);
	int n = vsnprintf(buf, sizeof buf, f, ap);
	va_end(ap);
	return n + sink(buf, n);
}

NOINLINE long double wide(long double x, int n) {
	long double y = x * n;
	return n > 3 ? wide(y, n - 1) + sink(&y, n) : y;
}

static jmp_buf env;
NOINLINE int jumps(int n) {
	volatile int k = n;
	if (setjmp(env))
		return k;
	if (sink(&n, k) > 5)
		longjmp(env, 1);
	return n + k;
}

NOINLINE int recurse(int n, const char *s) {
	char copy[32];
	strncpy(copy, s, sizeof copy - 1);
	return n ? recurse(n - 1, copy) + sink(copy, n) : 0;
}

int main(int argc, char **argv) {
	int s = 0;
	for (int i = 0; i < 10; i++)
		s += table(i == 4 ? 3 : i, argc, s);
	s += vla(argc) + useloca(argc) + alignedvla(argc) + large(argc) + guarded(argc, 2, 3);
	s += shrink(&s, argc) + interp((const unsigned char *)"\0", s) + variadic("%d", s) + jumps(s);
	s += (int)(usebig(argc) + usepair(argc) + callmany(argc) + wide(argc, 5)) + recurse(argc, argv[0]);
	return s & 1;
}
