package gopcln

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatedso/bt/internal/arch/x86"
	"github.com/gatedso/bt/internal/testenv"
)

// source is a program with goroutines, a handler and deferred calls; it
// imports nothing, so that it builds fast for any CPU.
const source = `package main

type shape interface{ area(x, y int) int }
type square [40]int

//go:noinline
func (s square) area(x, y int) int { defer func() { recover() }(); return s[x] * s[y] }

func pick[T any](list []T, i int) (out T) { out = list[i]; return }

func main() {
	done := make(chan int)
	for i := range [4]int{} {
		go func() { var s shape = square{1, 2, 3, 4, 5}; done <- s.area(i, pick([]int{1, 2, 3, 4}, i)) }()
	}
	m := map[string]int{}
	for i := range [4]int{} {
		m[string(rune('a'+i))] += <-done
	}
	println(len(m))
}
`

const cgoSource = `package main

/*
#include <stdio.h>
static int twice(int x) { return printf("%d\n", 2 * x); }
*/
import "C"

func main() { C.twice(21) }
`

var builds sync.Map // of func() string, by the arguments

// build compiles a program, once for all tests and benchmarks, and returns
// its path.
func build(t testing.TB, src string, env []string, args ...string) string {
	t.Helper()
	goTool := testenv.Need(t, "go", "golang-go")
	key := filepath.Join(append(append([]string{src}, env...), args...)...)
	once, _ := builds.LoadOrStore(key, sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp(tempDir, "")
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(src), 0o644); err != nil {
			return "", err
		}
		cmd := exec.Command(goTool, append(append([]string{"build", "-o", "prog"}, args...), "main.go")...)
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), "GO111MODULE=off", "GOFLAGS="), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return string(out), err
		}
		return filepath.Join(dir, "prog"), nil
	}))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatalf("go build %v: %v\n%s", args, err, path)
	}
	return path
}

var tempDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gopcln")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		tempDir = dir
		return m.Run()
	}())
}

// program is an ELF file with a pclntab.
type program struct {
	path     string
	elf      *elf.File
	data     []byte // .gopclntab
	text     []byte
	textAddr uint64
	symbol   uint64 // address of runtime.text, 0 when stripped
	syms     []elf.Symbol
	table    *Table
}

func load(t testing.TB, path string) *program {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p := &program{path: path, elf: f}
	sec := f.Section(".gopclntab")
	if sec == nil {
		sec = f.Section(".data.rel.ro.gopclntab") // PIE, before Go 1.26
	}
	if sec == nil {
		t.Fatalf("%s has no .gopclntab", path)
	}
	if p.data, err = sec.Data(); err != nil {
		t.Fatal(err)
	}
	text := f.Section(".text")
	if p.text, err = text.Data(); err != nil {
		t.Fatal(err)
	}
	p.textAddr = text.Addr
	p.syms, _ = f.Symbols()
	for _, s := range p.syms {
		if s.Name == "runtime.text" {
			p.symbol = s.Value
		}
	}
	addr := p.symbol
	if addr == 0 {
		if addr, _ = LocateText(p.data, p.text, p.textAddr, x86.GoExit); addr == 0 && p.data[0] < 0xfa {
			t.Fatalf("%s: LocateText finds nothing", path)
		}
	}
	if p.table, err = New(p.data, addr); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// programs calls f with programs of all sorts.
func programs(t *testing.T, f func(t *testing.T, p *program)) {
	for _, tt := range []struct {
		name, src string
		env, args []string
		full      bool // takes long: the whole runtime is compiled for it, or it is large
	}{
		{"normal", source, nil, nil, false},
		{"stripped", source, nil, []string{"-ldflags=-s -w"}, false},
		{"pie", source, nil, []string{"-buildmode=pie"}, true},
		{"pie-stripped", source, nil, []string{"-buildmode=pie", "-ldflags=-s -w"}, true},
		{"386", source, []string{"GOARCH=386", "CGO_ENABLED=0"}, nil, false},
		{"cgo", cgoSource, []string{"CGO_ENABLED=1"}, nil, false},
		{"cgo-pie", cgoSource, []string{"CGO_ENABLED=1"}, []string{"-buildmode=pie"}, true},
	} {
		if tt.full && !testenv.Full() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.src == cgoSource {
				testenv.Need(t, "gcc", "gcc")
			}
			f(t, load(t, build(t, tt.src, tt.env, tt.args...)))
		})
	}
	if !testenv.Full() {
		return
	}
	t.Run("go", func(t *testing.T) {
		f(t, load(t, testenv.Need(t, "go", "golang-go")))
	})
	// Programs of other versions of Go, where somebody has some.
	list, _ := filepath.Glob(os.Getenv("BT_GO_PROGRAMS"))
	for _, path := range list {
		t.Run(filepath.Base(path), func(t *testing.T) { f(t, load(t, path)) })
	}
}
