# Threads that compute all the time. In each function a line that calls another one
# names it, so that a stack can be checked by the text of the lines.
import functools
import sys
import threading


def leaf(n):
    x = 0
    for i in range(n % 7):
        x += i
    return x


def loop(n):
    for i in range(3):
        leaf(n + i)
    return by_map(n)


def square(n):
    return leaf(n) * leaf(n)


def by_map(n):
    return sum(map(square, range(n % 5)))  # calls square


def by_sort(n):
    return sorted(range(4), key=square)  # calls square


def add(a, b):
    return a + leaf(b)


def by_reduce(n):
    return functools.reduce(add, range(5))  # calls add


def numbers(n):
    for i in range(3):
        yield leaf(i)


def by_generator(n):
    return [x for x in numbers(n)]


class Thing:
    def __init__(self, n):  # Thing
        self.n = leaf(n)

    def method(self):
        return by_reduce(self.n)

    def __eq__(self, other):  # ==
        return loop(self.n) == 1


def things(n):
    a = Thing(n)  # calls __init__
    b = Thing(n + 1)  # calls __init__
    if a == b:  # calls __eq__
        return 1
    return a.method()


def deep(n):
    if n > 0:
        return deep(n - 1)
    return things(n)


def failing(n):
    try:
        raise ValueError(n)
    except ValueError:
        return square(n)


def work(n=0):
    while True:
        n += 1
        loop(n)
        by_sort(n)
        by_generator(n)
        things(n)
        deep(n % 30)
        failing(n)
        eval("square(n)")  # calls <module>


for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
work()
