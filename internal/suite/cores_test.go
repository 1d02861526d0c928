//go:build linux

package suite

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testcore"
	"github.com/gatedso/bt/internal/testenv"
)

// startDumping starts a program that may dump core, in a directory of its own.
func startDumping(t *testing.T, argv ...string) *proc {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -c unlimited; exec "$@"`, "sh"}, argv...)...)
	cmd.Dir = tempDir(t)
	p := startCmd(t, cmd)
	p.settle(t)
	return p
}

// gcore has gdb write a core file of a running process.
func (p *proc) gcore(t testing.TB) string {
	t.Helper()
	testenv.Need(t, "gcore", "gdb")
	prefix := filepath.Join(tempDir(t), "gcore")
	if out, err := exec.Command("gcore", "-o", prefix, itoa(p.pid)).CombinedOutput(); err != nil {
		t.Fatalf("gcore: %v\n%s", err, out)
	}
	return prefix + "." + itoa(p.pid)
}

// needKernelCores skips t where the kernel does not leave core files in the
// working directory. That is a setting of the whole machine: no test changes it.
func needKernelCores(t testing.TB) {
	t.Helper()
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || !regexp.MustCompile(`^core[.%a-z]*\n$`).Match(pattern) {
		t.Skipf("the kernel gives core files to %q: sysctl kernel.core_pattern=core", pattern)
	}
}

// kernelCore ends a process that startDumping has started and returns the core
// file that the kernel writes.
func (p *proc) kernelCore(t testing.TB, sig syscall.Signal) string {
	t.Helper()
	needKernelCores(t)
	// A process that was stopped has its system calls to restart first.
	if err := syscall.Kill(p.pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.settle(t)
	syscall.Kill(p.pid, sig)
	p.cmd.Wait()
	if ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.CoreDump() {
		t.Fatalf("%v: no core was dumped: %v", p.cmd, p.cmd.ProcessState)
	}
	found, _ := filepath.Glob(filepath.Join(p.cmd.Dir, "core*"))
	if len(found) != 1 {
		t.Fatalf("core files: %q", found)
	}
	return found[0]
}

// died are the lines that say why a process died.
var died = regexp.MustCompile(`(?m)^# (killed|instruction|code|registers) .*\n`)

// stacksOnly brings an output into a form in which one of a live process and
// one of its core are the same: without the cause of death and names of
// threads, which core files do not hold, and the threads in order.
func stacksOnly(out string) string {
	out = died.ReplaceAllString(out, "")
	out = regexp.MustCompile(`(?m)^(# thread \d+) ".*"$`).ReplaceAllString(out, "$1")
	head, rest, _ := strings.Cut(out, "# thread ")
	threads := strings.Split(rest, "# thread ")
	sort.Strings(threads)
	return head + strings.Join(threads, "# thread ")
}

// wantSame compares the output of a core with that of the live process.
func wantSame(t *testing.T, what, live, core string) {
	t.Helper()
	if a, b := stacksOnly(live), stacksOnly(core); a != b {
		t.Errorf("%s differs from the live process:\n%slive:\n%s", what, head(b), head(a))
	}
}

// The stacks of a core are those of the process as it was.
func TestCoreIsLive(t *testing.T) {
	type flavour struct {
		name string
		prog func(t *testing.T) string
		args []string
		slow bool
	}
	gcc := func(src string, flags ...string) func(*testing.T) string {
		return func(t *testing.T) string { return build(t, "gcc", src, flags...) }
	}
	gcc32 := func(src string) func(*testing.T) string {
		return gcc(src, "-m32", "-O1")
	}
	musl := func(flags ...string) func(*testing.T) string {
		return func(t *testing.T) string { return build(t, "musl-gcc", "threads.c", flags...) }
	}
	for _, f := range []flavour{
		{"64-bit", gcc("threads.c", "-O1"), []string{"5", "4"}, false},
		{"32-bit", gcc32("threads.c"), []string{"5", "4"}, false},
		{"1000 threads", gcc("threads.c", "-O1"), []string{"1000", "4"}, true},
		{"not PIE", gcc("threads.c", "-O1", "-no-pie"), []string{"2"}, false},
		{"static", gcc("threads.c", "-O1", "-static"), []string{"2"}, false},
		{"static PIE", gcc("threads.c", "-O1", "-static-pie"), []string{"2"}, false},
		{"musl", musl("-O1"), []string{"2"}, false},
		{"musl static", musl("-O1", "-static"), []string{"2"}, false},
		{"Go", func(t *testing.T) string { return build(t, "go", "gospin.go") }, []string{"idle"}, false},
		{"nested", gcc("signals.c", "-O2"), []string{"nested5"}, false},
		{"altstack", gcc("signals.c", "-O2"), []string{"altstack"}, false},
		{"null", gcc("signals.c", "-O2"), []string{"callnull"}, false},
		{"nested 32-bit", gcc32("signals.c"), []string{"nested5"}, false},
		{"altstack 32-bit", gcc32("signals.c"), []string{"altstack"}, false},
		{"deep", gcc("deep.c", "-O1"), []string{"20000"}, true},
	} {
		t.Run(f.name, func(t *testing.T) {
			if f.slow && testing.Short() {
				t.Skip("-short")
			}
			t.Parallel()
			p := startDumping(t, append([]string{f.prog(t)}, f.args...)...)
			p.freeze(t)
			live := bt(t, "--pid", itoa(p.pid), "-n", "0").want(t, 0)
			t.Run("gcore", func(t *testing.T) {
				got := bt(t, "--core", p.gcore(t), "-n", "0").want(t, 0)
				wantSame(t, "gcore", live.stdout, got.stdout)
				if died.MatchString(got.stdout) {
					t.Errorf("it did not die:\n%s", head(got.stdout))
				}
			})
			t.Run("kernel", func(t *testing.T) {
				if f.name == "Go" {
					t.Skip("the runtime handles the signal, on another stack")
				}
				got := bt(t, "--core", p.kernelCore(t, syscall.SIGQUIT), "-n", "0").want(t, 0)
				wantSame(t, "the kernel's core", live.stdout, got.stdout)
				if !strings.Contains(got.stdout, "\n# killed by SIGQUIT (SI_USER): sent by process "+itoa(os.Getpid())+" ") {
					t.Errorf("the cause is missing:\n%s", head(got.stdout))
				}
			})
		})
	}
}

// kernelCoreOf is the core of a program at rest, its output while it lived, and
// the program.
func kernelCoreOf(t *testing.T, argv ...string) (core, live string) {
	t.Helper()
	p := startDumping(t, argv...)
	live = bt(t, "--pid", itoa(p.pid)).want(t, 0).stdout
	return p.kernelCore(t, syscall.SIGQUIT), live
}

// A thread that crashes is printed first, and its siginfo tells why.
func TestCoreCrash(t *testing.T) {
	needKernelCores(t)
	dir := tempDir(t)
	src := filepath.Join(dir, "crash.c")
	os.WriteFile(src, []byte(`
#include <pthread.h>
#include <unistd.h>
static void *sleeper(void *arg) { for (;;) pause(); return arg; }
__attribute__((noinline)) void crash(volatile char *p) { *p = 1; }
static void *crasher(void *arg) { usleep(50000); crash(arg); return arg; }
int main(void) {
	pthread_t t;
	pthread_create(&t, NULL, sleeper, NULL);
	pthread_create(&t, NULL, crasher, (void *)16);
	pthread_join(t, NULL);
	return 0;
}`), 0o644)
	tool(t, "gcc", "-O1", "-pthread", "-o", filepath.Join(dir, "crash"), src)
	cmd := exec.Command("sh", "-c", "ulimit -c unlimited; exec ./crash")
	cmd.Dir = dir
	cmd.Run()
	found, _ := filepath.Glob(filepath.Join(dir, "core*"))
	if len(found) != 1 {
		t.Fatalf("core files: %q", found)
	}
	r := bt(t, "--core", found[0]).want(t, 0)
	if !strings.Contains(r.stdout, "\n# killed by SIGSEGV (SEGV_MAPERR) at 0x10: a null pointer") {
		t.Errorf("the cause is missing:\n%s", r.stdout)
	}
	ps := parse(t, died.ReplaceAllString(r.stdout, ""))
	if n := len(ps[0].threads); n != 3 {
		t.Fatalf("%d threads", n)
	}
	if top := ps[0].threads[0].frames; len(top) < 3 || top[0].name != "crash" || top[1].name != "crasher" {
		t.Errorf("the first thread is not the one that crashed:\n%s", ps[0].threads[0])
	}
}

// gdb and eu-stack see the same frames in the same core.
func TestCorePeers(t *testing.T) {
	testenv.Need(t, "gdb", "gdb")
	testenv.Need(t, "eu-stack", "elfutils")
	prog := build(t, "gcc", "threads.c", "-O1")
	p := startDumping(t, prog, "20", "5")
	t.Run("gcore", func(t *testing.T) { compareCore(t, prog, p.gcore(t)) })
	t.Run("kernel", func(t *testing.T) { compareCore(t, prog, p.kernelCore(t, syscall.SIGQUIT)) })
}

func compareCore(t *testing.T, prog, core string) {
	ours := parse(t, died.ReplaceAllString(bt(t, "--core", core).want(t, 0).stdout, ""))[0]
	script := filepath.Join(tempDir(t), "stacks.py")
	if err := os.WriteFile(script, []byte(gdbScript), 0o644); err != nil {
		t.Fatal(err)
	}
	for peer, theirs := range map[string]map[int][]uint64{
		"gdb": peerStacks(t, regexp.MustCompile(`(?m)^thread (\d+)$|^frame ([0-9a-f]+)$`), "gdb", "-nx", "-batch",
			"-ex", "set debuginfod enabled off", "-ex", "set auto-load off",
			"-ex", "set backtrace past-main on", "-ex", "set backtrace past-entry on", prog, core, "-x", script),
		"eu-stack": peerStacks(t, regexp.MustCompile(`(?m)^TID (\d+):$|^#\d+ +0x([0-9a-f]+)`), "eu-stack", "-n", "0", "--core", core, "-e", prog),
	} {
		if len(theirs) != len(ours.threads) {
			t.Errorf("%d threads, %s has %d", len(ours.threads), peer, len(theirs))
		}
		for _, th := range ours.threads {
			if !slices.Equal(th.addrs(), theirs[th.tid]) {
				t.Errorf("thread %d differs from %s's\n%x\n%s", th.tid, peer, theirs[th.tid], th)
			}
		}
	}
}

// Cut at every 1% of its length a core yields what it still holds, and bt says
// what is missing.
func TestCoreCut(t *testing.T) {
	core, live := kernelCoreOf(t, build(t, "gcc", "chain.c", "-O1"))
	data, err := os.ReadFile(core)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(tempDir(t), "cut")
	whole := 0
	for i := range 100 {
		if err := os.WriteFile(cut, data[:len(data)*i/100], 0o644); err != nil {
			t.Fatal(err)
		}
		r := bt(t, "--core", cut)
		if r.code != 3 && (r.code != 1 || r.stdout != "") {
			t.Errorf("%d%%: exit %d: %s", i, r.code, r.stderr)
		}
		if i > 0 && !strings.Contains(r.stderr, "bytes are missing") || strings.Contains(r.stderr, "internal") {
			t.Errorf("%d%%: %s", i, r.stderr)
		}
		parse(t, died.ReplaceAllString(r.stdout, ""))
		if stacksOnly(r.stdout) == stacksOnly(live) {
			whole++
		}
	}
	// The stack is what the kernel writes last but for the vsyscall page.
	if whole == 0 {
		t.Error("no cut core has a whole stack")
	}
}

// Without each of its notes a core yields all that does not depend on it.
func TestCoreWithoutNotes(t *testing.T) {
	core, live := kernelCoreOf(t, build(t, "gcc", "threads.c", "-O1"), "2", "4")
	data, err := os.ReadFile(core)
	if err != nil {
		t.Fatal(err)
	}
	owner := []byte("CORE\x00\x00\x00\x00")
	cut := filepath.Join(tempDir(t), "cut")
	n := 0
	for at := 0; at < 1<<16; at++ {
		if !bytes.HasPrefix(data[at:], owner) {
			continue
		}
		n++
		typ := bytes.Clone(data[at-4 : at])
		copy(data[at-4:], "\x77\x77\x77\x77")
		if err := os.WriteFile(cut, data, 0o644); err != nil {
			t.Fatal(err)
		}
		copy(data[at-4:], typ)
		r := bt(t, "--core", cut)
		switch {
		case typ[0] == 1: // NT_PRSTATUS
			r.want(t, 0)
			if n := len(parse(t, died.ReplaceAllString(r.stdout, ""))[0].threads); n != 2 {
				t.Errorf("%d of 2 threads", n)
			}
		case typ[0] == 3: // NT_PRPSINFO, which has the command line
			wantSame(t, "without NT_PRPSINFO", regexp.MustCompile(`(?m)^# process.*\n`).ReplaceAllString(live, ""),
				regexp.MustCompile(`(?m)^# process.*\n`).ReplaceAllString(r.want(t, 0).stdout, ""))
		default:
			wantSame(t, fmt.Sprintf("without note %x", typ), live, r.want(t, 0).stdout)
		}
	}
	if n < 7 {
		t.Errorf("%d notes", n)
	}
}

// The program can be elsewhere, be another one by now, or be gone.
func TestCoreFiles(t *testing.T) {
	dir := tempDir(t)
	prog := filepath.Join(dir, "prog")
	put(t, build(t, "gcc", "chain.c", "-O1", "-rdynamic"), prog)
	p := startDumping(t, prog)
	// Everything is dumped, the files' pages, too.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/coredump_filter", p.pid), []byte("0x7f"), 0); err != nil {
		t.Skip(err)
	}
	live := bt(t, "--pid", itoa(p.pid)).want(t, 0).stdout
	core := p.kernelCore(t, syscall.SIGQUIT)
	wantSame(t, "the core", live, bt(t, "--core", core).want(t, 0).stdout)

	root := filepath.Join(dir, "root")
	moved := filepath.Join(root, prog)
	os.MkdirAll(filepath.Dir(moved), 0o755)
	if err := os.Rename(prog, moved); err != nil {
		t.Fatal(err)
	}
	wantSame(t, "with --exe", live, bt(t, "--core", core, "--exe", moved).want(t, 0).stdout)
	wantSame(t, "with --sysroot", live, bt(t, "--core", core, "--sysroot", root).want(t, 0).stdout)

	gone := bt(t, "--core", core).want(t, 0)
	// The memory holds the dynamic symbols: static functions, as libc's that calls
	// main, have no name.
	for _, name := range strings.Fields("vla realigned manyargs saves main __libc_start_main _start") {
		if !strings.Contains(gone.stdout, "<"+name+"+0x") {
			t.Errorf("no %s from memory:\n%s", name, gone.stdout)
		}
	}

	// Another program is refused, wherever it stands.
	other := build(t, "gcc", "deep.c", "-O1")
	r := bt(t, "--core", core, "--exe", other).want(t, 3)
	if !strings.Contains(r.stderr, "is not the file that was mapped") {
		t.Errorf("stderr: %s", r.stderr)
	}
	wantSame(t, "with another program", gone.stdout, r.stdout)
	put(t, other, prog)
	wantSame(t, "with another program in place", gone.stdout, bt(t, "--core", core).want(t, 0).stdout)
	if r := bt(t, "--core", core, "--exe", filepath.Join(dir, "nothing")).want(t, 3); !strings.Contains(r.stderr, "no such file") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

// What bt prints of a core can be named again, here or elsewhere, and addresses
// can be asked for.
func TestCoreReports(t *testing.T) {
	core, _ := kernelCoreOf(t, build(t, "gcc", "signals.c", "-O2"), "nested")
	named := bt(t, "--core", core).want(t, 0).stdout
	raw := bt(t, "--core", core, "--raw").want(t, 0).stdout
	if raw == named {
		t.Error("--raw does nothing")
	}
	if got := feed(t, raw, "--core", core, "-").want(t, 0).stdout; got != named {
		t.Errorf("fed back:\n%swant:\n%s", head(got), head(named))
	}
	report := bt(t, "--core", core, "--raw", "--with-maps").want(t, 0).stdout
	got := regexp.MustCompile(`(?m)^# build-id .*\n`).ReplaceAllString(feed(t, report).want(t, 0).stdout, "")
	if got != named {
		t.Errorf("the report:\n%swant:\n%s", head(got), head(named))
	}
	th := parse(t, died.ReplaceAllString(named, ""))[0].threads[0]
	top := th.frames[0]
	want := fmt.Sprintf("%016x <%s+0x%x>\n", top.addr, top.name, top.offset)
	if got := bt(t, "--core", core, fmt.Sprintf("%x", top.addr)).want(t, 0).stdout; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	cut := bt(t, "--core", core, "-n", "2").want(t, 3).stdout
	if !strings.Contains(cut, "# end: cut after 2 frames (--max-frames)\n") {
		t.Errorf("-n 2:\n%s", cut)
	}
	if r := bt(t, "--core", core, "--tid", itoa(th.tid)).want(t, 0); r.stdout != named {
		t.Errorf("--tid:\n%s", r.stdout)
	}
	bt(t, "--core", core, "--tid", "1").wantRefusal(t, "none of the threads")
}

// A compressed core reads as the core itself.
func TestCoreCompressed(t *testing.T) {
	core, _ := kernelCoreOf(t, build(t, "gcc", "threads.c", "-O1"), "3", "4")
	want := bt(t, "--core", core).want(t, 0).stdout
	for tool, pkg := range map[string]string{"gzip": "gzip", "xz": "xz-utils", "zstd": "zstd", "lz4": "lz4"} {
		t.Run(tool, func(t *testing.T) {
			testenv.Need(t, tool, pkg)
			out, err := exec.Command(tool, "-c", core).Output()
			if err != nil {
				t.Fatal(err)
			}
			packed := filepath.Join(tempDir(t), "packed")
			if err := os.WriteFile(packed, out, 0o644); err != nil {
				t.Fatal(err)
			}
			if got := bt(t, "--core", packed).want(t, 0).stdout; got != want {
				t.Errorf("%swant:\n%s", head(got), head(want))
			}
		})
	}
}

// A core of a CPU that bt does not unwind: where its threads were, and names.
func TestCoreForeign(t *testing.T) {
	c := testcore.Core{Machine: elf.EM_PPC, Class: elf.ELFCLASS32}
	c.Loads = []testcore.Load{{Addr: 0x10000, Filesz: 0x1000, Flags: elf.PF_R | elf.PF_X}}
	for i := range 2 {
		c.Notes = append(c.Notes, c.Thread(testcore.Thread{TID: 41 + i, Signal: 11, Words: 48, Regs: map[int]uint64{32: 0x10010, 1: 0x7f000}}, 24, 72))
	}
	path := filepath.Join(tempDir(t), "core")
	if err := c.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	want := "# killed by SIGSEGV\n" +
		"# thread 41 \"\"\n00010010\n# end: bt does not unwind ppc yet\n" +
		"# thread 42 \"\"\n00010010\n# end: bt does not unwind ppc yet\n"
	if r := bt(t, "--core", path).want(t, 3); !strings.HasSuffix(r.stdout, want) {
		t.Errorf("%q", r.stdout)
	}
	if r := bt(t, "--core", path, "10010").want(t, 0); r.stdout != "00010010\n" {
		t.Errorf("%q", r.stdout)
	}
}

// A core of 10 GiB takes no more memory than a small one.
func TestCoreLarge(t *testing.T) {
	c := testcore.Core{}
	stack := make([]byte, 1<<20)
	c.Loads = []testcore.Load{{Addr: 0x10000, Filesz: 10 << 30, Flags: elf.PF_R | elf.PF_W}}
	for i := range uint64(200) {
		at := 0x7f0000000000 + i<<21
		c.Loads = append(c.Loads, testcore.Load{Addr: at, Data: stack, Flags: elf.PF_R | elf.PF_W})
		c.Notes = append(c.Notes, c.AMD64(int(100+i), 6, 0x400000, at+0x1000))
	}
	path := filepath.Join(tempDir(t), "core")
	if err := c.WriteFile(path); err != nil {
		t.Skip(err)
	}
	cmd := btCmd(t, "--core", path)
	r := run(t, cmd)
	if n := len(parse(t, died.ReplaceAllString(r.stdout, ""))[0].threads); n != 200 {
		t.Errorf("%d threads", n)
	}
	const most = 64 << 10 // KiB
	if kib := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; kib > max(most, ownPeak(t)) {
		t.Errorf("%d KiB of memory", kib)
	}
}

// ownPeak is the most memory that this test has had, in KiB. The kernel counts it for the
// programs that it starts, too: they share its memory until they call execve (exec_mmap
// in fs/exec.c). It is a matter of the race detector.
func ownPeak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	kib, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// A core of qemu's user mode has no list of files and no siginfo; the dynamic
// linker's own list leads to the names.
func TestCoreQemu(t *testing.T) {
	qemu := testenv.Need(t, "qemu-x86_64", "qemu-user")
	prog := build(t, "gcc", "threads.c", "-O1")
	p := startDumping(t, qemu, prog, "2", "4")
	syscall.Kill(p.pid, syscall.SIGSEGV)
	p.cmd.Wait()
	found, _ := filepath.Glob(filepath.Join(p.cmd.Dir, "qemu_*.core"))
	if len(found) != 1 {
		t.Fatalf("core files: %q", found)
	}
	r := bt(t, "--core", found[0]).want(t, 0)
	if !strings.Contains(r.stdout, "\n# killed by SIGSEGV\n") {
		t.Errorf("the cause is missing:\n%s", head(r.stdout))
	}
	ps := parse(t, died.ReplaceAllString(r.stdout, ""))
	if n := len(ps[0].threads); n != 3 {
		t.Fatalf("%d threads", n)
	}
	for _, th := range ps[0].threads {
		names := th.String()
		want := []string{" worker+", " descend+"}
		if th.tid == ps[0].pid {
			want = []string{" main+", " _start+"}
		}
		for _, name := range want {
			if !strings.Contains(names, name) {
				t.Errorf("thread %d: no %q\n%s", th.tid, name, names)
			}
		}
	}
}
