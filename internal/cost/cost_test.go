//go:build linux && amd64

package cost

import (
	"bytes"
	"debug/elf"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

var update = flag.Bool("update", false, "write the expected counts anew")

const file = "testdata/instructions"

// tolerance is by how much a count may differ, in percent. Some thousand instructions
// of a start are by chance.
const (
	tolerance = 5
	chance    = 100_000
)

// run is a run of bt: its arguments, in a directory with the inputs, and the name of the
// one that it reads.
type run struct {
	name  string
	stdin string
	args  []string
}

var runs = []run{
	{"start", "", []string{"version"}},
	{"one address", "", []string{"--exe", "lib.so", "401234"}},
	{"names", "addresses", []string{"--exe", "lib.so"}},
	{"demangled names", "addresses", []string{"--exe", "cxx.so"}},
	{"JSON", "addresses", []string{"--exe", "lib.so", "--format", "json"}},
	{"report", "report", nil},
	{"filter", "log", []string{"--filter", "--maps", "maps"}},
	{"maps", "", []string{"maps", "--procfs", "proc", "--pid", "1"}},
	{"source lines", "places", []string{"--exe", "prog", "-s", "-i"}},
	{"lines of stripped Go", "places", []string{"--exe", "stripped", "-s", "-i"}},
	{"addr2line", "places", []string{"addr2line", "-e", "prog", "-f", "-i"}},
}

func TestInstructions(t *testing.T) {
	if testing.Short() {
		t.Skip("valgrind takes half a minute")
	}
	valgrind := testenv.Need(t, "valgrind", "valgrind")
	dir := t.TempDir()
	inputs(t, dir)
	bt := filepath.Join(dir, "bt")
	goBuild(t, bt, "../../cmd/bt")
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Instructions of bt's runs, counted by valgrind: go test ./internal/cost -update\n%s\n", runtime.Version())
	counts := map[string]int{}
	for _, r := range runs {
		counts[r.name] = count(t, valgrind, bt, dir, r)
		fmt.Fprintf(&out, "%d %s\n", counts[r.name], r.name)
	}
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	compare(t, counts)
}

// compare compares counts with those of the file.
func compare(t *testing.T, counts map[string]int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
	if lines[0] != runtime.Version() {
		t.Skipf("%s is of %s, this is %s", file, lines[0], runtime.Version())
	}
	if len(lines)-1 != len(runs) {
		t.Errorf("%s has %d runs, want %d", file, len(lines)-1, len(runs))
	}
	for _, line := range lines[1:] {
		number, name, _ := strings.Cut(line, " ")
		want, err := strconv.Atoi(number)
		got := counts[name]
		if err != nil || got == 0 {
			t.Errorf("%s: no run is called so", line)
			continue
		}
		t.Logf("%s: %d instructions, %+.1f%%", name, got, 100*float64(got-want)/float64(want))
		if d := got - want; max(d, -d) > want*tolerance/100+chance {
			t.Errorf("%s: %d instructions, %s says %d: find out why, then go test ./internal/cost -update", name, got, file, want)
		}
	}
}

var collected = regexp.MustCompile(`Collected : (\d+)`)

// count returns the number of instructions of a run.
func count(t *testing.T, valgrind, bt, dir string, r run) int {
	t.Helper()
	cmd := exec.Command(valgrind, append([]string{"--tool=callgrind", "--callgrind-out-file=/dev/null", bt}, r.args...)...)
	cmd.Dir = dir
	// One thread at a time: how often threads look for work is by chance. Callgrind does
	// not expect the signals by which Go interrupts its goroutines. When the garbage
	// collector runs depends on time.
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1", "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	if r.stdin != "" {
		f, err := os.Open(filepath.Join(dir, r.stdin))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.Stdin = f
	}
	var errs, out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	m := collected.FindSubmatch(errs.Bytes())
	if err != nil || m == nil || out.Len() == 0 {
		t.Fatalf("%s: %v, %d bytes of output\n%s", r.name, err, out.Len(), errs.Bytes())
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// inputs writes what the runs read.
func inputs(t *testing.T, dir string) {
	t.Helper()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("lib.so", library(20000, func(i int) string { return fmt.Sprintf("function_%d", i) }))
	write("cxx.so", library(5000, func(i int) string {
		class := fmt.Sprintf("Class%d", i%100)
		return fmt.Sprintf("_ZN4some5space%d%sI%dArg%05dE4callERKSt6vectorIS3_SaIS3_EE", len(class), class, 8, i)
	}))
	var addresses, log bytes.Buffer
	for i := range 10000 {
		at := uint64(textAt) + uint64(i)*7919%(20000*functionSize)
		fmt.Fprintf(&addresses, "%x\n", at)
		fmt.Fprintf(&log, "2026-11-27 12:00:00 worker[%d]: call from 0x%x failed, code %d\n", i, 0x7f0000000000+at, i%7)
	}
	maps := fmt.Sprintf("7f0000000000-7f0000800000 r-xp 00000000 08:01 7 %s\n", filepath.Join(dir, "lib.so"))
	write("addresses", addresses.Bytes())
	write("log", log.Bytes())
	write("maps", []byte(maps))
	report := []byte(maps)
	for line := range bytes.Lines(addresses.Bytes()) {
		report = fmt.Appendf(report, "7f0000%06s", line)
	}
	write("report", report)
	var many []byte
	for i := range 5000 {
		many = fmt.Appendf(many, "%x-%x r--p 00000000 00:00 0 \n", 0x10000*(i+1), 0x10000*(i+1)+0x1000)
	}
	if err := os.MkdirAll(filepath.Join(dir, "proc/1"), 0o777); err != nil {
		t.Fatal(err)
	}
	write("proc/1/maps", many)
	goBuild(t, filepath.Join(dir, "prog"), "./testdata/prog")
	goBuild(t, filepath.Join(dir, "stripped"), "-ldflags=-s -w", "./testdata/prog")
	write("places", places(t, filepath.Join(dir, "prog")))
}

const (
	textAt       = 0x1000
	functionSize = 0x100
)

// library is a shared object of n functions.
func library(n int, name func(int) string) []byte {
	f := testelf.File{Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: textAt, Data: make([]byte, n*functionSize)}}}
	for i := range n {
		f.Symbols = append(f.Symbols, testelf.Symbol{Name: name(i), Value: textAt + uint64(i)*functionSize, Size: functionSize, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"})
	}
	return f.Bytes()
}

// places are addresses all over the code of a Go program.
func places(t *testing.T, prog string) []byte {
	t.Helper()
	f, err := elf.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	symbols = slices.DeleteFunc(symbols, func(s elf.Symbol) bool { return elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size == 0 })
	var out []byte
	for i := range 3000 {
		s := symbols[i*7919%len(symbols)]
		out = fmt.Appendf(out, "%x\n", s.Value+uint64(i)%s.Size)
	}
	return out
}

func goBuild(t *testing.T, out string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false", "-o", out}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOAMD64=v1", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
