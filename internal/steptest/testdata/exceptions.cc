// Exceptions, for a test that steps through main from its first instruction to its
// last: through frames with and without something to clean up, and thrown again.
#define NOINLINE __attribute__((noinline, noclone))

volatile int sink;

struct Guard {
    int n;
    NOINLINE explicit Guard(int n) : n(n) { sink = n; }
    NOINLINE ~Guard() { sink = -n; }
};

NOINLINE int leaf(int x) { return 3 * x + 1; }

NOINLINE int thrower(int x) {
    if (leaf(x) > 3)
        throw x;
    return x;
}

NOINLINE int plain(int x) { return thrower(x) + 1; }

NOINLINE int guarded(int x) {
    Guard g(x);
    char buf[100];
    sink = buf[x] = 1;
    return plain(x) + buf[x];
}

NOINLINE int rethrows(int x) {
    try {
        return guarded(x);
    } catch (int n) {
        sink = leaf(n);
        throw;
    }
}

NOINLINE int catches(int x) {
    try {
        return rethrows(x);
    } catch (int n) {
        return leaf(n);
    }
}

int main() {
    sink = catches(0) + catches(5);
    return 0;
}
