package suite

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkWall measures bt --pid from start to exit against eu-stack and gdb,
// in turn, on the same process. The metrics are medians in milliseconds.
func BenchmarkWall(b *testing.B) {
	for _, c := range []struct {
		name, src string
		args      []string
	}{
		{"threads=1", "threads.c", []string{"0", "16"}},
		{"threads=100", "threads.c", []string{"100", "16"}},
		{"threads=1000", "threads.c", []string{"1000", "16"}},
		{"frames=100000", "deep.c", []string{"100000"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := start(b, append([]string{build(b, "gcc", c.src, "-O1")}, c.args...)...)
			pid := itoa(p.pid)
			peers := []peer{
				{"bt", []string{btPath, "-n", "0", "-p", pid}},
				{"eu-stack", []string{"eu-stack", "-n", "0", "-p", pid}},
				{"gdb", []string{"gdb", "-batch", "-p", pid, "-ex", "thread apply all bt"}},
			}
			if c.src == "deep.c" {
				peers = peers[:2] // gdb takes half a minute
			}
			race(b, peers, nil)
		})
	}
}

// BenchmarkNames measures a million addresses of a large library on standard
// input against what reads them from there as well.
func BenchmarkNames(b *testing.B) {
	var lib string
	for _, path := range []string{"/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/lib/x86_64-linux-gnu/libc.so.6"} {
		if _, err := os.Stat(path); err == nil {
			lib = path
			break
		}
	}
	if lib == "" {
		b.Skip("no large library is installed")
	}
	for _, n := range []int{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			peers := []peer{{"bt", []string{btPath, "--demangle", "none", "-e", lib}}}
			if n <= 10_000 {
				peers = append(peers, peer{"llvm-symbolizer", []string{"llvm-symbolizer", "--functions", "--no-demangle", "--obj=" + lib}})
			}
			if n == 1 { // it takes milliseconds for each address
				peers = append(peers, peer{"eu-addr2line", []string{"eu-addr2line", "-S", "-e", lib}})
			}
			race(b, peers, addresses(b, lib, n))
		})
	}
}

// addresses are n random addresses in the symbols of an ELF file.
func addresses(b *testing.B, path string, n int) []byte {
	f, err := elf.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	syms, err := f.DynamicSymbols()
	if err != nil {
		b.Fatal(err)
	}
	syms = slices.DeleteFunc(syms, func(s elf.Symbol) bool { return elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size == 0 })
	rnd := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer
	for range n {
		s := syms[rnd.IntN(len(syms))]
		fmt.Fprintf(&text, "%#x\n", s.Value+rnd.Uint64N(s.Size))
	}
	return text.Bytes()
}

type peer struct {
	name string
	argv []string
}

// race runs the peers in turn, b.N times, and reports each one's median and
// how it compares with the first. Those that are not installed are named.
func race(b *testing.B, peers []peer, stdin []byte) {
	times := make([][]time.Duration, len(peers))
	for range b.N {
		for i, p := range peers {
			cmd := exec.Command(p.argv[0], p.argv[1:]...)
			cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
			if stdin != nil {
				cmd.Stdin = bytes.NewReader(stdin) // as from a pipe
			}
			if _, err := exec.LookPath(p.argv[0]); err != nil {
				continue
			}
			start := time.Now()
			if err := cmd.Run(); err != nil && i == 0 {
				b.Fatal(err)
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	var first time.Duration
	for i, p := range peers {
		if len(times[i]) == 0 {
			b.Logf("%s is not installed", p.name)
			continue
		}
		slices.Sort(times[i])
		median := times[i][len(times[i])/2]
		b.ReportMetric(float64(median.Microseconds())/1000, "ms-"+p.name)
		if i == 0 {
			first = median
		} else {
			b.ReportMetric(float64(median)/float64(first), p.name+"/bt")
		}
	}
}
