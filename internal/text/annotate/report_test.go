package annotate

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

// crash.c prints its maps, so that addresses after them can be named, and then
// crashes in crash, called by middle, called by main.
func compile(t *testing.T, flags ...string) (prog, unnamed string) {
	t.Helper()
	gcc := testenv.Need(t, "gcc", "gcc")
	strip := testenv.Need(t, "strip", "binutils")
	prog = filepath.Join(t.TempDir(), "prog")
	args := append([]string{"-O1", "-o", prog, "testdata/crash.c"}, flags...)
	if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		testenv.Skip(t, "gcc %q: %v\n%s", args, err, out)
	}
	unnamed = prog + ".stripped"
	if out, err := exec.Command(strip, "-o", unnamed, prog).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v\n%s", err, out)
	}
	return prog, unnamed
}

// output runs a command that may fail, and returns all that it prints.
func output(env []string, name string, args ...string) string {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

var insertion = regexp.MustCompile(` <(\S.*?)\+0x[0-9a-f]+>`)

// namesIn runs the filter without a target and returns the names that it adds
// behind where the text has from, once each in a row.
func namesIn(t *testing.T, text, from string) []string {
	t.Helper()
	got := run(t, Options{}, text)
	if rest := insertion.ReplaceAllString(got, ""); rest != insertion.ReplaceAllString(text, "") {
		t.Errorf("the filter changed the text:\n%s\nit was:\n%s", got, text)
	}
	_, got, ok := strings.Cut(got, from)
	if !ok {
		t.Fatalf("no %q in:\n%s", from, got)
	}
	var names []string
	for _, m := range insertion.FindAllStringSubmatch(got, -1) {
		names = append(names, m[1])
	}
	return names
}

// wantChain checks that names has the given ones in this order, one after the
// other.
func wantChain(t *testing.T, names []string, want ...string) {
	t.Helper()
	if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+strings.Join(want, " ")+" ") {
		t.Errorf("the names are %q, want %q among them", names, want)
	}
}

// useNamed puts the file with symbols where the one without was when it ran.
func useNamed(t *testing.T, prog, unnamed string) {
	t.Helper()
	data, err := os.ReadFile(prog)
	if err == nil {
		err = os.WriteFile(unnamed+".new", data, 0o777)
	}
	if err == nil {
		err = os.Rename(unnamed+".new", unnamed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestGlibc(t *testing.T) {
	prog, unnamed := compile(t)
	text := output(nil, unnamed, "backtrace")
	useNamed(t, prog, unnamed)
	wantChain(t, namesIn(t, text, "crashing"), "crash", "middle", "main")
}

// TestGlibcOffsets is the same without maps: by path and offset.
func TestGlibcOffsets(t *testing.T) {
	prog, unnamed := compile(t)
	text := output(nil, unnamed, "backtrace")
	useNamed(t, prog, unnamed)
	_, text, _ = strings.Cut(text, "crashing\n")
	// libc's part has a name only where libc has symbols on this machine.
	wantChain(t, namesIn(t, text, ""), "crash", "middle", "main")
}

func TestGDB(t *testing.T) {
	gdb := testenv.Need(t, "gdb", "gdb")
	prog, unnamed := compile(t)
	text := output(nil, gdb, "-nx", "-batch", "-ex", "run", "-ex", "bt", "--args", unnamed, "crash")
	if !strings.Contains(text, "#1 ") {
		testenv.Skip(t, "gdb cannot run a program here:\n%s", text)
	}
	useNamed(t, prog, unnamed)
	wantChain(t, namesIn(t, text, "crashing"), "crash", "crash", "middle", "main")
}

func TestValgrind(t *testing.T) {
	valgrind := testenv.Need(t, "valgrind", "valgrind")
	prog, unnamed := compile(t)
	text := output(nil, valgrind, unnamed, "crash")
	if !strings.Contains(text, "Process terminating") {
		testenv.Skip(t, "valgrind cannot run a program here:\n%s", text)
	}
	useNamed(t, prog, unnamed)
	wantChain(t, namesIn(t, text, "Process terminating"), "crash", "middle", "main")
}

// TestSanitizer compares with the sanitizer's own names, of all frames.
func TestSanitizer(t *testing.T) {
	prog, _ := compile(t, "-fsanitize=address")
	own := regexp.MustCompile(`#\d+ 0x[0-9a-f]+ in (\S+)`).FindAllStringSubmatch(output(nil, prog, "crash"), -1)
	text := output([]string{"ASAN_OPTIONS=symbolize=0"}, prog, "crash")
	if len(own) == 0 || !strings.Contains(text, "#0 0x") {
		testenv.Skip(t, "no report of AddressSanitizer:\n%s", text)
	}
	var want []string
	for _, m := range own {
		if m[1] == "__libc_start_call_main" || m[1] == "__libc_start_main_impl" {
			break // if it has debug information, libc's symbols have other names
		}
		want = append(want, m[1])
	}
	wantChain(t, want, "crash", "middle", "main")
	_, frames, _ := strings.Cut(text, "AddressSanitizer: SEGV")
	wantChain(t, namesIn(t, frames, ""), want...) // by path and offset
	wantChain(t, namesIn(t, text, "AddressSanitizer: SEGV"), want...)
}

// TestKernelLog finds what the kernel logs of a crash.
func TestKernelLog(t *testing.T) {
	dmesg := testenv.Need(t, "dmesg", "util-linux")
	prog, _ := compile(t)
	named := filepath.Join(filepath.Dir(prog), "btfilter-test")
	if err := os.Rename(prog, named); err != nil {
		t.Fatal(err)
	}
	// The kernel logs ten crashes in five seconds, and other tests crash, too.
	line := ""
	for end := time.Now().Add(30 * time.Second); line == "" && time.Now().Before(end); {
		cmd := exec.Command(named, "crash")
		cmd.Run()
		pid := regexp.MustCompile(`(?m)^.*btfilter-test\[` + strconv.Itoa(cmd.Process.Pid) + `\]: segfault.*$`)
		if line = pid.FindString(output(nil, dmesg)); line == "" {
			time.Sleep(time.Second)
		}
	}
	if line == "" {
		testenv.Skip(t, "the kernel's log cannot be read, or has no crashes in it (dmesg, sysctl debug.exception-trace)")
	}
	got := run(t, Options{Target: program(t, named)}, line+"\n")
	if m := insertion.FindAllStringSubmatch(got, -1); len(m) != 1 || m[0][1] != "crash" {
		t.Errorf("got %s, want one name, crash", got)
	}
}

func TestRust(t *testing.T) {
	rustc := testenv.Need(t, "rustc", "rustc")
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	if out, err := exec.Command(rustc, "-O", "-C", "strip=none", "-o", prog, "testdata/panic.rs").CombinedOutput(); err != nil {
		t.Fatalf("rustc: %v\n%s", err, out)
	}
	strip := testenv.Need(t, "strip", "binutils")
	if out, err := exec.Command(strip, "-o", prog+".stripped", prog).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v\n%s", err, out)
	}
	text := output([]string{"RUST_BACKTRACE=full"}, prog+".stripped")
	if !strings.Contains(text, "<unknown>") {
		t.Skip("Rust names the frames of stripped programs here")
	}
	useNamed(t, prog, prog+".stripped")
	wantChain(t, namesIn(t, text, "panicked"), "panic::middle", "panic::main")
}
