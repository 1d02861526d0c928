//go:build linux

package debugfile

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/testenv"
)

// source has a function that only .symtab names, in the middle of others.
const source = `
static __attribute__((noinline)) int hidden(int x) { __asm__(""); return x * VALUE; }
int shown(int x) { return hidden(x) + 1; }
`

// built is what a distribution makes of one library.
type built struct {
	whole, debug, stripped []byte // stripped has a debuginfo link to "lib.debug"
}

var (
	buildDir  string
	buildOnce sync.Map // arguments to func() built
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "debugfile")
	if err != nil {
		panic(err)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build compiles the source. Different values make different libraries.
func build(t *testing.T, value string, flags ...string) built {
	t.Helper()
	testenv.Need(t, "gcc", "gcc")
	testenv.Need(t, "objcopy", "binutils")
	key := strings.Join(append(flags, value), " ")
	once, _ := buildOnce.LoadOrStore(key, sync.OnceValue(func() built {
		dir, err := os.MkdirTemp(buildDir, "lib")
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/lib.c", []byte(source))
		run(t, dir, append([]string{"gcc", "-shared", "-fPIC", "-g", "-O1", "-DVALUE=" + value, "-o", "lib.so", "lib.c"}, flags...)...)
		run(t, dir, "objcopy", "--only-keep-debug", "lib.so", "lib.debug")
		run(t, dir, "objcopy", "--strip-all", "--add-gnu-debuglink=lib.debug", "lib.so", "stripped.so")
		return built{read(t, dir+"/lib.so"), read(t, dir+"/lib.debug"), read(t, dir+"/stripped.so")}
	}))
	return once.(func() built)()
}

const noBuildID = "-Wl,--build-id=none"

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func image(t *testing.T, data []byte, name string) *elfsym.Image {
	t.Helper()
	im, err := elfsym.New(bytes.Clone(data), name)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// address returns the link-time address of a symbol.
func address(t *testing.T, data []byte, name string) uint64 {
	t.Helper()
	for s := range image(t, data, "whole").Named {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("no symbol %s", name)
	return 0
}

// corrupt flips a byte of a debug file that no reader looks at: the padding
// behind the ELF header's identification.
func corrupt(data []byte) []byte {
	data = bytes.Clone(data)
	data[15] ^= 1
	return data
}
