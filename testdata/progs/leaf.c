/* A leaf function faults; the signal's handler calls a null pointer, which ends
   the process with a core file. */
#include <signal.h>
#include <stddef.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile int sink;
int *volatile bad = (int *)16;
void (*volatile null)(void);

NOINLINE void leaf(int n) { *bad = n; }

NOINLINE void middle(int n) {
	volatile char room[200];
	room[n & 127] = 1;
	leaf(n);
	sink += room[n & 63];
}

NOINLINE int outer(int n) {
	if (n > 0) {
		int m = outer(n - 1);
		sink++;
		return m;
	}
	middle(sink);
	sink++;
	return sink;
}

NOINLINE void inner(void) {
	null();
	sink++;
}

NOINLINE void handler(int sig) {
	inner();
	sink += sig;
}

int main(void) {
	signal(SIGSEGV, handler);
	sink = outer(2);
	return sink;
}
