// A program without a C library, for CPUs whose libraries are not there.
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

volatile int sink;

struct list {
	struct list *next;
	int value;
};

INLINE int square(int x)
{
	int y = x + sink;
	return y * y;
}

INLINE int sum(const struct list *l)
{
	int s = 0;
	for (; l; l = l->next)
		if (l->value & 1)
			s += square(l->value);
		else
			s -= l->value;
	return s;
}

NOINLINE int work(struct list *l, int n)
{
	for (int i = 0; i < n; i++) {
		l[i].next = i ? &l[i - 1] : 0;
		l[i].value = square(i) ^ n;
	}
	return sum(&l[n - 1]) + square(n);
}

NOINLINE int choose(int n)
{
	switch (n) {
	case 1: return square(n + 1);
	case 2: sink = 3; return 9;
	case 3: return sink + square(7);
	case 4: sink = n; return square(sink);
	case 5: return 1;
	case 6: sink++; return 2;
	default: return n > 100 ? choose(n - 100) : square(n);
	}
}

void __start(void)
{
	struct list l[16];
	sink = work(l, 16) + choose(sink);
	for (;;)
		sink++;
}

void _start(void) __attribute__((alias("__start")));
