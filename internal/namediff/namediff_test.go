package namediff

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

var (
	full      = flag.Bool("full", false, "compare all files, with 100,000 addresses each")
	seed      = flag.Uint64("seed", 1, "of the random addresses")
	lineFiles = flag.String("lines", "", "files, separated by commas, of which lines are compared as well")
)

// counts of one comparison.
type counts struct {
	by       [numClasses]int
	examples [numClasses][]string
}

func (c *counts) add(cl class, example func() string) {
	if c.by[cl]++; len(c.examples[cl]) < 5 {
		c.examples[cl] = append(c.examples[cl], example())
	}
}

func (c *counts) report(t *testing.T, peer string) {
	t.Helper()
	var b strings.Builder
	for cl, n := range c.by {
		if n > 0 {
			fmt.Fprintf(&b, "  %s %d", classNames[cl], n)
		}
	}
	t.Logf("%-16s%s", peer, b.String())
	total := 0
	for _, n := range c.by {
		total += n
	}
	if n := c.by[refuted]; n*100 > total {
		t.Errorf("%s: %d of %d refuted", peer, n, total)
	}
	if n := c.by[unexplained]; n > 0 {
		t.Errorf("%s: %d unexplained differences, such as\n%s", peer, n, strings.Join(c.examples[unexplained], "\n"))
	}
}

// compare names addresses of a file: all starts of functions, one address inside
// each, and n random ones. eu-addr2line, which reads all symbols for each address,
// is asked for a sample of so many.
func compare(t *testing.T, path string, n, sample int) {
	s, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.tables) == 0 {
		t.Fatalf("readelf lists no symbols in %s", path)
	}
	rng := rand.New(rand.NewPCG(*seed, 1))
	functions := s.functions()
	addrs := append(s.random(rng, n), functions...)
	for _, f := range functions {
		if next := f + rng.Uint64N(64); s.tables[0].area(next) != nil {
			addrs = append(addrs, next)
		}
	}
	if !*full && len(addrs) > 3*n {
		addrs = addrs[:3*n]
	}
	t.Logf("%s: %d functions, %d addresses", path, len(functions), len(addrs))

	bt := make([]answer, len(addrs))
	var c counts
	for i, a := range addrs {
		bt[i] = s.bt(a)
		c.add(s.bySymbols(a, bt[i]), func() string { return fmt.Sprintf("%#x: %+v; readelf: %s", a, bt[i], s.describe(a)) })
	}
	c.report(t, "readelf, nm")

	c = counts{}
	llvm, err := askLLVM(s.full, addrs)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range addrs {
		c.add(s.byLLVM(a, bt[i], llvm[i]), func() string {
			return fmt.Sprintf("%#x: %+v; llvm-symbolizer: %q; readelf: %s", a, bt[i], llvm[i], s.describe(a))
		})
	}
	c.report(t, "llvm-symbolizer")

	c = counts{}
	var some []uint64
	for range sample {
		some = append(some, addrs[rng.IntN(len(addrs))])
	}
	eu, err := askElfutils(path, some)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range some {
		mine := s.bt(a)
		c.add(s.byElfutils(a, mine, eu[i]), func() string {
			return fmt.Sprintf("%#x: %+v; eu-addr2line: %+v; readelf: %s", a, mine, eu[i], s.describe(a))
		})
	}
	c.report(t, "eu-addr2line")
}

// describe lists what readelf has at an address.
func (s *subject) describe(addr uint64) string {
	var out []string
	for _, t := range s.tables {
		out = append(out, fmt.Sprintf("%s covering %+v, nearest %+v", t.label, t.covering(addr), t.nearest(addr)))
	}
	return strings.Join(out, "; ")
}

func needPeers(t *testing.T) {
	testenv.Need(t, "readelf", "binutils")
	testenv.Need(t, "llvm-symbolizer", "llvm")
	testenv.Need(t, "eu-addr2line", "elfutils")
}

// TestNames is the comparison in short.
func TestNames(t *testing.T) {
	needPeers(t)
	for _, pattern := range []string{"/lib/*-linux-gnu/libc.so.6", "/lib/*-linux-gnu/libcrypto.so.3"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			t.Run(filepath.Base(path), func(t *testing.T) { compare(t, path, 5000, 50) })
		}
	}
}

// sample is how many addresses eu-addr2line is asked for.
const sample = 500

// files are what make diff compares. Those that a package provides must be there
// where BT_TEST_STRICT is set.
var files = []struct{ name, pattern, pkg string }{
	{"libc", "/lib/*-linux-gnu/libc.so.6", "libc6"},
	{"libc, 32-bit", "/lib32/libc.so.6", "libc6-i386"},
	{"libcrypto", "/lib/*-linux-gnu/libcrypto.so.3", "libssl3"},
	{"libstdc++", "/lib/*-linux-gnu/libstdc++.so.6", "libstdc++6"},
	{"libLLVM", "/usr/lib/*-linux-gnu/libLLVM-1[45].so.1", "llvm"},
	{"musl", "/lib/ld-musl-*.so.1", "musl"},
	{"chromium", "/usr/lib/chromium/chromium", ""},
	{"librustc_driver", "~/.rustup/toolchains/stable-*/lib/librustc_driver-*.so", ""},
	{"node", "node", "nodejs"},
	{"go", "go", ""},
	{"gopls", "gopls", ""},
}

// TestDiff compares everything there is on the machine: make diff.
func TestDiff(t *testing.T) {
	if !*full {
		t.Skip("only with -full: make diff")
	}
	needPeers(t)
	t.Logf("seed %d", *seed)
	for _, f := range files {
		paths := find(f.pattern)
		if len(paths) == 0 {
			if f.pkg != "" && testenv.Strict() {
				t.Errorf("BT_TEST_STRICT=1: no %s (%s): apt-get install %s", f.name, f.pattern, f.pkg)
			} else {
				t.Logf("skipped: %s (%s) is not on this machine", f.name, f.pattern)
			}
		}
		for _, path := range paths {
			t.Run(filepath.Base(path), func(t *testing.T) { compare(t, path, 100_000, sample) })
		}
	}
}

// find expands a pattern, or finds a program on the PATH.
func find(pattern string) []string {
	if !strings.Contains(pattern, "/") {
		path, err := exec.LookPath(pattern)
		if err != nil {
			return nil
		}
		path, _ = filepath.EvalSymlinks(path)
		return []string{path}
	}
	if rest, ok := strings.CutPrefix(pattern, "~"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		pattern = home + rest
	}
	paths, _ := filepath.Glob(pattern)
	slices.Sort(paths)
	return paths
}
