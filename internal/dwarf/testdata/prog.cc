// A program with what compilers do to functions: inlined calls several deep,
// closures, classes within functions, cold parts, anonymous namespaces.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace shapes {
struct Box {
	template <class T> static inline __attribute__((always_inline)) T square(T x)
	{
		volatile T y = x;
		return y * y;
	}
	int side;
	virtual int area() const { return square(side); }
	virtual ~Box() {}
};
namespace {
int hidden(int a) { return Box::square(a) + 3; }
} // namespace

int sorted(std::vector<int> &v)
{
	struct Order {
		static int key(int a) { return hidden(a) % 7; }
	};
	auto before = [&](int a, int b) { return Order::key(a) < Order::key(b); };
	std::sort(v.begin(), v.end(), before);
	if (v.empty())
		throw std::string("empty");
	return v[0];
}
} // namespace shapes

extern "C" __attribute__((noinline)) int count(std::map<std::string, int> &m)
{
	int sum = 0;
	for (auto &p : m)
		sum += p.second;
	m["x"] = sum;
	return sum;
}

int main(int argc, char **argv)
{
	std::vector<int> v;
	for (int i = 0; i < argc * 10; i++)
		v.push_back(i * 7 % 5);
	std::map<std::string, int> m;
	m[argv[0]] = 3;
	shapes::Box b;
	b.side = argc;
	std::printf("%d %d %d\n", shapes::sorted(v), count(m), b.area());
}
