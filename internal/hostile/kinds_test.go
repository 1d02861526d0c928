//go:build linux

package hostile

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

func program(flags ...string) func(t *testing.T) []byte {
	return func(t *testing.T) []byte { return read(t, compiled(t, "chain.c", flags...)) }
}

// cxx makes a C++ program with inlined calls, classes and namespaces.
func cxx(compiler string, flags ...string) func(t *testing.T) []byte {
	return func(t *testing.T) []byte {
		testenv.Need(t, compiler, compiler)
		dir := t.TempDir()
		path := filepath.Join(dir, "prog")
		src := put(t, dir, "lines.cc", []byte(cxxProgram))
		cmd := exec.Command(compiler, append([]string{"-O2", "-o", path, src}, flags...)...)
		cmd.Dir = dir
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return read(t, path)
	}
}

const cxxProgram = `
#include <cstdio>
namespace outer {
template <typename T> struct Box {
	T value;
	static inline __attribute__((always_inline)) T twice(T v) { volatile T w = v; return w + w; }
	__attribute__((noinline)) T sum(int n) { T s = value; for (int i = 0; i < n; i++) s += i & 1 ? twice(i) : twice(s); return s; }
};
}
static __attribute__((noinline)) int once(int a) { auto f = [a](int b) { return outer::Box<int>::twice(a) - b; }; return f(3) + a; }
int main(int argc, char **argv)
{
	outer::Box<int> b{argc};
	outer::Box<long> c{2};
	std::printf("%d %ld %d\n", b.sum(argc), c.sum(argc), once(argc));
	return 0;
}
`

// libc has hash tables, versions, indirect functions and PLT stubs.
func libc(t *testing.T) []byte {
	for _, path := range []string{"/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6", "/usr/lib/libm.so.6"} {
		if b, err := os.ReadFile(path); err == nil {
			return b
		}
	}
	t.Skip("there is no libm.so.6 where it usually is")
	return nil
}

func goProgram(t *testing.T) []byte {
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	os.WriteFile(src, []byte("package main\n\nfunc main() { println(len(make([]int, 3))) }\n"), 0o644)
	path := filepath.Join(dir, "prog")
	tool(t, "go", "build", "-ldflags=-s -w", "-o", path, src)
	return read(t, path)
}

// addresses are of all over a file.
func addresses() []byte {
	var b bytes.Buffer
	for i := 0x1000; i < 1<<21; i += max(8, (i-0x1000)/256) {
		fmt.Fprintf(&b, "%x\n%x\n", i, 0x400000+i)
	}
	return b.Bytes()
}

func put(t *testing.T, dir, name string, data []byte) string {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Error(err)
	}
	return path
}

func asExe(t *testing.T, dir string, data []byte) ([]string, []byte) {
	return []string{"--verbose", "--module", "--inlines", "--exe", put(t, dir, "exe", data), "-"}, addresses()
}

func asLines(t *testing.T, dir string, data []byte) ([]string, []byte) {
	return []string{"--verbose", "--inlines", "--exe", put(t, dir, "exe", data), "-"}, lineAddresses
}

// lineAddresses are those of small programs, and of object files, closer by.
var lineAddresses = func() []byte {
	var b bytes.Buffer
	for _, base := range []int{0, 0x1000, 0x400000, 0x401000} {
		for i := 0; i < 0x800; i += 4 {
			fmt.Fprintf(&b, "%x\n", base+i)
		}
	}
	return b.Bytes()
}()

// core is a core of a process with a few threads, as gcore writes it.
func core(t *testing.T) []byte {
	testenv.Need(t, "gcore", "gdb")
	cmd := exec.Command(compiled(t, "threads.c"), "3", "4")
	started(t, cmd)
	prefix := filepath.Join(t.TempDir(), "core")
	tool(t, "gcore", "-o", prefix, fmt.Sprint(cmd.Process.Pid))
	return read(t, prefix+"."+fmt.Sprint(cmd.Process.Pid))
}

// started starts a program that says "ready", and returns the line.
func started(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func asCore(t *testing.T, dir string, data []byte) ([]string, []byte) {
	return []string{"--verbose", "--module", "--inlines", "--core", put(t, dir, "core", data)}, nil
}

// mapsText are the intact maps.
var mapsText []byte

func savedMaps(t *testing.T) []byte {
	cmd := exec.Command(compiled(t, "threads.c"), "3", "4")
	started(t, cmd)
	mapsText = read(t, fmt.Sprintf("/proc/%d/maps", cmd.Process.Pid))
	return mapsText
}

func asMaps(t *testing.T, dir string, data []byte) ([]string, []byte) {
	var addrs bytes.Buffer
	for line := range strings.Lines(string(mapsText)) {
		start, _, _ := strings.Cut(line, "-")
		fmt.Fprintf(&addrs, "%s10\n", strings.TrimSuffix(start, "00"))
	}
	return []string{"--verbose", "--module", "--maps", put(t, dir, "maps", data), "-"}, addrs.Bytes()
}

func report(t *testing.T) []byte {
	cmd := exec.Command(compiled(t, "threads.c"), "3", "4")
	started(t, cmd)
	return tool(t, bt, "--raw", "--with-maps", "--pid", fmt.Sprint(cmd.Process.Pid))
}

func asReport(_ *testing.T, _ string, data []byte) ([]string, []byte) {
	return []string{"--verbose", "--module"}, data
}

// text has what other tools print of addresses.
func text(t *testing.T) []byte {
	exe := compiled(t, "chain.c")
	return []byte(strings.ReplaceAll(`#0  0x0000000000001149 in main () at x.c:3
    #1 0x7f8b2d0 in f (EXE+0x1189)
worker[812]: segfault at 10 ip 0000000000001180 sp 00007ffd error 4 in EXE[1000,55e360e1f000+2000]
EXE(+0x1149)[0x55f3c5d6c149]
  #02 pc 0000000000001151  EXE (f+12) (BuildId: 0123456789abcdef)
PC: @ 0x1150 (unknown)
    at 0x1160: f (in EXE)
            1139 f+0x10 (EXE)
`, "EXE", exe))
}

func asText(_ *testing.T, _ string, data []byte) ([]string, []byte) {
	return []string{"--filter", "--verbose"}, data
}

// jitted is the process whose memory the entries of a JIT compiler's files are of:
// one page of anonymous code, and the file of its argument mapped as code.
func jitted(t *testing.T, dir string) (pid int, code uint64) {
	t.Helper()
	cmd := exec.Command(compiled(t, "jitted.c"), dir)
	line := started(t, cmd)
	if _, err := fmt.Sscanf(line, "ready %x", &code); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return cmd.Process.Pid, code
}

// target is the process of the kind that is being tried.
var target struct {
	pid  int
	code uint64
	dump string
}

func perfMap(t *testing.T) []byte {
	target.pid, target.code = jitted(t, t.TempDir())
	t.Cleanup(func() { os.Remove(perfMapOf(target.pid)) })
	var b bytes.Buffer
	for i := range uint64(60) {
		fmt.Fprintf(&b, "%x 40 LazyCompile:*function%d /app/a.js:%d\n", target.code+i*64, i, i)
	}
	return b.Bytes()
}

func perfMapOf(pid int) string { return fmt.Sprintf("/tmp/perf-%d.map", pid) }

func codeAddresses() []byte {
	var b bytes.Buffer
	for i := range uint64(100) {
		fmt.Fprintf(&b, "%x\n", target.code+i*40)
	}
	return b.Bytes()
}

func asPerfMap(t *testing.T, _ string, data []byte) ([]string, []byte) {
	put(t, "/tmp", filepath.Base(perfMapOf(target.pid)), data)
	return []string{"--verbose", "--pid", fmt.Sprint(target.pid), "-"}, codeAddresses()
}

// jitdump makes a file as perf's jitdump-specification.txt describes it.
func jitdump(t *testing.T) []byte {
	dir := t.TempDir()
	target.pid, target.code = jitted(t, dir)
	target.dump = filepath.Join(dir, fmt.Sprintf("jit-%d.dump", target.pid))
	var b bytes.Buffer
	le := binary.LittleEndian
	u32 := func(v ...uint32) { binary.Write(&b, le, v) }
	u64 := func(v ...uint64) { binary.Write(&b, le, v) }
	u32(0x4a695444, 1, 40, uint32(elf.EM_X86_64), 0, uint32(target.pid))
	u64(0, 0)
	for i := range uint64(30) {
		name := fmt.Sprintf("function%d\x00", i)
		const size = 64
		u32(0, uint32(16+40+len(name)+size))
		u64(i)
		u32(uint32(target.pid), uint32(target.pid))
		u64(target.code+i*size, target.code+i*size, size, i)
		b.WriteString(name)
		b.Write(make([]byte, size))
	}
	return b.Bytes()
}

func asJitdump(t *testing.T, _ string, data []byte) ([]string, []byte) {
	// The process keeps the file mapped: it is written anew in place.
	f, err := os.OpenFile(target.dump, os.O_WRONLY, 0)
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	defer f.Close()
	f.WriteAt(data, 0)
	f.Truncate(int64(len(data)))
	return []string{"--verbose", "--pid", fmt.Sprint(target.pid), "-"}, codeAddresses()
}
