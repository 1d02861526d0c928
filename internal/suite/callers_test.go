//go:build linux

package suite

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// callers is a directory whose addr2line is a program of that name: bt, or binutils'. It
// notes that it was called.
func callers(t *testing.T, argv ...string) (dir, calls string) {
	t.Helper()
	dir = tempDir(t)
	calls = filepath.Join(dir, "calls")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\nexec %s \"$@\"\n", calls, strings.Join(argv, " "))
	if err := os.WriteFile(filepath.Join(dir, "addr2line"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, calls
}

// sameCallers runs what calls addr2line twice, with binutils' and with bt, and wants the
// same output, in which want is. run is given the directory of addr2line.
func sameCallers(t *testing.T, want string, run func(dir string) string) {
	t.Helper()
	var out [2]string
	for i, argv := range [][]string{{testenv.Need(t, "addr2line", "binutils")}, {btPath, "addr2line"}} {
		dir, calls := callers(t, argv...)
		out[i] = run(dir)
		if called, err := os.ReadFile(calls); err != nil || len(called) == 0 {
			t.Fatalf("addr2line was not called: %v\n%s", err, out[i])
		}
	}
	if out[0] != out[1] {
		t.Errorf("with binutils' addr2line:\n%s\nwith bt:\n%s", out[0], out[1])
	}
	if !regexp.MustCompile(want).MatchString(out[1]) {
		t.Errorf("no %q in\n%s", want, out[1])
	}
}

// with returns the environment with dir first in PATH.
func with(dir string, more ...string) []string {
	return append(append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH")), more...)
}

// functionAddresses are addresses all over a function of a program.
func functionAddresses(t *testing.T, prog, name string) (all []uint64) {
	t.Helper()
	out := string(runTool(t, "nm", "-S", prog))
	m := regexp.MustCompile(`(?m)^([0-9a-f]+) ([0-9a-f]+) [tTwW] ` + name + `$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no %s in %s", name, out)
	}
	var start, size uint64
	fmt.Sscanf(m[1]+" "+m[2], "%x %x", &start, &size)
	for a := start; a < start+size; a++ {
		all = append(all, a)
	}
	return all
}

func runTool(t *testing.T, argv ...string) []byte {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatalf("%q: %v", argv, err)
	}
	return out
}

// perf asks for one address after the other, and waits for each answer.
func TestCallerPerf(t *testing.T) {
	perf := testenv.Need(t, "perf", "linux-perf")
	prog := build(t, "gcc", "inlined.c", "-O2", "-g")
	data := filepath.Join(tempDir(t), "perf.data")
	record := exec.Command(perf, "record", "-q", "-e", "cpu-clock", "-o", data, prog, "busy", "now")
	if out, err := record.CombinedOutput(); err != nil {
		testenv.Skip(t, "perf record does not work here: %v: %s", err, out)
	}
	sameCallers(t, `inlined\.c:\d+`, func(dir string) string {
		cmd := exec.Command(perf, "script", "-i", data, "--dsos", filepath.Base(prog), "-F", "ip,sym,srcline", "--inline")
		cmd.Args[0] = "perf" // by its path it would look beside itself first
		cmd.Env = with(dir)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	})
}

// pprof symbolizes a CPU profile of gperftools: words, and the maps behind them. It is that
// of github.com/google/pprof: Go's own, go tool pprof, reads Go's DWARF alone, and never
// calls addr2line.
func TestCallerPprof(t *testing.T) {
	if !testenv.Full() {
		t.Skip("pprof is downloaded and built with BT_FULL=1 only")
	}
	bin := tempDir(t)
	install := exec.Command("go", "install", "github.com/google/pprof@v0.0.0-20261105003125-4bf881d7fb0b")
	install.Dir, install.Env = bin, append(os.Environ(), "GOBIN="+bin, "GOFLAGS=-mod=mod")
	if out, err := install.CombinedOutput(); err != nil {
		testenv.Skip(t, "pprof cannot be built: %v: %s", err, out)
	}
	pprof := filepath.Join(bin, "pprof")
	prog := build(t, "g++", "throws.cc", "-O2", "-g", "-no-pie")
	var profile bytes.Buffer
	words := func(w ...uint64) { binary.Write(&profile, binary.LittleEndian, w) }
	words(0, 3, 0, 10000, 0)
	for _, a := range functionAddresses(t, prog, "main") {
		words(1, 1, a)
	}
	words(0, 1, 0)
	profile.WriteString(mapsLine(t, prog))
	file := filepath.Join(tempDir(t), "profile")
	if err := os.WriteFile(file, profile.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	sameCallers(t, `main .*throws\.cc:\d+`, func(dir string) string {
		// pprof prefers llvm-symbolizer, which it does not find.
		for _, name := range []string{"nm", "objdump", "sh"} {
			if err := os.Symlink(testenv.Need(t, name, "binutils"), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(pprof, "-symbolize=force:local", "-traces", "-lines", prog, file)
		cmd.Env = []string{"PATH=" + dir, "HOME=" + dir, "PPROF_TOOLS=" + dir, "PPROF_TMPDIR=" + dir}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.Bytes())
		}
		return string(out)
	})
}

// mapsLine is the line of /proc/PID/maps of the code of a program that is not relocated.
func mapsLine(t *testing.T, prog string) string {
	t.Helper()
	f, err := elf.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			const page = 0xfff
			return fmt.Sprintf("%08x-%08x r-xp %08x 08:01 1 %s\n", p.Vaddr&^page, (p.Vaddr+p.Memsz+page)&^page, p.Off&^page, prog)
		}
	}
	t.Fatal("no code in " + prog)
	return ""
}

// The sanitizers of clang call what ASAN_SYMBOLIZER_PATH names; those of GCC have a reader
// of their own and never do. (In DWARF 5 of clang binutils finds no inlined calls.)
func TestCallerASan(t *testing.T) {
	testenv.Need(t, "clang", "clang")
	src := filepath.Join(tempDir(t), "bad.c")
	err := os.WriteFile(src, []byte(`#include <stdlib.h>
static inline __attribute__((always_inline)) int bad(int *p, int i) { return p[i]; }
int main(int argc, char **argv) { (void)argv; int *p = malloc(12); int r = bad(p, argc + 4); free(p); return r; }
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	prog := strings.TrimSuffix(src, ".c")
	if out, err := exec.Command("clang", "-O1", "-gdwarf-4", "-fsanitize=address", "-o", prog, src).CombinedOutput(); err != nil {
		testenv.Skip(t, "clang has no AddressSanitizer (apt-get install libclang-rt-14-dev): %v: %s", err, out)
	}
	sameCallers(t, `#0  in bad .*/bad\.c:2\n\s*#1  in main .*bad\.c:3`, func(dir string) string {
		cmd := exec.Command("setarch", "-R", prog) // the same addresses each time
		cmd.Env = append(os.Environ(), "ASAN_SYMBOLIZER_PATH="+filepath.Join(dir, "addr2line"))
		out, _ := cmd.CombinedOutput()
		// Of the C library binutils and bt may find different debug files.
		var own []string
		for line := range strings.Lines(regexp.MustCompile(`==\d+==|0x[0-9a-f]+`).ReplaceAllString(string(out), "")) {
			if strings.Contains(line, "bad.c") {
				own = append(own, line)
			}
		}
		return strings.Join(own, "")
	})
}

// FlameGraph's stackcollapse-perf.pl --inline starts it for each address:
// addr2line -a PC -e FILE -i -f -s -C. Scripts pipe lists into addr2line -fip.
func TestCallerScripts(t *testing.T) {
	prog := build(t, "g++", "throws.cc", "-O2", "-g", "-no-pie")
	addrs := functionAddresses(t, prog, "main")
	sameCallers(t, `main\nthrows\.cc:\d+`, func(dir string) string {
		var all strings.Builder
		for _, a := range addrs[:min(len(addrs), 40)] {
			all.Write(runTool(t, filepath.Join(dir, "addr2line"), "-a", fmt.Sprintf("%x", a), "-e", prog, "-i", "-f", "-s", "-C"))
		}
		return all.String()
	})
	sameCallers(t, `main at \S*throws\.cc:\d+`, func(dir string) string {
		cmd := exec.Command(filepath.Join(dir, "addr2line"), "-e", prog, "-fip")
		var in bytes.Buffer
		for _, a := range slices.Backward(addrs) {
			fmt.Fprintf(&in, "%x\n", a)
		}
		cmd.Stdin = io.Reader(&in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	})
}
