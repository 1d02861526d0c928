//go:build linux

package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// arm64Libc is where Debian's cross compiler has the libraries of its programs.
const arm64Libc = "/usr/aarch64-linux-gnu"

const (
	gccARM64 = "aarch64-linux-gnu-gcc-12"
	gxxARM64 = "aarch64-linux-gnu-g++-12"
	gccARM32 = "arm-linux-gnueabihf-gcc-12"
)

// death64 is a way in which a program for 64-bit ARM dies and leaves a core file.
type death64 struct {
	name    string
	cc, src string
	flags   string
	args    string
	chain   string // of the thread that died
	threads int    // 0: one
	// cause and insn are what the kernel's cores tell, as regular expressions;
	// the cores of qemu's user mode name the signal alone.
	cause, insn string
	// waits says that the program says "ready" and waits for a SIGABRT.
	waits bool
	// quick is set for those that `make test` makes with qemu's user mode; kernel
	// for those that only a kernel does so.
	quick, kernel bool
}

// leafChain is that of leaf.c: a null call, a handler, the kernel's signal frame, and
// a leaf function, whose return address is in the link register.
const leafChain = "0x0 inner handler SIG?SIGSEGV leaf middle outer outer outer main libc _start"

func deaths64() []death64 {
	const (
		nullCall = `SIGSEGV \(SEGV_MAPERR\) at 0x0: a null pointer was called; nothing is mapped there`
		abort    = `SIGABRT \(SI_USER\): sent by process \d+ \(uid 0\)`
		onRaise  = " libc interrupted main libc _start"
	)
	list := []death64{
		{name: "threads", src: "threads.c", flags: "-O2", args: "5 4", chain: "libc main libc _start", threads: 6, cause: abort, waits: true, kernel: true},
		{name: "threads of a static program", src: "threads.c", flags: "-O1 -static -mbranch-protection=standard", args: "3 7",
			chain: "libc main libc _start", threads: 4, cause: abort, waits: true, kernel: true},
		{name: "handlers in handlers", src: "signals.c", flags: "-O2 -mbranch-protection=standard", args: "nested5", waits: true, kernel: true, cause: abort,
			chain: "libc block on_level SIG?SIGTERM libc on_level SIG?SIGINT libc on_level SIG?SIGHUP" +
				" libc on_level SIG?SIGUSR2 libc on_level SIG?SIGUSR1" + onRaise},
		{name: "alternate stack", src: "signals.c", flags: "-O0", args: "altstack", waits: true, kernel: true, cause: abort,
			chain: "libc block on_signal SIG?SIGUSR1" + onRaise},
		{name: "handler after a jump to nowhere", src: "signals.c", flags: "-O2 -fomit-frame-pointer", args: "jumpunmapped", waits: true, kernel: true, cause: abort,
			chain: "libc block on_signal SIG?SIGSEGV - calls_jumps main libc _start"},
		{name: "frames of every shape", src: "chain.c", flags: "-O2 -mbranch-protection=pac-ret+leaf", waits: true, kernel: true, cause: abort,
			chain: "libc block vla realigned manyargs saves main libc _start"},
		{name: "frames of every shape, not optimized", src: "chain.c", flags: "-O0 -static-pie", waits: true, kernel: true, cause: abort,
			chain: "libc block vla realigned manyargs saves main libc _start"},
		{name: "exception", cc: gxxARM64, src: "throws.cc", flags: "-O2 -fno-ipa-sra", quick: true, cause: `SIGABRT \(SI_TKILL\): sent by the process itself`,
			chain: throwsChain},
		{name: "exception, static and signed", cc: gxxARM64, src: "throws.cc", flags: "-O1 -static -mbranch-protection=standard",
			cause: `SIGABRT \(SI_TKILL\): sent by the process itself`,
			chain: strings.Replace(throwsChain, "handler libc", "handler __cxxabiv1::__terminate", 1)},
		{name: "forged return", src: "signed.c", flags: "-O2", args: "forged", quick: true, chain: "- call_forged main libc _start",
			cause: `SIGSEGV \(SEGV_MAPERR\) at 0x[0-9a-f]+: pointer authentication failed; the program jumped there; nothing is mapped there`},
		{name: "tag", src: "signed.c", flags: "-O1", args: "tag", chain: "read_tagged wrong_tag main libc _start",
			cause: `SIGSEGV \(SEGV_MTESERR\) at 0x[0-9a-f]+: the pointer's tag is not the memory's; in rw-p .*`, insn: `ldr w0, \[x0, #4\]`},
		{name: "tag, told late", src: "signed.c", flags: "-O0", args: "tagasync", chain: "libc wrong_tag main libc _start", kernel: true,
			cause: `SIGSEGV \(SEGV_MTEAERR\): the tag of a pointer used before was not the memory's`},
	}
	for i, flags := range []string{
		"-O2", "-O2 -mbranch-protection=standard -fomit-frame-pointer", "-O0", "-O1 -fno-pie -no-pie", "-Os -static",
		"-O2 -mbranch-protection=pac-ret+leaf", "-O2 -static-pie -mbranch-protection=pac-ret+leaf+b-key",
		"-O2 -fno-asynchronous-unwind-tables -g",
	} {
		list = append(list, death64{name: "leaf " + flags, src: "leaf.c", flags: flags, chain: leafChain, cause: nullCall, quick: i < 2})
	}
	for _, c := range crashesOf("arm64") {
		flags := []string{"-O1", "-O1 -mbranch-protection=standard", "-O1 -static"}[len(list)%3]
		d := death64{name: "crash " + c.args, src: "crash.c", flags: flags, args: c.args, chain: c.chain, cause: c.cause, insn: c.insn}
		// qemu's user mode knows neither filters nor what is not aligned, and
		// executes all that can be read.
		d.kernel = slices.Contains([]string{"seccomp", "misaligned", "calldata", "pastend", "execthread 2", "overflowgiveup"}, c.args)
		list = append(list, d)
	}
	return append(list,
		death64{name: "crash thread 5", src: "crash.c", flags: "-O1", args: "thread 5", threads: 7, quick: true,
			chain: "read_null crashing_thread libc", cause: crashCause("null"), insn: `ldr w0, \[x0, #16\]`},
		death64{name: "crash leader 3", src: "crash.c", flags: "-O1", args: "leader 3", threads: 5, kernel: true,
			chain: "read_null crashing_thread libc", cause: crashCause("null"), insn: `ldr w0, \[x0, #16\]`})
}

// throwsChain is that of throws.cc. Without its debug file libstdc++ has no name for one of its functions.
const throwsChain = "libc abort __gnu_cxx::__verbose_terminate_handler libc " +
	"std::terminate __cxa_throw shop::deliver shop::Till<long>::sum main libc _start"

func crashCause(args string) string {
	for _, c := range crashesOf("arm64") {
		if c.args == args {
			return c.cause
		}
	}
	return ""
}

// program builds the program of a death.
func (d *death64) program(t *testing.T) string {
	cc := d.cc
	if cc == "" {
		cc = gccARM64
	}
	return build(t, cc, d.src, strings.Fields(d.flags)...)
}

// check compares what bt says of the core with what the program knows.
func (d *death64) check(t *testing.T, core string, fromKernel bool, args ...string) result {
	t.Helper()
	r := bt(t, append([]string{"--core", core, "--demangle", "short"}, args...)...)
	ds, ps := parseRun(t, r.stdout)
	if len(ds) != 1 || len(ps) != 1 {
		t.Fatalf("%d deaths of %d processes:\n%s%s", len(ds), len(ps), r.stderr, head(r.stdout))
	}
	th := ps[0].threads[0]
	cut := strings.HasPrefix(th.end, "cut after 256 frames")
	if cut {
		th.end = ""
	}
	if want := map[bool]int{true: 3}[cut]; r.code != want || !cut && r.stderr != "" {
		t.Errorf("exit %d, want %d: %s", r.code, want, r.stderr)
	}
	th.wantChain(t, d.chain)
	if n := max(d.threads, 1); len(ps[0].threads) != n {
		t.Errorf("%d threads, want %d", len(ps[0].threads), n)
	}
	for _, other := range ps[0].threads[1:] {
		if other.end != "" || len(other.frames) < 3 {
			t.Errorf("thread %d:\n%s", other.tid, other)
		}
	}
	// A core does not tell which mappings are shared.
	cause, insn := strings.Replace(d.cause, "r--s", "r--p", 1), d.insn
	if !fromKernel {
		cause, _, _ = strings.Cut(cause, ` `)
		if d.args == "calldata" {
			cause = "SIGILL"
		}
		insn = ""
	}
	if !regexp.MustCompile(`^` + cause + `$`).MatchString(ds[0].cause) {
		t.Errorf("killed by %s\nwant      %s", ds[0].cause, cause)
	}
	if fromKernel && !regexp.MustCompile(`^`+insn+`$`).MatchString(ds[0].insn) {
		t.Errorf("instruction %s, want %s", ds[0].insn, insn)
	}
	if ds[0].regs < 9 {
		t.Errorf("%d lines of registers:\n%s", ds[0].regs, head(r.stdout))
	}
	return r
}

// qemuCore runs a program in qemu's user mode until it dies, and returns the core
// that qemu writes.
func qemuCore(t *testing.T, prog string, args ...string) string {
	t.Helper()
	qemu := testenv.Need(t, "qemu-aarch64", "qemu-user")
	return coreBy(t, append([]string{qemu, "-cpu", "max,pauth-impdef=on", "-L", arm64Libc, prog}, args...)...)
}

// coreBy runs a command that makes qemu write a core.
func coreBy(t *testing.T, argv ...string) string {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -c unlimited; exec "$@"`, "sh"}, argv...)...)
	cmd.Dir = tempDir(t)
	if err := cmd.Run(); err == nil {
		t.Fatal("it did not crash")
	}
	found, _ := filepath.Glob(filepath.Join(cmd.Dir, "qemu_*.core"))
	if len(found) != 1 {
		t.Fatalf("core files: %q", found)
	}
	return found[0]
}

// Cores of 64-bit ARM, which qemu's user mode writes, on whatever machine this is.
func TestCoreARM64(t *testing.T) {
	for _, d := range deaths64() {
		if d.kernel || !d.quick && !testenv.Full() {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			core := qemuCore(t, d.program(t), strings.Fields(d.args)...)
			d.check(t, core, false, "--sysroot", arm64Libc)
		})
	}
}

// leaf32 is leaf.c for 32-bit ARM. Nothing but .debug_frame describes its frames,
// which its C library does not have.
func leaf32(t *testing.T, flags ...string) string {
	return build(t, gccARM32, "leaf.c", append([]string{"-O1", "-g", "-static"}, flags...)...)
}

// checkLeaf32 looks at what bt says of leaf32.
func checkLeaf32(t *testing.T, out, cause string) {
	t.Helper()
	ds, ps := parseRun(t, out)
	if len(ds) != 1 || len(ps) != 1 || len(ps[0].threads) != 1 {
		t.Fatalf("%d deaths of %d processes:\n%s", len(ds), len(ps), head(out))
	}
	if !regexp.MustCompile(`^` + cause + `$`).MatchString(ds[0].cause) {
		t.Errorf("killed by %s, want %s", ds[0].cause, cause)
	}
	th := ps[0].threads[0]
	if !strings.HasPrefix(th.end, "no unwind information for ") {
		t.Errorf("end: %s", th.end)
	}
	for _, f := range th.frames {
		if f.digits != 8 {
			t.Errorf("%d digits: %s", f.digits, th)
		}
	}
	th.end = ""
	th.wantChain(t, strings.TrimSuffix(leafChain, " _start"))
}

// Cores of 32-bit ARM, in both of its instruction sets.
func TestCoreARM32(t *testing.T) {
	qemu := testenv.Need(t, "qemu-arm", "qemu-user")
	for _, set := range []string{"-mthumb", "-marm"} {
		core := coreBy(t, qemu, leaf32(t, set))
		checkLeaf32(t, bt(t, "--core", core).want(t, 3).stdout, "SIGSEGV")
	}
}

// The same core compressed, through a pipe, and cut.
func TestCoreARM64Forms(t *testing.T) {
	d := death64{src: "leaf.c", flags: "-O2 -mbranch-protection=standard -fomit-frame-pointer", chain: leafChain, cause: "SIGSEGV"}
	core := qemuCore(t, d.program(t))
	coreForms(t, &d, core, false, "--sysroot", arm64Libc)
}

// coreForms checks all forms of a core that bt reads.
func coreForms(t *testing.T, d *death64, core string, fromKernel bool, args ...string) {
	t.Helper()
	whole := d.check(t, core, fromKernel, args...)
	for _, c := range []struct{ tool, pkg, suffix string }{
		{"gzip", "gzip", ".gz"}, {"xz", "xz-utils", ".xz"}, {"zstd", "zstd", ".zst"}, {"lz4", "lz4", ".lz4"},
	} {
		testenv.Need(t, c.tool, c.pkg)
		data, err := exec.Command(c.tool, "-1", "-c", core).Output()
		if err != nil {
			t.Fatal(err)
		}
		packed := filepath.Join(tempDir(t), "core"+c.suffix)
		if err := os.WriteFile(packed, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if r := bt(t, append([]string{"--core", packed}, args...)...).want(t, 0); r.stdout != bt(t, append([]string{"--core", core}, args...)...).stdout {
			t.Errorf("%s differs:\n%s", c.suffix, head(r.stdout))
		}
	}
	f, err := os.Open(core)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := btCmd(t, append([]string{"--core", "/dev/stdin", "--demangle", "short"}, args...)...)
	cat := exec.Command("cat")
	cat.Stdin = f
	if cmd.Stdin, err = cat.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	r := run(t, cmd)
	cat.Process.Kill()
	cat.Wait()
	if r.stdout != whole.stdout {
		t.Errorf("through a pipe:\n%s\nwhole:\n%s", head(r.stdout), head(whole.stdout))
	}
	data, err := os.ReadFile(core)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(tempDir(t), "cut")
	for i := range 20 {
		if err := os.WriteFile(cut, data[:len(data)*i/20], 0o644); err != nil {
			t.Fatal(err)
		}
		r := bt(t, append([]string{"--core", cut}, args...)...)
		if r.code != 3 && (r.code != 1 || r.stdout != "") || strings.Contains(r.stderr, "internal") {
			t.Errorf("cut at %d%%: exit %d: %s", i*5, r.code, r.stderr)
		}
		parse(t, died.ReplaceAllString(r.stdout, ""))
	}
}
