/* A library that calls back into the program; built again with other names as a decoy. */
#ifndef ENTER
#define ENTER plugin_enter
#define INNER plugin_inner
#endif

__attribute__((noinline)) int INNER(int (*f)(int), int n)
{
	n = f(n + 1);
	__asm__ volatile("" ::: "memory");
	return n;
}

int ENTER(int (*f)(int), int n)
{
	n = INNER(f, n + 1);
	__asm__ volatile("" ::: "memory");
	return n;
}

/* The program finds the entry by a name that both builds have. */
int (*plugin_start(void))(int (*)(int), int)
{
	return ENTER;
}
