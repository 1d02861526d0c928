package addr2line

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/symbolize"
)

// open opens a file as bt addr2line does.
func open(t testing.TB, path string, o Options) *File {
	t.Helper()
	im, err := elfsym.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	mode := symbolize.None
	if o.Demangle {
		mode = symbolize.Full
	}
	names := symbolize.Options{Lines: true, BareNames: true, Demangle: mode}
	return &File{Image: image.NewImage(im), Symbols: symbolize.NewForImage(names)}
}

// run is addr2line with arguments and standard input.
func run(t testing.TB, in string, args ...string) string {
	t.Helper()
	o, err := Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := open(t, o.Exe, o).Run(strings.NewReader(in), &out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func build(t testing.TB, cc string, args ...string) string {
	testenv.Need(t, cc, cc)
	out := filepath.Join(t.TempDir(), "prog")
	cmd := exec.Command(cc, slices.Concat(args, []string{"-o", out})...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

const cProgram = `
#include <stdio.h>
static inline __attribute__((always_inline)) int square(int x) { volatile int y = x; return y * y; }
static inline __attribute__((always_inline)) int sum(int n) { int s = 0; for (int i = 0; i < n; i++) if (i & 1) s += square(i); else s -= i; return s; }
int count(int n) { return n > 2 ? sum(n) + count(n - 1) : sum(n + 1); }
int main(int argc, char **argv) { printf("%d\n", count(argc)); return 0; }
`

// TestBinutils compares the output for every byte of a program's functions with
// binutils'. What lies behind a function's end is left out: binutils names that by
// the function below.
func TestBinutils(t *testing.T) {
	src := filepath.Join(t.TempDir(), "prog.c")
	if err := os.WriteFile(src, []byte(cProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	compare(t, build(t, "gcc", "-g", "-O2", src), 0)
	// binutils names a C++ function without a linkage name by the symbol around it
	// the first time that it comes across it, and otherwise later: in some lines
	// of a thousand.
	compare(t, build(t, "g++", "-g", "-O2", "-gdwarf-4", "../dwarf/testdata/prog.cc"), 0.01)
}

// compare allows that part of the lines to differ.
func compare(t *testing.T, path string, part float64) {
	peer := testenv.Need(t, "addr2line", "binutils")
	im, err := elfsym.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	var in strings.Builder
	im.Named(func(s elfsym.Symbol) bool {
		// Those of the program itself, and not of crt1.o.
		if strings.HasPrefix(s.Name, "_Z") || s.Name == "main" || s.Name == "count" {
			for a := s.Value; a < s.Value+s.Size; a++ {
				fmt.Fprintf(&in, "0x%x\n", a)
			}
		}
		return true
	})
	in.WriteString("0\n\nnonsense\n,\nmain\nmain+0x10\nmain+10\n-1\n+12\nnosuch+4\nffffffffffffffffff\n 0X10zz\n")
	all := []string{"", "-f", "-i", "-a", "-fi", "-fip", "-fipa", "-pa", "-fiC", "-sfi", "-faips"}
	if testing.Short() {
		all = []string{"-fi", "-fipa", "-sa"}
	}
	for _, opts := range all {
		args := []string{"-e", path}
		if opts != "" {
			args = append(args, opts)
		}
		cmd := exec.Command(peer, args...)
		cmd.Stdin = strings.NewReader(in.String())
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got, bad := strings.Split(run(t, in.String(), args...), "\n"), 0
		lines := strings.Split(string(want), "\n")
		if len(got) != len(lines) {
			t.Errorf("%s: %d lines, want %d", opts, len(got), len(lines))
		}
		for i := range min(len(got), len(lines)) {
			if got[i] != lines[i] {
				if bad++; bad <= 3 && part == 0 {
					t.Errorf("%s: line %d: got %q, want %q", opts, i, got[i], lines[i])
				}
			}
		}
		if float64(bad) > part*float64(len(lines)) {
			t.Errorf("%s: %d of %d lines differ", opts, bad, len(lines))
		}
	}
}

// TestAtOnce asks line by line, as perf does.
func TestAtOnce(t *testing.T) {
	path := build(t, "g++", "-g", "-O2", "../dwarf/testdata/prog.cc")
	o, _ := Parse([]string{"-fe", path})
	f := open(t, path, o)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- f.Run(inR, outW, o) }()
	for range 3 {
		fmt.Fprintln(inW, "0")
		b := make([]byte, 100)
		n, err := io.ReadAtLeast(outR, b, len("??\n??:0\n"))
		if err != nil || string(b[:n]) != "??\n??:0\n" {
			t.Fatalf("got %q, %v", b[:n], err)
		}
	}
	inW.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "opts")
	if err := os.WriteFile(file, []byte("-i --exe='a b' \"-j\" .te\\xt\n12"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args string
		want string
	}{
		{"-fip -e x 1 2", "{x  false false true true true false false false [1 2]}"},
		{"1 -fex 2", "{x  false false true false false false false false [1 2]}"},
		{"--func --inl --exe x", "{x  false false true true false false false false []}"},
		{"--demangle=gnu-v3 -C -b elf64-x86-64 -R", "{a.out  false false false false false true false false []}"},
		{"-- -f", "{a.out  false false false false false false false false [-f]}"},
		{"@" + file + " 13", "{a b .text false false false true false false false false [12 13]}"},
		{"@/no/such/file", "{a.out  false false false false false false false false [@/no/such/file]}"},
		{"-Z", "invalid option -- 'Z'"},
		{"-e", "option requires an argument -- 'e'"},
		{"--nope", "unrecognized option '--nope'"},
		{"--inlines=1", "option '--inlines' doesn't allow an argument"},
	}
	for _, test := range tests {
		o, err := Parse(strings.Fields(test.args))
		got := fmt.Sprint(o)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.args, got, test.want)
		}
	}
}
