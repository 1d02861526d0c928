//go:build linux

package suite

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

func plainChain(t *testing.T) *proc {
	t.Helper()
	return start(t, build(t, "gcc", "chain.c", "-O1"))
}

const plainWant = "libc block vla realigned manyargs saves main libc _start"

func TestFlags(t *testing.T) {
	prog := build(t, "gcc", "threads.c", "-O1")
	p := start(t, prog, "3", "4")
	all := snapshot(t, p.pid)
	pid := itoa(p.pid)

	t.Run("tid", func(t *testing.T) {
		a, b := all.threads[1].tid, all.threads[3].tid
		for _, args := range [][]string{{"--tid", itoa(a) + "," + itoa(b)}, {"-t", itoa(a), "-t", itoa(b)}} {
			ps := snapshot(t, p.pid, args...)
			if len(ps.threads) != 2 || ps.threads[0].tid != a || ps.threads[1].tid != b {
				t.Errorf("%v: %v", args, ps)
			}
			ps.threads[0].wantChain(t, "libc descend*4 worker libc")
		}
		if r := bt(t, "--pid", pid, "--tid", "1"); r.code == 0 || r.stderr == "" {
			t.Errorf("a thread of another process: exit %d, %q", r.code, r.stderr)
		}
		for _, args := range [][]string{{"--pid", itoa(b)}, {"--pid", itoa(b), "1234"}, {"maps", "--pid", itoa(b)}, {"gate", "show", "--pid", itoa(b)}} {
			if r := bt(t, args...); r.code != 0 || !strings.Contains(r.stderr, itoa(b)+" is a thread of process "+pid) {
				t.Errorf("%v: exit %d, %q", args, r.code, r.stderr)
			}
		}
	})
	t.Run("max-frames", func(t *testing.T) {
		ps := only(t, bt(t, "--pid", pid, "--max-frames", "3").want(t, 3), p.pid)
		for i, th := range ps.threads {
			if len(th.frames) != 3 || !strings.Contains(th.end, "3") || !slices.Equal(th.addrs(), all.threads[i].addrs()[:3]) {
				t.Errorf("got:\n%s", th)
			}
		}
		// Exactly as many as there are is not cut.
		n := len(all.threads[0].frames)
		snapshot(t, p.pid, "-n", itoa(n), "-t", pid).main(t).wantChain(t, "libc main libc _start")
	})
	t.Run("module", func(t *testing.T) {
		for _, f := range snapshot(t, p.pid, "-m").threads[1].frames {
			if f.name == "worker" && !strings.Contains(f.extra, filepath.Base(prog)) ||
				f.name == "" && !regexp.MustCompile(`^\(\S+\+0x[0-9a-f]+\)$`).MatchString(f.extra) {
				t.Errorf("%x %s: extra field %q", f.addr, f.name, f.extra)
			}
		}
	})
	t.Run("build-id", func(t *testing.T) {
		id := buildID(t, prog)
		for _, f := range snapshot(t, p.pid, "-b").threads[1].frames {
			if f.name == "worker" && !strings.Contains(f.extra, id) {
				t.Errorf("extra field %q, want %s", f.extra, id)
			}
		}
	})
	t.Run("raw", func(t *testing.T) {
		for i, th := range snapshot(t, p.pid, "--raw").threads {
			if !slices.Equal(th.addrs(), all.threads[i].addrs()) {
				t.Errorf("other addresses:\n%s%s", th, all.threads[i])
			}
			for _, f := range th.frames {
				if f.name != "" || f.extra != "" {
					t.Errorf("%x has a name: %s %s", f.addr, f.name, f.extra)
				}
			}
		}
	})
	text := bt(t, "--pid", pid).stdout
	t.Run("output", func(t *testing.T) {
		file := filepath.Join(tempDir(t), "out")
		r := bt(t, "--pid", pid, "--output", file).want(t, 0)
		if b, err := os.ReadFile(file); err != nil || string(b) != text || r.stdout != "" {
			t.Errorf("%v: %q and on stdout %q, want %q", err, b, r.stdout, text)
		}
		if r := bt(t, "--pid", pid, "--output", filepath.Join(file, "x")); r.code != 1 || !strings.HasPrefix(r.stderr, "bt: ") {
			t.Errorf("into no directory: exit %d, %q", r.code, r.stderr)
		}
	})
	t.Run("color", func(t *testing.T) {
		for _, when := range []string{"auto", "never"} {
			if r := bt(t, "--pid", pid, "--color", when).want(t, 0); r.stdout != text {
				t.Errorf("%s: %q", when, head(r.stdout))
			}
		}
		r := bt(t, "--pid", pid, "--color=always").want(t, 0)
		if plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(r.stdout, ""); r.stdout == text || plain != text {
			t.Errorf("always: %q", head(r.stdout))
		}
	})
	t.Run("verbose", func(t *testing.T) {
		r := bt(t, "--pid", pid, "--verbose")
		// It adds the versions of symbols and nothing else.
		plain := regexp.MustCompile(`@@?[A-Za-z0-9_.]+`).ReplaceAllString(r.stdout, "")
		if r.code != 0 || plain != text || !strings.Contains(r.stderr, filepath.Base(prog)) {
			t.Errorf("exit %d, stderr %q", r.code, r.stderr)
		}
	})
	t.Run("procfs", func(t *testing.T) {
		if r := bt(t, "--pid", pid, "--procfs", "/proc").want(t, 0); r.stdout != text {
			t.Error(head(r.stdout))
		}
		if r := bt(t, "--pid", pid, "--procfs", tempDir(t)).want(t, 1); !strings.HasPrefix(r.stderr, "bt: ") {
			t.Error(r.stderr)
		}
	})
}

func buildID(t *testing.T, prog string) string {
	t.Helper()
	f, err := elf.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := f.Section(".note.gnu.build-id").Data()
	if err != nil || len(b) < 16 {
		t.Fatalf("%s: no build ID: %v", prog, err)
	}
	return fmt.Sprintf("%x", b[16:])
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--no-such-flag"}, {"--pid", "x"}, {"--pid", "-5"}, {"--pid", "0"}, {"--pid", ""}, {"--pid", "1,,2"},
		{"--pid", "1", "--demangle", "some"}, {"--pid", "1", "--color", "red"}, {"--pid", "1", "-n", "-1"},
		{"--pid", "1", "--tid", "y"}, {"--pid", "1", "--tid", ""}, {"--pid", "1", "--maps", "/proc/self/maps"}, {"--pid", "1", "--format", "xyzzy"},
		{"--pid", "1", "no-address"},
	} {
		r := bt(t, args...)
		if r.code != 2 || r.stdout != "" || !strings.HasPrefix(r.stderr, "bt: ") {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", args, r.code, head(r.stdout), head(r.stderr))
		}
	}
	bt(t, "--help").want(t, 0)
	if r := bt(t).want(t, 0); r.stdout != "" {
		t.Errorf("empty input: %q", r.stdout)
	}
}

// wantRefusal is one clear line and exit status 1.
func (r result) wantRefusal(t *testing.T, words ...string) {
	t.Helper()
	if r.code != 1 || r.stdout != "" || !strings.HasPrefix(r.stderr, "bt: ") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("exit %d, stdout %q, stderr %q; want one line", r.code, head(r.stdout), head(r.stderr))
	}
	for _, w := range words {
		if !strings.Contains(r.stderr, w) {
			t.Errorf("nothing of %q in %q", w, r.stderr)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Run("no such process", func(t *testing.T) {
		bt(t, "--pid", "4194304").wantRefusal(t, "4194304") // above the largest pid_max
		bt(t, "--pid", "2147483647").wantRefusal(t, "2147483647")
		bt(t, "--pid", "4194304", "10").wantRefusal(t, "4194304")
	})
	t.Run("kernel thread", func(t *testing.T) {
		if comm, _ := os.ReadFile("/proc/2/comm"); string(comm) != "kthreadd\n" {
			t.Skip("process 2 is no kernel thread")
		}
		bt(t, "--pid", "2").wantRefusal(t, "2", "kernel thread")
	})
	t.Run("itself", func(t *testing.T) {
		cmd := btCmd(t)
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `exec "$0" --pid $$`, btPath}
		run(t, cmd).wantRefusal(t, "itself")
	})
	t.Run("zombie", func(t *testing.T) {
		cmd := command("true")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := cmd.Process.Pid
		waitFor(t, "a zombie", func() bool { return taskStates(pid)[pid] == 'Z' })
		bt(t, "--pid", itoa(pid)).wantRefusal(t, itoa(pid), "zombie")
		cmd.Wait()
	})
	t.Run("another user", func(t *testing.T) {
		testenv.NeedRoot(t)
		p := plainChain(t)
		cmd := btCmd(t, "--pid", itoa(p.pid))
		cmd.SysProcAttr = asNobody()
		run(t, cmd).wantRefusal(t, itoa(p.pid), "not permitted")
	})
	t.Run("traced", func(t *testing.T) {
		testenv.Need(t, "gdb", "gdb")
		p := plainChain(t)
		addr := fmt.Sprintf("%x", snapshot(t, p.pid).main(t).frames[2].addr)
		gdb := startCmd(t, command("gdb", "-nx", "-q", "-p", itoa(p.pid), "-ex", `echo ready\n`))
		bt(t, "--pid", itoa(p.pid)).wantRefusal(t, itoa(p.pid), itoa(gdb.pid))
		// Naming an address stops nothing.
		if r := bt(t, "--pid", itoa(p.pid), addr).want(t, 0); !strings.Contains(r.stdout, "+0x") {
			t.Error(r.stdout)
		}
	})
}

func TestSeveralProcesses(t *testing.T) {
	a, b := plainChain(t), plainChain(t)
	for _, args := range [][]string{
		{"--pid", itoa(a.pid) + "," + itoa(b.pid)}, {"-p", itoa(a.pid), "-p", itoa(b.pid)},
	} {
		ps := parse(t, bt(t, args...).want(t, 0).stdout)
		if len(ps) != 2 || ps[0].pid != a.pid || ps[1].pid != b.pid {
			t.Fatalf("%v: %v", args, ps)
		}
		ps[0].main(t).wantChain(t, plainWant)
		ps[1].main(t).wantChain(t, plainWant)
	}
	r := bt(t, "--pid", "4194304,"+itoa(b.pid)).want(t, 3)
	only(t, r, b.pid).main(t).wantChain(t, plainWant)
	if !strings.HasPrefix(r.stderr, "bt: ") || !strings.Contains(r.stderr, "4194304") {
		t.Errorf("stderr: %q", r.stderr)
	}
}

// A TID is taken for its process, and said so.
func TestTIDAsPID(t *testing.T) {
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "2", "3")
	tid := snapshot(t, p.pid).threads[1].tid
	r := bt(t, "--pid", itoa(tid))
	ps := only(t, r, p.pid)
	if r.code != 0 || len(ps.threads) != 3 || !strings.Contains(r.stderr, itoa(tid)) || !strings.Contains(r.stderr, itoa(p.pid)) {
		t.Errorf("exit %d, %d threads, stderr %q", r.code, len(ps.threads), r.stderr)
	}
}

// In the middle of a shell loop, bt leaves the loop's input alone.
func TestStdinUntouched(t *testing.T) {
	p := plainChain(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	const list = "123\n456\n"
	w.WriteString(list)
	cmd := btCmd(t, "--pid", itoa(p.pid))
	cmd.Stdin = r
	only(t, run(t, cmd).want(t, 0), p.pid).main(t).wantChain(t, plainWant)
	left := make([]byte, 2*len(list))
	r.SetReadDeadline(time.Now().Add(patience))
	if n, err := r.Read(left); err != nil || string(left[:n]) != list {
		t.Errorf("left on standard input: %q, %v", left[:n], err)
	}
}

// freeze stops a process, so that two runs of bt see the same.
func (p *proc) freeze(t *testing.T) {
	t.Helper()
	syscall.Kill(p.pid, syscall.SIGSTOP)
	waitFor(t, "the stop", func() bool {
		for _, s := range taskStates(p.pid) {
			if s != 'T' {
				return false
			}
		}
		return true
	})
}

// feed runs bt with input.
func feed(t *testing.T, input string, args ...string) result {
	t.Helper()
	cmd := btCmd(t, args...)
	cmd.Stdin = strings.NewReader(input)
	return run(t, cmd)
}

func TestReportRoundTrip(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *proc{
		"threads": func(t *testing.T) *proc { return start(t, build(t, "gcc", "threads.c", "-O1"), "5", "4") },
		"signal":  func(t *testing.T) *proc { return start(t, build(t, "gcc", "signals.c", "-O2"), "nested") },
		"null":    func(t *testing.T) *proc { return start(t, build(t, "gcc", "signals.c", "-O2"), "callnull") },
		"noreturn": func(t *testing.T) *proc {
			return start(t, build(t, "gcc", "noreturn.c", "-O2", "-falign-functions=1", "-fno-toplevel-reorder"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			p.freeze(t)
			pid := itoa(p.pid)
			want := bt(t, "--pid", pid).want(t, 0).stdout
			parse(t, want)
			raw := bt(t, "--pid", pid, "--raw").want(t, 0).stdout
			report := bt(t, "--pid", pid, "--raw", "--with-maps").want(t, 0).stdout
			for how, got := range map[string]result{
				"raw to bt --pid":   feed(t, raw, "--pid", pid, "-"),
				"named to bt --pid": feed(t, want, "--pid", pid, "-"),
			} {
				if got.want(t, 0).stdout != want {
					t.Errorf("%s:\n%swant:\n%s", how, head(got.stdout), head(want))
				}
			}
			got := feed(t, report).want(t, 0).stdout
			// The report's build IDs are comments and pass through.
			got = regexp.MustCompile(`(?m)^# build-id .*\n`).ReplaceAllString(got, "")
			if got != want {
				t.Errorf("report:\n%swant:\n%s", head(got), head(want))
			}
		})
	}
}

// Addresses from the command line and from standard input, in every kind of
// address space: exact, unless a thread line stands above them.
func TestAddresses(t *testing.T) {
	prog := build(t, "gcc", "chain.c", "-O1", "-no-pie")
	p := start(t, prog)
	pid := itoa(p.pid)
	var begin uint64
	for _, f := range snapshot(t, p.pid).main(t).frames {
		if f.name == "main" {
			begin = f.addr - f.offset
		}
	}
	in := fmt.Sprintf("%x\n0x%x\n", begin, begin+4)
	want := fmt.Sprintf("%016x <main+0x0>\n%016x <main+0x4>\n", begin, begin+4)
	maps := filepath.Join(tempDir(t), "saved.maps")
	saved, err := os.ReadFile("/proc/" + pid + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(maps, saved, 0o644)
	for how, r := range map[string]result{
		"arguments": bt(t, append([]string{"--pid", pid}, strings.Fields(in)...)...),
		"stdin":     feed(t, in, "--pid", pid, "-"),
		"one line":  feed(t, strings.ReplaceAll(in, "\n", " ")+"\n", "--pid", pid, "-"),
		"no end":    feed(t, strings.TrimSuffix(in, "\n"), "--pid", pid, "-"),
		"maps":      feed(t, in, "--maps", maps),
		"exe":       feed(t, in, "--exe", prog),
		"report":    feed(t, string(saved)+in),
	} {
		if r.want(t, 0).stdout != want {
			t.Errorf("%s: %q, want %q", how, r.stdout, want)
		}
	}

	r := feed(t, "# a comment\nno address\n\n"+in, "--pid", pid, "-").want(t, 3)
	if r.stdout != "# a comment\nno address\n\n"+want {
		t.Errorf("mixed: %q", r.stdout)
	}
	if r := feed(t, "", "--pid", pid, "-").want(t, 0); r.stdout != "" {
		t.Errorf("empty input: %q", r.stdout)
	}

	// The first answer does not wait for the second question.
	stdinR, stdinW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdoutR, stdoutW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := btCmd(t, "--pid", pid, "-")
	cmd.Stdin, cmd.Stdout = stdinR, stdoutW
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdinR.Close()
	stdoutW.Close()
	defer cmd.Wait()
	defer stdoutR.Close()
	defer stdinW.Close()
	fmt.Fprintf(stdinW, "%x\n", begin)
	stdoutR.SetReadDeadline(time.Now().Add(patience))
	line := make([]byte, 100)
	if n, err := stdoutR.Read(line); err != nil || !strings.HasSuffix(string(line[:n]), "<main+0x0>\n") {
		t.Errorf("the first answer: %q, %v", line[:n], err)
	}
}

// Stacks that are alike are printed once with --group, and a recursion's frames.
func TestGroupedStacks(t *testing.T) {
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "12", "4")
	p.freeze(t)
	plain := bt(t, "--pid", itoa(p.pid)).want(t, 0).stdout
	got := bt(t, "--pid", itoa(p.pid), "--group").want(t, 0).stdout
	if strings.Count(got, "\n# thread ") >= strings.Count(plain, "\n# thread ") || !strings.Contains(got, " with this stack: ") {
		t.Errorf("not grouped:\n%s", got)
	}
	p = start(t, build(t, "gcc", "deep.c", "-O1"), "20000")
	got = bt(t, "--pid", itoa(p.pid), "-n", "0", "--group").want(t, 0).stdout
	if strings.Count(got, "\n") > 100 || !strings.Contains(got, " more times\n") {
		t.Errorf("not folded:\n%s", head(got))
	}
	plain = bt(t, "--pid", itoa(p.pid), "-n", "0").want(t, 0).stdout
	if strings.Count(plain, "\n") < 20000 || strings.Contains(plain, "more times") {
		t.Errorf("folded in a pipe:\n%s", head(plain))
	}
	bt(t, "--group", "--exe", "/bin/sh", "1").want(t, 2)
	bt(t, "--pid", itoa(p.pid), "--group", "1").want(t, 2)
}
