//go:build linux

package hostile

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

var (
	inputs = flag.Int("inputs", 1000, "how many inputs, of all kinds together, and as many of debug information")
	seed   = flag.Uint64("seed", 1, "where the inputs come from")
	only   = flag.Int("only", -1, "the number of the one input to try")
)

// Bounds of bt on one input.
const (
	maxMemory = 256 << 10 // KiB
	hang      = 30 * time.Second
	// maxCPU is about fifty times what bt takes for the intact debug information.
	maxCPU = time.Second
)

// kind is a sort of input.
type kind struct {
	name   string
	says   string // a part of what bt says of the intact input
	intact func(t *testing.T) []byte
	fields fields
	// call puts an input where bt finds it, and says how bt is called; stdin
	// may be nil.
	call func(t *testing.T, dir string, data []byte) (args []string, stdin []byte)
	// dwarf kinds are damaged in their debug information, and share as many inputs as all
	// others together.
	dwarf bool
}

var kinds = []kind{
	{"elf", "chain.c:", program("-g"), elfFields, asExe, false},
	{"elf compressed", "chain.c:", program("-g", "-gz"), elfFields, asExe, false},
	{"elf stripped", "@plt", program("-s"), elfFields, asExe, false},
	{"elf big tables", "+0x", libc, elfFields, asExe, false},
	{"go", "<runtime.", goProgram, elfFields, asExe, false},
	{"core", "<start_thread+", core, elfFields, asCore, false},
	{"maps", "libc.so.6", savedMaps, textFields, asMaps, false},
	{"report", "<main+", report, textFields, asReport, false},
	{"text", "+0x10>", text, textFields, asText, false},
	{"perf map", "function", perfMap, textFields, asPerfMap, false},
	{"jitdump", "<function1+", jitdump, jitdumpFields, asJitdump, false},
	{"dwarf 2", "chain.c:", program("-gdwarf-2", "-gstrict-dwarf", "-O2"), dwarfFields, asLines, true},
	{"dwarf 4", "lines.cc:", cxx("g++", "-gdwarf-4", "-fdebug-types-section"), dwarfFields, asLines, true},
	{"dwarf 5", "lines.cc:", cxx("g++", "-gdwarf-5"), dwarfFields, asLines, true},
	{"dwarf 5 of clang", "lines.cc:", cxx("clang++", "-gdwarf-5"), dwarfFields, asLines, true},
	{"dwarf of 64 bits", "lines.cc:", cxx("g++", "-g", "-gdwarf64"), dwarfFields, asLines, true},
	{"skeletons", "lines.cc:", cxx("g++", "-g", "-gsplit-dwarf"), dwarfFields, asLines, true},
	{"object file", "lines.cc:", cxx("g++", "-g", "-c"), dwarfFields, asLines, true},
}

var bt string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "bt-hostile-")
	if err != nil {
		panic(err)
	}
	bt = filepath.Join(dir, "bt")
	build := exec.Command("go", "build", "-o", bt, "github.com/gatedso/bt/cmd/bt")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	status := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

func TestHostile(t *testing.T) {
	var of [2]int
	for _, k := range kinds {
		of[index(k.dwarf)]++
	}
	for i := range kinds {
		k := &kinds[i]
		each := max(1, *inputs/of[index(k.dwarf)])
		if testing.Short() {
			each = min(each, 20)
		}
		t.Run(strings.ReplaceAll(k.name, " ", "-"), func(t *testing.T) {
			data := k.intact(t)
			out, problem := k.try(t, t.TempDir(), data)
			if problem != "" || !strings.Contains(out, k.says) {
				t.Fatalf("the intact input: %s: no %q in %s", problem, k.says, head([]byte(out)))
			}
			numbers := make(chan int)
			var all sync.WaitGroup
			for range 2 {
				dir := t.TempDir()
				all.Go(func() {
					for n := range numbers {
						k.one(t, dir, data, n)
					}
				})
			}
			for n := range each {
				if *only < 0 || *only == n {
					numbers <- n
				}
			}
			close(numbers)
			all.Wait()
		})
	}
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// one tries the input of a number, and keeps it if bt fails on it.
func (k *kind) one(t *testing.T, dir string, data []byte, n int) {
	h := fnv.New64a()
	h.Write([]byte(k.name))
	input := mutate(data, k.fields, rand.New(rand.NewPCG(*seed^h.Sum64(), uint64(n))))
	_, problem := k.try(t, dir, input)
	if problem == "" {
		return
	}
	kept := filepath.Join(os.TempDir(), fmt.Sprintf("hostile-%s-%d-%d", strings.ReplaceAll(k.name, " ", "-"), *seed, n))
	os.WriteFile(kept, input, 0o644)
	t.Errorf("input %d (kept as %s): %s", n, kept, problem)
}

// exclusive kinds have one process for all inputs.
var exclusive sync.Mutex

// try has bt read an input. It returns what bt printed, and what it did wrong.
func (k *kind) try(t *testing.T, dir string, input []byte) (printed, problem string) {
	if k.name == "perf map" || k.name == "jitdump" {
		exclusive.Lock()
		defer exclusive.Unlock()
	}
	args, stdin := k.call(t, dir, input)
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	cmd := exec.CommandContext(ctx, bt, args...)
	cmd.Env = append(os.Environ(), "DEBUGINFOD_URLS=", "NO_COLOR=1")
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String(), k.judge(ctx, cmd, args, err)
}

// judge says what bt did wrong.
func (k *kind) judge(ctx context.Context, cmd *exec.Cmd, args []string, err error) string {
	stdout, stderr := cmd.Stdout.(*bytes.Buffer), cmd.Stderr.(*bytes.Buffer)
	called := "bt " + strings.Join(args, " ") + ": "
	if ctx.Err() != nil {
		return called + "no end after " + hang.String()
	}
	exit := new(exec.ExitError)
	if err != nil && !errors.As(err, &exit) {
		return called + err.Error()
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 1 && code != 3 {
		return fmt.Sprintf("%sexit status %d: %s", called, code, head(stderr.Bytes()))
	}
	for _, trace := range []string{"goroutine ", "panic", "runtime error", "internal error", "fatal error"} {
		if bytes.Contains(stderr.Bytes(), []byte(trace)) {
			return called + head(stderr.Bytes())
		}
	}
	// What --filter copies through is its input, to the byte.
	if k.name != "text" && k.name != "report" {
		if c := control(stdout.Bytes()); c != "" {
			return called + "on standard output: " + c
		}
	}
	if c := control(stderr.Bytes()); c != "" {
		return called + "on standard error: " + c
	}
	if kib := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; kib > maxMemory {
		return fmt.Sprintf("%s%d MiB of memory", called, kib>>10)
	}
	if cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); k.dwarf && cpu > maxCPU {
		return called + cpu.String() + " of CPU time"
	}
	return ""
}

func head(b []byte) string { return string(b[:min(len(b), 2000)]) }

// control finds what could drive a terminal.
func control(b []byte) string {
	for i, c := range b {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			return fmt.Sprintf("byte %#x in %q", c, b[max(0, i-40):min(len(b), i+10)])
		}
	}
	return ""
}

// tool runs a program that has to work.
func tool(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
}

func compiled(t *testing.T, src string, flags ...string) string {
	t.Helper()
	testenv.Need(t, "gcc", "gcc")
	path := filepath.Join(t.TempDir(), "prog")
	tool(t, "gcc", append([]string{"-O1", "-pthread", "-o", path, "../../testdata/progs/" + src}, flags...)...)
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
