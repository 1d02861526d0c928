//go:build linux

package suite

import (
	"bytes"
	"debug/elf"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// debugFiles are files with debug information by a short name: those in the directory
// that BT_BENCH_DIR names, and what is installed of the kernel's and Python's. bt itself
// is one always.
func debugFiles(b *testing.B) map[string]string {
	found := map[string]string{"bt": btPath}
	home, _ := os.UserHomeDir()
	for _, pattern := range []string{
		"/usr/lib/debug/boot/vmlinux-*", "/usr/lib/debug/vmlinux-*",
		home + "/.pyenv/versions/*/lib/libpython3.*.so.1.0",
		home + "/go/bin/gopls",
	} {
		paths, _ := filepath.Glob(pattern)
		if len(paths) == 0 {
			b.Logf("there is no %s", pattern)
			continue
		}
		path := paths[len(paths)-1]
		found[filepath.Base(path)] = path
	}
	dir := os.Getenv("BT_BENCH_DIR")
	if dir == "" {
		b.Log("BT_BENCH_DIR names no directory with more files")
		return found
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if f, err := elf.Open(path); err == nil {
			if f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil {
				found[e.Name()] = path
			}
			f.Close()
		}
	}
	return found
}

// codeOf are the parts of a file that hold code, as symbols without names.
func codeOf(b *testing.B, path string) (all []elf.Symbol, size uint64) {
	f, err := elf.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_EXECINSTR != 0 && strings.HasPrefix(s.Name, ".text") {
			all = append(all, elf.Symbol{Value: s.Addr, Size: s.Size})
			size += s.Size
		}
	}
	if size == 0 {
		b.Skip(path, "has no code")
	}
	return all, size
}

// lineInput takes n addresses at random from the code of a file.
func lineInput(b *testing.B, path string, n int) *input {
	code, size := codeOf(b, path)
	rnd := rand.New(rand.NewPCG(1, 2))
	return newInput(b, n, func() elf.Symbol {
		at := rnd.Uint64N(size)
		for _, s := range code {
			if at < s.Size {
				return s
			}
			at -= s.Size
		}
		panic("beyond the code")
	})
}

// liners are bt and what else finds the source lines and inlined calls of a file's
// addresses. dwfloor, if it is there, walks the debug information once and prints no
// line: it is a floor, and no peer.
func liners(path string) []peer {
	return []peer{
		{name: "bt", argv: []string{btPath, "-s", "-i", "-e", path}},
		{name: "llvm-symbolizer", argv: []string{"llvm-symbolizer", "--obj=" + path}, most: 100_000},
		{name: "eu-addr2line", argv: []string{"eu-addr2line", "-f", "-i", "-C", "-e", path}, most: 50},
		{name: "addr2line", argv: []string{"addr2line", "-f", "-i", "-C", "-e", path}, most: 50},
		{name: "dwfloor", argv: []string{"dwfloor", path}, most: 1},
	}
}

// BenchmarkLines measures source lines and inlined calls of shuffled addresses on
// standard input: of one, which is a cold start, to a million.
func BenchmarkLines(b *testing.B) {
	files := debugFiles(b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := files[name]
		for _, n := range []int{1, 10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/addresses=%d", name, n), func(b *testing.B) {
				in := lineInput(b, path, n)
				peers := liners(path)
				race(b, peers, in)
				if n > 1 {
					b.ReportMetric(100*agreement(b, peers, in), "%agree")
					b.ReportMetric(peakMemory(b, peers[0].argv, in), "MB-bt")
				}
			})
		}
	}
}

// BenchmarkLinesGrowth measures bt alone: the time against the number of addresses,
// for files with little and much debug information.
func BenchmarkLinesGrowth(b *testing.B) {
	most := 1_000_000
	if os.Getenv("BT_FULL") != "" {
		most = 10_000_000
	}
	files := debugFiles(b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		in := lineInput(b, files[name], most)
		for n := 1; n <= most; n *= 10 {
			b.Run(fmt.Sprintf("%s/addresses=%d", name, n), func(b *testing.B) {
				some := &input{lines: in.lines[:n], files: map[int]string{}}
				race(b, liners(files[name])[:1], some)
			})
		}
	}
}

// Where the place of an address stands in a line of bt's, and of llvm-symbolizer's.
var (
	btPlace   = regexp.MustCompile(`([^/ ]+:\d+)(?::\d+)?(?: \(inlined\))?$`)
	llvmPlace = regexp.MustCompile(`([^/ ]+:\d+):\d+$`)
)

// agreement returns the share of some addresses of which bt says the same file and
// line as llvm-symbolizer, of those of which both know some.
func agreement(b *testing.B, peers []peer, in *input) float64 {
	lines := strings.Join(in.lines[:min(len(in.lines), 2000)], "")
	run := func(argv []string) string {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(lines)
		out, err := cmd.Output()
		if err != nil {
			b.Skip(err)
		}
		return string(out)
	}
	var bt, llvm []string
	first := true
	for line := range strings.Lines(run(peers[0].argv)) {
		if line = strings.TrimSuffix(line, "\n"); first {
			bt = append(bt, placeIn(btPlace, line))
		}
		first = !strings.HasSuffix(line, " (inlined)")
	}
	for answer := range bytes.SplitSeq(bytes.TrimSpace([]byte(run(peers[1].argv))), []byte("\n\n")) {
		l := strings.Split(string(answer), "\n")
		llvm = append(llvm, placeIn(llvmPlace, l[min(1, len(l)-1)]))
	}
	if len(bt) != len(llvm) {
		b.Fatalf("bt answers %d addresses, llvm-symbolizer %d", len(bt), len(llvm))
	}
	same, both := 0, 0
	for i := range bt {
		if bt[i] == "" || llvm[i] == "" {
			continue
		}
		if both++; bt[i] == llvm[i] {
			same++
		}
	}
	if float64(same) < 0.99*float64(both) {
		b.Errorf("bt and llvm-symbolizer agree on %d of %d places", same, both)
	}
	return float64(same) / float64(max(both, 1))
}

// placeIn returns the file and the line that a line of output ends with, "" where there
// is none.
func placeIn(form *regexp.Regexp, line string) string {
	m := form.FindStringSubmatch(line)
	if m == nil || strings.HasPrefix(m[1], "??") || strings.HasSuffix(m[1], ":0") {
		return ""
	}
	return m[1]
}
