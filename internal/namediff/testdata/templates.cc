// Much code of many headers, for comparisons of source lines.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {
template <class T> struct tree {
	struct node { T value; std::unique_ptr<node> left, right; };
	std::unique_ptr<node> root;
	void put(T v)
	{
		auto *at = &root;
		while (*at)
			at = v < (*at)->value ? &(*at)->left : &(*at)->right;
		*at = std::make_unique<node>(node{std::move(v), nullptr, nullptr});
	}
	template <class F> void each(const std::unique_ptr<node> &n, F &&f) const
	{
		if (!n)
			return;
		each(n->left, f);
		f(n->value);
		each(n->right, f);
	}
};
}

namespace words {
using value = std::variant<long, double, std::string, std::vector<long>>;

inline long score(const value &v)
{
	return std::visit([](const auto &x) -> long {
		using T = std::decay_t<decltype(x)>;
		if constexpr (std::is_same_v<T, std::string>)
			return static_cast<long>(x.size());
		else if constexpr (std::is_same_v<T, std::vector<long>>)
			return std::accumulate(x.begin(), x.end(), 0L);
		else
			return static_cast<long>(x);
	}, v);
}

std::map<std::string, std::deque<value>> parse(std::istream &in)
{
	static const std::regex line("^([a-z_]+)\\s*=\\s*(?:([0-9]+)|([0-9.]+)|\"([^\"]*)\")$", std::regex::icase);
	std::map<std::string, std::deque<value>> out;
	for (std::string s; std::getline(in, s);) {
		std::smatch m;
		if (!std::regex_match(s, m, line))
			throw std::runtime_error("bad line: " + s);
		if (m[2].matched)
			out[m[1]].emplace_back(std::stol(m[2]));
		else if (m[3].matched)
			out[m[1]].emplace_back(std::stod(m[3]));
		else
			out[m[1]].emplace_front(m[4].str());
	}
	return out;
}
}

template <class K, class V> long sum(const std::unordered_map<K, V> &m)
{
	long s = 0;
	for (const auto &[k, v] : m)
		s += static_cast<long>(k) * v;
	return s;
}

int main(int argc, char **argv)
{
	std::stringstream in("a = 1\nb = 2.5\nc = \"x\"\n");
	auto all = words::parse(in);
	tree<std::string> t;
	std::set<long> scores;
	for (auto &[name, values] : all) {
		t.put(name);
		std::transform(values.begin(), values.end(), std::inserter(scores, scores.end()), words::score);
	}
	t.each(t.root, [](const std::string &s) { std::cout << std::setw(8) << s << '\n'; });
	std::unordered_map<int, long> counts;
	std::mt19937_64 random(argc);
	std::vector<std::tuple<long, double, std::string>> rows(100);
	for (auto &r : rows)
		r = {random() % 10, 0.5, std::to_string(random())}, counts[random() % 7]++;
	std::sort(rows.begin(), rows.end());
	std::stable_sort(rows.rbegin(), rows.rend(), [](auto &a, auto &b) { return std::get<2>(a) < std::get<2>(b); });
	std::list<std::function<long(long)>> calls{[&](long x) { return x + sum(counts); }, [](long x) { return x * 2; }};
	std::mutex lock;
	std::vector<std::thread> threads;
	long total = 0;
	for (auto &c : calls)
		threads.emplace_back([&] { std::lock_guard g(lock); total += c(total); });
	for (auto &th : threads)
		th.join();
	if (argc > 1)
		for (auto &e : std::filesystem::recursive_directory_iterator(argv[1]))
			std::cout << e.path().filename() << ' ' << std::chrono::steady_clock::now().time_since_epoch().count() << '\n';
	return static_cast<int>(total + std::accumulate(scores.begin(), scores.end(), 0L)) & 1;
}
