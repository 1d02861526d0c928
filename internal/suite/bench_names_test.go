//go:build linux

package suite

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// benchLibraries are large files with symbols, those that are there.
func benchLibraries(b *testing.B) map[string]string {
	home, _ := os.UserHomeDir()
	found := map[string]string{}
	for name, pattern := range map[string]string{
		"libLLVM":         "/usr/lib/*/libLLVM-*.so.1",
		"librustc_driver": home + "/.rustup/toolchains/stable-*/lib/librustc_driver-*.so",
	} {
		if paths, _ := filepath.Glob(pattern); paths != nil {
			found[name] = paths[0]
		}
	}
	if node, err := exec.LookPath("node"); err == nil {
		found["node"] = node
	}
	if paths, _ := filepath.Glob("/lib/*-linux-gnu/libc.so.6"); len(found) == 0 && paths != nil {
		found["libc"] = paths[0]
	}
	if len(found) == 0 {
		b.Skip("no large library is installed")
	}
	return found
}

// BenchmarkStart measures bt doing nothing, against a program that does nothing.
func BenchmarkStart(b *testing.B) {
	race(b, []peer{{name: "bt-version", argv: []string{btPath, "version"}}, {name: "true", argv: []string{"true"}}}, nil)
}

// BenchmarkNames measures shuffled addresses of large files on standard input:
// one, which is a cold start, to a million.
func BenchmarkNames(b *testing.B) {
	libs := benchLibraries(b)
	for _, name := range slices.Sorted(maps.Keys(libs)) {
		path := libs[name]
		all := functions(b, path, "")
		for _, n := range []int{1, 10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/addresses=%d", name, n), func(b *testing.B) {
				rnd := rand.New(rand.NewPCG(1, 2))
				in := newInput(b, n, func() elf.Symbol { return all[rnd.IntN(len(all))] })
				peers := namers("none", path)
				race(b, peers, in)
				if n == 1_000_000 {
					b.ReportMetric(peakMemory(b, peers[0].argv, in), "MB-bt")
				}
			})
		}
	}
}

// BenchmarkDemangle measures a million addresses of functions with mangled
// names, some of which come often, as in a profile.
func BenchmarkDemangle(b *testing.B) {
	path, ok := benchLibraries(b)["libLLVM"]
	if !ok {
		b.Skip("libLLVM is not installed")
	}
	all := functions(b, path, "_Z")
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, skew := range []float64{1.1, 1.5} {
		b.Run(fmt.Sprintf("skew=%v", skew), func(b *testing.B) {
			zipf := rand.NewZipf(rnd, skew, 1, uint64(len(all)-1))
			in := newInput(b, 1_000_000, func() elf.Symbol { return all[zipf.Uint64()] })
			peers := namers("full", path)
			race(b, peers, in)
			b.ReportMetric(peakMemory(b, peers[0].argv, in), "MB-bt")
		})
	}
}

// namers are bt and what else names the addresses of a file. What takes
// milliseconds for each address gets few of them.
func namers(demangle, path string) []peer {
	llvm := []string{"llvm-symbolizer", "--functions", "--no-demangle", "--obj=" + path}
	eu := []string{"eu-addr2line", "-f", "-e", path}
	gnu := []string{"addr2line", "-f", "-e", path}
	if demangle != "none" {
		llvm[2] = "--demangle"
		eu, gnu = append(eu, "-C"), append(gnu, "-C")
	}
	return []peer{
		{name: "bt", argv: []string{btPath, "--demangle", demangle, "-e", path}},
		{name: "llvm-symbolizer", argv: llvm, most: 100_000},
		{name: "eu-addr2line", argv: eu, most: 50},
		{name: "addr2line", argv: gnu, most: 50},
	}
}

// functions are the functions that a file exports, those whose names begin with
// prefix.
func functions(b *testing.B, path, prefix string) []elf.Symbol {
	f, err := elf.Open(path)
	if err != nil {
		b.Skip(err) // a script, such as node's wrapper
	}
	defer f.Close()
	syms, err := f.DynamicSymbols()
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(syms, func(s elf.Symbol) bool {
		return elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size == 0 || !strings.HasPrefix(s.Name, prefix)
	})
}

// input is addresses, one a line, and the files that hold the first of them. It
// is not written by the measured programs' parent while they run.
type input struct {
	lines []string
	files map[int]string
}

// newInput takes n addresses at random from functions.
func newInput(b *testing.B, n int, next func() elf.Symbol) *input {
	rnd := rand.New(rand.NewPCG(3, 4))
	in := &input{files: map[int]string{}}
	for range n {
		s := next()
		in.lines = append(in.lines, fmt.Sprintf("%#x\n", s.Value+rnd.Uint64N(s.Size)))
	}
	return in
}

// head returns a file with the first n lines.
func (in *input) head(b *testing.B, n int) string {
	if path, ok := in.files[n]; ok {
		return path
	}
	path := filepath.Join(b.TempDir(), itoa(n))
	if err := os.WriteFile(path, []byte(strings.Join(in.lines[:n], "")), 0o644); err != nil {
		b.Fatal(err)
	}
	in.files[n] = path
	return path
}

// peakMemory returns the most memory, in 10^6 bytes, that a program that answers
// each line with one took while it answered in. (What wait reports of a child
// includes the parent's own peak.)
func peakMemory(b *testing.B, argv []string, in *input) float64 {
	cmd := exec.Command(argv[0], argv[1:]...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	go io.WriteString(stdin, strings.Join(in.lines, ""))
	buf := make([]byte, 1<<20)
	for lines := 0; lines < len(in.lines); {
		n, err := stdout.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		lines += bytes.Count(buf[:n], []byte("\n"))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(after, &kib); err != nil {
		b.Fatal(err)
	}
	return kib * 1024 / 1e6
}
