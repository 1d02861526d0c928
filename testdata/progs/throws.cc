// An exception that nobody catches passes no frame: the stack of std::terminate
// shows who threw it.
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

struct Guard {
	std::string name;
	explicit Guard(const char *n) : name(n) {}
	~Guard() { asm volatile("" ::: "memory"); }
};

__attribute__((noinline)) long deliver(const std::vector<long> &items, long n)
{
	if (n > 2)
		throw std::out_of_range("no such item");
	return items[n];
}

template <typename T> struct Till {
	__attribute__((noinline)) T sum(const std::vector<T> &items)
	{
		Guard g("till");
		T total = 0;
		for (long i = 0; i < 5; i++)
			total += deliver(items, i);
		return total;
	}
};

} // namespace shop

int main()
{
	shop::Till<long> till;
	return till.sum({1, 2, 3}) == 6;
}
