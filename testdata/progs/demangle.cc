// C++ names: a namespace, a template, a member and a lambda.
#include "prog.h"

namespace shop {

template <typename T> struct Till {
	NOINLINE int close(T n)
	{
		ready(nullptr);
		wait_here();
		return int(n);
	}
};

NOINLINE int open(long n, const char *)
{
	int r = Till<long>().close(n);
	KEEP;
	return r;
}

} // namespace shop

int main(int argc, char **argv)
{
	int r = shop::open(argc, argv[0]);
	KEEP;
	return r;
}
