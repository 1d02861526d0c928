//go:build linux

package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/testcore"
	"github.com/gatedso/bt/internal/testenv"
)

// handled is what bt crash handle has left of one crash.
type handled struct {
	result
	report string // empty if there is none
	log    string
}

// crashDir is a directory for reports and a procfs with the two settings alone,
// in which bt is installed: the machine's stay as they are.
type crashDir struct{ bt, dir, log, procfs string }

// shortDir makes a directory whose name leaves room in a core_pattern, and
// links bt into it.
func shortDir(t *testing.T) (dir, bt string) {
	t.Helper()
	for {
		dir = fmt.Sprintf("/tmp/bt%05d", rand.IntN(1e5))
		if err := os.Mkdir(dir, 0o755); err == nil {
			break
		} else if !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bt = filepath.Join(dir, "bt")
	if os.Link(btPath, bt) != nil {
		put(t, btPath, bt)
	}
	return dir, bt
}

func newCrashes(t *testing.T, flags ...string) *crashDir {
	t.Helper()
	return newCrashesAfter(t, "before-bt", flags...)
}

// newCrashesAfter is newCrashes where the core_pattern was another before.
func newCrashesAfter(t *testing.T, pattern string, flags ...string) *crashDir {
	t.Helper()
	testenv.NeedRoot(t)
	top, prog := shortDir(t)
	c := &crashDir{prog, filepath.Join(top, "d"), filepath.Join(top, "log"), filepath.Join(top, "proc")}
	os.MkdirAll(filepath.Join(c.procfs, "sys/kernel"), 0o755)
	os.WriteFile(filepath.Join(c.procfs, "sys/kernel/core_pattern"), []byte(pattern+"\n"), 0o644)
	os.WriteFile(filepath.Join(c.procfs, "sys/kernel/core_pipe_limit"), []byte("0\n"), 0o644)
	cmd := btCmd(t, append([]string{"crash", "install", "--procfs", c.procfs, "--dir", c.dir, "--log", c.log}, flags...)...)
	cmd.Path = c.bt
	if r := run(t, cmd).want(t, 0); r.code != 0 {
		t.FailNow()
	}
	return c
}

// handle runs the handler as the kernel would, for a process of user uid.
func (c *crashDir) handle(t *testing.T, pid, uid int, core io.Reader, more ...string) handled {
	t.Helper()
	os.Remove(c.log)
	cmd := c.handler(t, pid, uid, more...)
	// A pipe, as from the kernel.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = r
	go func() {
		io.Copy(w, core)
		w.Close()
	}()
	h := handled{result: run(t, cmd)}
	r.Close()
	log, _ := os.ReadFile(c.log)
	h.log = string(log)
	if strings.Count(h.log, "\n") != 1 {
		t.Errorf("not one line in the log: %q", h.log)
	}
	if m := regexp.MustCompile(`: report (\S+)`).FindStringSubmatch(h.log); m != nil {
		report, err := os.ReadFile(m[1])
		if err != nil {
			t.Error(err)
		}
		h.report = string(report)
		if got := bt(t, "crash", "show", "--dir", c.dir, filepath.Base(m[1])).want(t, 0).stdout; got != h.report {
			t.Errorf("bt crash show differs from the report:\n%s", head(got))
		}
	}
	return h
}

func (c *crashDir) handler(t *testing.T, pid, uid int, more ...string) *exec.Cmd {
	args := []string{"crash", "handle", "--dir", c.dir, "--pid", itoa(pid), "--tid", itoa(pid), "--signal", "11",
		"--uid", itoa(uid), "--gid", itoa(uid), "--time", itoa(int(time.Now().Unix()))}
	return btCmd(t, append(append(args, more...), "--name", "prog")...)
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// extras are the lines of a report that bt --pid does not print.
var extras = regexp.MustCompile(`(?m)^(# (crash|build-id|gate-symbol|process) .*|[0-9a-f]{8,}-[0-9a-f]{8,} .*)\n`)

// stacksOf are the stacks of a report, or of bt's output.
func stacksOf(report string) string { return stacksOnly(extras.ReplaceAllString(report, "")) }

// wantAsLive checks the stacks of a report against those of the live process,
// and that it can be named again.
func (h handled) wantAsLive(t *testing.T, live string) {
	t.Helper()
	h.want(t, 0)
	if strings.Contains(h.report, "# crash problem") || strings.Contains(h.report, "incomplete") {
		t.Errorf("problems:\n%s", head(h.report))
	}
	if a, b := stacksOf(live), stacksOf(h.report); a != b || !strings.Contains(a, " <") {
		t.Errorf("the report:\n%slive:\n%s", head(b), head(a))
	}
	again := feed(t, h.report, "-i").want(t, 0).stdout
	if a, b := stacksOf(h.report), stacksOf(again); a != b {
		t.Errorf("named again:\n%swas:\n%s", head(b), head(a))
	}
}

// The report has the stacks of the process as it was, and who reads the core has
// the rights of the process's user at most.
func TestCrashHandle(t *testing.T) {
	gcc := func(src string, flags ...string) func(*testing.T) string {
		return func(t *testing.T) string { return build(t, "gcc", src, flags...) }
	}
	for _, f := range []struct {
		name string
		prog func(t *testing.T) string
		args []string
		uid  int
	}{
		{"64-bit", gcc("threads.c", "-O1"), []string{"5", "4"}, 0},
		{"32-bit", gcc("threads.c", "-O1", "-m32"), []string{"3", "4"}, 0},
		{"static", gcc("threads.c", "-O1", "-static"), []string{"2"}, 1234},
		{"musl", func(t *testing.T) string { return build(t, "musl-gcc", "threads.c", "-O1") }, []string{"2"}, 1234},
		{"signal", gcc("signals.c", "-O2"), []string{"nested5"}, 0},
		{"debug information", gcc("threads.c", "-O2", "-g"), []string{"3", "4"}, 1234},
		{"another user", gcc("threads.c", "-O1"), []string{"3", "4"}, 12345},
	} {
		t.Run(f.name, func(t *testing.T) {
			c := newCrashes(t)
			cmd := exec.Command(f.prog(t), f.args...)
			cmd.Dir = tempDir(t)
			if f.uid != 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(f.uid), Gid: uint32(f.uid)}}
			}
			p := startCmd(t, cmd)
			p.settle(t)
			p.freeze(t)
			live := bt(t, "--pid", itoa(p.pid), "-i").want(t, 0).stdout
			h := c.handle(t, p.pid, f.uid, open(t, p.gcore(t)))
			h.wantAsLive(t, live)
			wantOtherReader(t, h.report, f.uid)
			for _, want := range []string{
				fmt.Sprintf("# crash user %d group %[1]d\n", f.uid),
				"# crash signal SIGSEGV\n",
				"# crash exe " + cmd.Path + "\n",
				"# crash command " + strings.Join(append([]string{cmd.Path}, f.args...), " ") + "\n",
				"\n# thread " + itoa(p.pid) + " \"" + filepath.Base(cmd.Path)[:min(15, len(filepath.Base(cmd.Path)))],
			} {
				if !strings.Contains(h.report, want) {
					t.Errorf("no %q in\n%s", want, head(h.report))
				}
			}
			// Its lines are there, the source itself is not.
			if f.name == "debug information" && (!strings.Contains(h.report, "/threads.c:") || strings.Contains(h.report, " | ")) {
				t.Errorf("lines:\n%s", head(h.report))
			}
			list, _ := filepath.Glob(c.dir + "/*.txt")
			for _, path := range list {
				if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", st.Mode(), err)
				}
			}
		})
	}
}

// wantOtherReader checks that what read the core was neither root nor the crashed
// process's user.
func wantOtherReader(t *testing.T, report string, crashed int) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^# crash read by user (\d+) group (\d+)$`).FindStringSubmatch(report)
	if m == nil || m[1] == "0" || m[2] == "0" || m[1] == itoa(crashed) || m[1] == "65534" {
		t.Errorf("read by %q, the process was of user %d:\n%s", m, crashed, head(report))
	}
}

// Nothing that the process can put at a path is taken for what it has mapped:
// not another program, a FIFO, a debug file beside it or below its root.
func TestCrashDecoys(t *testing.T) {
	testenv.Need(t, "objcopy", "binutils")
	c := newCrashes(t)
	root := tempDir(t)
	s := strip(t, "-O1", "-fno-ipa-icf", withID)
	decoy := filepath.Join(tempDir(t), "decoy.debug")
	tool(t, "objcopy", "--prefix-symbols=decoy_", s.debug, decoy)
	path := filepath.Join(root, "prog")
	for _, to := range []string{"/usr/lib/debug" + s.byID(), "/prog.debug", "/.debug/prog.debug"} {
		os.MkdirAll(filepath.Dir(root+to), 0o755)
		put(t, decoy, root+to)
	}
	put(t, s.path, path)
	start := func() *proc {
		cmd := exec.Command("/prog")
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		p := startCmd(t, cmd)
		p.settle(t)
		p.freeze(t)
		return p
	}
	p := start()
	// The decoys would be taken where the target is trusted.
	live := bt(t, "--pid", itoa(p.pid), "-i").want(t, 0).stdout
	if !strings.Contains(live, "<decoy_") {
		t.Errorf("bt --pid does not see the decoy:\n%s", live)
	}
	core := p.gcore(t)
	want := regexp.MustCompile(`(?m) <decoy_.*$`).ReplaceAllString(stacksOf(live), "")
	check := func(what string) {
		h := c.handle(t, p.pid, 0, open(t, core))
		h.want(t, 0)
		if got := stacksOf(h.report); got != want {
			t.Errorf("%s:\n%swant:\n%s", what, got, want)
		}
	}
	check("beside the program")
	// The program's path leads to others by now.
	os.Remove(path)
	if err := unix.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	check("a FIFO")
	os.Remove(path)
	put(t, build(t, "gcc", "deep.c", "-O1"), path)
	check("another program")
	os.Remove(path)
	os.Symlink("/dev/zero", path)
	check("a link to a device")
}

// In a PID namespace of its own a process's threads have other numbers.
func TestCrashNamespace(t *testing.T) {
	c := newCrashes(t)
	cmd := exec.Command(build(t, "gcc", "threads.c", "-O1"), "2")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	p := startCmd(t, cmd)
	p.settle(t)
	p.freeze(t)
	var core testcore.Core
	core.Notes = append(core.Notes, core.AMD64(2, 11, 0x400010, 0x7ffc00000100), core.AMD64(1, 0, 0x400020, 0x7ffc00000200))
	h := c.handle(t, p.pid, 0, core.Reader())
	h.want(t, 0)
	name := filepath.Base(cmd.Path)
	for _, want := range []string{"# crash namespace the process was number 1 ", "# process " + itoa(p.pid) + " ", "# thread 2 \"worker 0\"\n", "# thread 1 \"" + name + "\"\n"} {
		if !strings.Contains(h.report, "\n"+want) {
			t.Errorf("no %q in\n%s", want, h.report)
		}
	}
}

// Where reports could be led astray there are none, and the log tells what is
// lost.
func TestCrashDir(t *testing.T) {
	lost := `(no core was kept; the core_pattern before bt was `
	t.Run("symbolic link", func(t *testing.T) {
		c := newCrashes(t)
		real := c.dir + "-real"
		if err := os.Rename(c.dir, real); err != nil {
			t.Fatal(err)
		}
		os.Symlink(real, c.dir)
		before, _ := os.ReadDir(real)
		h := c.handle(t, 1<<30, 0, strings.NewReader(""), "--log", c.log)
		h.want(t, 1)
		if !strings.Contains(h.log, "is a symbolic link") || !strings.Contains(h.log, lost+"not known)") {
			t.Errorf("log: %s", h.log)
		}
		if after, _ := os.ReadDir(real); len(after) != len(before) {
			t.Errorf("%v", after)
		}
	})
	t.Run("another user's", func(t *testing.T) {
		c := newCrashes(t)
		os.Chown(c.dir, 12345, 12345)
		h := c.handle(t, 1<<30, 0, strings.NewReader(""), "--log", c.log)
		h.want(t, 1)
		if !strings.Contains(h.log, "belongs to user 12345") {
			t.Errorf("log: %s", h.log)
		}
	})
	t.Run("FIFO", func(t *testing.T) {
		c := newCrashes(t)
		fifo := filepath.Join(c.dir, "20200101T000000Z-prog-1.txt")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		h := c.handle(t, 1<<30, 0, strings.NewReader(""))
		h.want(t, 0)
		if out := bt(t, "crash", "list", "--dir", c.dir).want(t, 0).stdout; strings.Count(out, "\n") != 2 {
			t.Errorf("%s", out)
		}
		if r := bt(t, "crash", "show", "--dir", c.dir, filepath.Base(fifo)).want(t, 1); !strings.Contains(r.stderr, "no regular file") {
			t.Errorf("%s", r.stderr)
		}
	})
	t.Run("busy", func(t *testing.T) {
		c := newCrashes(t, "--handlers", "1", "--timeout", "50ms")
		f, err := os.Create(filepath.Join(c.dir, ".slot-0"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		h := c.handle(t, 1<<30, 0, strings.NewReader(""))
		h.want(t, 1)
		if !strings.Contains(h.log, "1 other crashes are being handled") || !strings.Contains(h.log, lost+`"before-bt")`) {
			t.Errorf("log: %s", h.log)
		}
	})
}

// The oldest reports make room.
func TestCrashLimits(t *testing.T) {
	c := newCrashes(t, "--max-reports", "3")
	for i := range 5 {
		c.handle(t, 1<<30+i, 0, strings.NewReader(""), "--time", itoa(1700000000+i)).want(t, 0)
	}
	var list []struct {
		Number, PID, Size int
		Time, Signal      string
	}
	if err := json.Unmarshal([]byte(bt(t, "crash", "list", "--json", "--dir", c.dir).want(t, 0).stdout), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	for i, r := range list {
		at := time.Unix(1700000000+int64(4-i), 0).UTC().Format(time.RFC3339)
		if r.Number != i+1 || r.PID != 1<<30+4-i || r.Time != at || r.Signal != "SIGSEGV" || r.Size == 0 {
			t.Errorf("%+v", r)
		}
	}
	for i, args := range [][]string{{}, {"1"}, {"3"}} {
		pid := 1<<30 + []int{4, 4, 2}[i]
		if out := bt(t, append([]string{"crash", "show", "--dir", c.dir}, args...)...).want(t, 0).stdout; !strings.Contains(out, fmt.Sprintf("# crash process %d\n", pid)) {
			t.Errorf("%q: %s", args, out)
		}
	}
	bt(t, "crash", "show", "--dir", c.dir, "4").wantRefusal(t, "no crash report 4")

	// A report is cut where it alone would fill the directory.
	c = newCrashes(t, "--max-bytes", "300")
	h := c.handle(t, 1<<30, 0, strings.NewReader(""))
	if len(h.report) > 400 || !strings.Contains(h.report, "# crash incomplete: cut after ") {
		t.Errorf("%d bytes: %s", len(h.report), h.report)
	}
}

// Whatever comes as a core, there is a report with what is known.
func TestCrashDamaged(t *testing.T) {
	c := newCrashes(t)
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "2", "4")
	p.freeze(t)
	core, err := os.ReadFile(p.gcore(t))
	if err != nil {
		t.Fatal(err)
	}
	garbage := make([]byte, 1<<20)
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	for name, data := range map[string][]byte{
		"nothing":   nil,
		"garbage":   garbage,
		"header":    core[:64],
		"bad notes": append(bytes.Clone(core[:4096]), garbage...),
		"half":      core[:len(core)/2],
	} {
		t.Run(name, func(t *testing.T) {
			h := c.handle(t, p.pid, 0, bytes.NewReader(data))
			h.want(t, 0)
			if !strings.Contains(h.report, "# crash problem: the core") && !strings.Contains(h.report, "# end: ") {
				t.Errorf("no problem is told of:\n%s", head(h.report))
			}
			if n := strings.Count(h.report, "r-xp"); n < 3 {
				t.Errorf("no maps:\n%s", head(h.report))
			}
			// Memory that is not the file's speaks against the file.
			if n := strings.Count(h.report, "# build-id "); n < 3 && name != "bad notes" {
				t.Errorf("no build IDs:\n%s", head(h.report))
			}
		})
	}
	// The process is gone, or the number is another's: the core alone tells.
	for name, ids := range map[string][2]int{"gone": {1 << 30, 0}, "another's": {p.pid, 12345}} {
		t.Run(name, func(t *testing.T) {
			h := c.handle(t, ids[0], ids[1], bytes.NewReader(core))
			h.want(t, 0)
			if !strings.Contains(h.report, "# crash problem: ") || strings.Contains(h.report, "via") {
				t.Errorf("%s", head(h.report))
			}
			if n := strings.Count(h.report, "\n# thread "); n != 3 {
				t.Errorf("%d threads:\n%s", n, head(h.report))
			}
		})
	}
	// Names of the process's own choice, split at blanks as old kernels do.
	h := c.handle(t, 1<<30, 0, strings.NewReader(""), "--name", "--dir", "/tmp/x", "\x1b[2J\n")
	if h.want(t, 0); strings.ContainsAny(h.report+h.log, "\x1b") || !strings.Contains(h.report, `"--dir /tmp/x \x1b[2J\x0a --name prog"`) {
		t.Errorf("%q", h.report)
	}
}

// A core of gigabytes takes no more memory than a small one.
func TestCrashLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	c := newCrashes(t)
	big := testcore.Core{}
	big.Loads = []testcore.Load{{Addr: 0x10000, Filesz: 3 << 30, Flags: 6}}
	stack := make([]byte, 1<<20)
	for i := range uint64(200) {
		at := 0x7f0000000000 + i<<21
		big.Loads = append(big.Loads, testcore.Load{Addr: at, Data: stack, Flags: 6})
		big.Notes = append(big.Notes, big.AMD64(int(100+i), 6, 0x400000, at+0x1000))
	}
	cmd := c.handler(t, 1<<30, 0)
	cmd.Stdin = big.Reader()
	run(t, cmd).want(t, 0)
	report := bt(t, "crash", "show", "--dir", c.dir).want(t, 0).stdout
	if n := strings.Count(report, "\n# thread "); n != 200 {
		t.Errorf("%d threads:\n%s", n, head(report))
	}
	const most = 96 << 10 // KiB; it is the larger of the handler's and the worker's
	if kib := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; kib > max(most, ownPeak(t)) {
		t.Errorf("%d KiB of memory", kib)
	}
}

// A core that never ends is not waited for.
func TestCrashTimeout(t *testing.T) {
	c := newCrashes(t, "--timeout", "300ms")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd := c.handler(t, os.Getpid(), 0)
	cmd.Stdin = r
	run(t, cmd).want(t, 0)
	r.Close()
	report := bt(t, "crash", "show", "--dir", c.dir).want(t, 0).stdout
	if !strings.Contains(report, "# crash incomplete: not done within ") || !strings.Contains(report, "# crash exe ") {
		t.Errorf("%s", report)
	}
}

// Who reads the core has nothing of root's, and the process's user can do nothing
// to it: also not where fs.suid_dumpable lets users read what set-user-ID programs
// have in memory.
func TestCrashPrivileges(t *testing.T) {
	testenv.NeedRoot(t)
	const user = 12345
	const dumpable = "/proc/sys/fs/suid_dumpable"
	old, err := os.ReadFile(dumpable)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(dumpable, old, 0) })
	attack := build(t, "gcc", "attack.c", "-O1")
	for _, mode := range []string{"0", "1", "2"} {
		t.Run("suid_dumpable="+mode, func(t *testing.T) {
			if err := os.WriteFile(dumpable, []byte(mode), 0); err != nil {
				t.Skip(err) // a container
			}
			c := newCrashes(t)
			sleeper := exec.Command("sleep", "300")
			sleeper.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			if err := sleeper.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			cmd := c.handler(t, sleeper.Process.Pid, user)
			cmd.Stdin = r
			// The attacker tries from the first moment on, again and again.
			attacker := exec.Command(attack)
			attacker.SysProcAttr = sleeper.SysProcAttr
			attacker.Stderr = os.Stderr
			var tried bytes.Buffer
			attacker.Stdout = &tried
			pids, err := attacker.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := attacker.Start(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r.Close()
			fmt.Fprintln(pids, cmd.Process.Pid)
			var status string
			told := make(map[string]bool)
			waitFor(t, "the worker", func() bool {
				lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
				for _, list := range lists {
					// Go's runtime has a child for a moment, too.
					children, _ := os.ReadFile(list)
					for _, pid := range strings.Fields(string(children)) {
						if !told[pid] {
							told[pid] = true
							fmt.Fprintln(pids, pid)
						}
						data, _ := os.ReadFile("/proc/" + pid + "/status")
						status = strings.Join(strings.Fields(string(data)), " ")
						var st unix.Stat_t
						// What cannot be dumped belongs to root in /proc.
						if strings.Contains(status, " Seccomp: 2 ") && unix.Stat("/proc/"+pid+"/status", &st) == nil && st.Uid == 0 {
							return true
						}
					}
				}
				return false
			})
			for _, want := range []string{" Groups: NStgid:", " NoNewPrivs: 1 ", " CapPrm: 0000000000000000 ", " CapEff: 0000000000000000 "} {
				if !strings.Contains(status, want) {
					t.Errorf("no %q in %s", want, status)
				}
			}
			for _, key := range []string{"Uid", "Gid"} {
				m := regexp.MustCompile(key + `: (\d+) (\d+) (\d+) (\d+) `).FindStringSubmatch(status)
				if m == nil || m[1] != m[2] || m[2] != m[3] || m[3] != m[4] || m[1] == "0" || m[1] == itoa(user) || m[1] == "65534" {
					t.Errorf("%s", m)
				}
			}
			pids.Close()
			w.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if err := attacker.Wait(); err != nil {
				t.Error(err)
			}
			if out := tried.String(); !strings.HasPrefix(out, "tried ") || strings.Count(out, "\n") != 1 {
				t.Errorf("the process's user could do this: %s", out)
			}
		})
	}
}

// A process whose number was used again is not taken for the one that crashed: the
// core has its files at other addresses.
func TestCrashOtherProcess(t *testing.T) {
	c := newCrashes(t)
	prog := build(t, "gcc", "threads.c", "-O1")
	crashed := start(t, prog, "2", "4")
	crashed.freeze(t)
	core := crashed.gcore(t)
	for name, innocent := range map[string]*proc{
		"another program":    start(t, build(t, "gcc", "deep.c", "-O1"), "3"),
		"the same once more": start(t, prog, "1", "1"),
	} {
		t.Run(name, func(t *testing.T) {
			innocent.freeze(t)
			h := c.handle(t, innocent.pid, 0, open(t, core))
			h.want(t, 0)
			if !strings.Contains(h.report, "is not the one whose core this is") {
				t.Errorf("nothing is said:\n%s", head(h.report))
			}
			maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", innocent.pid))
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(maps), " ")
			for _, of := range []string{"# crash exe ", " 3\n", " 1 1\n", first} {
				if strings.Contains(h.report, of) {
					t.Errorf("the report tells %q of the innocent:\n%s", of, head(h.report))
				}
			}
			if want := "# crash command " + prog + " (as the core tells"; !strings.Contains(h.report, want) {
				t.Errorf("no %q in\n%s", want, head(h.report))
			}
			if n := strings.Count(h.report, "\n# thread "); n != 3 {
				t.Errorf("%d threads:\n%s", n, head(h.report))
			}
		})
	}
}

// A core that stops to come leaves a report with what was known by then: the
// notes are first, and tell each thread's registers.
func TestCrashStalls(t *testing.T) {
	c := newCrashes(t, "--timeout", "2s")
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "2", "4")
	p.freeze(t)
	var core testcore.Core
	core.Notes = append(core.Notes, core.AMD64(p.pid, 11, 0x400010, 0x7ffc00000100), core.AMD64(p.pid+1, 0, 0x400020, 0x7ffc00000200))
	core.Loads = []testcore.Load{{Addr: 0x10000, Filesz: 1 << 40, Flags: 6}}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd := c.handler(t, p.pid, 0)
	cmd.Stdin = r
	go io.Copy(w, io.LimitReader(core.Reader(), 1<<20)) // and then no more
	run(t, cmd).want(t, 0)
	r.Close()
	report := bt(t, "crash", "show", "--dir", c.dir).want(t, 0).stdout
	for _, want := range []string{"# crash incomplete: not done within ", "# crash exe ", "\n# killed by ", " r-xp "} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, head(report))
		}
	}
	if n := strings.Count(report, "\n# thread "); n != 2 {
		t.Errorf("%d threads:\n%s", n, head(report))
	}
}

// While cores of one user do not come on, those of others are reported.
func TestCrashFlood(t *testing.T) {
	c := newCrashes(t, "--timeout", "1m")
	const flooder, other = 12345, 23456
	var flood []*exec.Cmd
	for range 8 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		cmd := c.handler(t, 1<<30, flooder)
		cmd.Stdin = r
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		flood = append(flood, cmd)
	}
	t.Cleanup(func() {
		for _, cmd := range flood {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	held := func() (n int) {
		slots, _ := filepath.Glob(filepath.Join(c.dir, ".slot-*"))
		for _, path := range slots {
			if holder, _ := os.ReadFile(path); string(holder) == "uid-12345" {
				n++
			}
		}
		return n
	}
	waitFor(t, "the flood", func() bool { return held() == 2 })
	for _, uid := range []int{0, other, 0, other} {
		h := c.handle(t, 1<<30, uid, strings.NewReader(""))
		h.want(t, 0)
		if h.report == "" {
			t.Errorf("no report of user %d: %s", uid, h.log)
		}
	}
	if n := held(); n > 2 {
		t.Errorf("one user has %d of 4 places", n)
	}
	for _, cmd := range flood {
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Error("the flood has ended before the others")
		}
	}
}

// oldHandler makes a handler that keeps its arguments and the core.
func oldHandler(t *testing.T, then string) (path, dir string) {
	t.Helper()
	dir = tempDir(t)
	path = filepath.Join(dir, "old")
	script := fmt.Sprintf("#!/bin/sh\nPATH=/usr/bin:/bin\nprintf '%%s\\n' \"$@\" >%s/args\n%s\n", dir, strings.ReplaceAll(then, "DIR", dir))
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

// The handler that bt has replaced gets the whole core as well, with the arguments
// that its pattern asks for, whatever becomes of the report.
func TestCrashChain(t *testing.T) {
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "2", "4")
	p.freeze(t)
	core, err := os.ReadFile(p.gcore(t))
	if err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
	const keeps = "cat >DIR/core"
	for _, tt := range []struct {
		name, then string
		whole      bool
		log        int // lines
		flags      []string
	}{
		{"keeps it", keeps, true, 1, nil},
		{"keeps it while the report fails", keeps, true, 1, []string{"--timeout", "1ms"}},
		{"looks at its beginning alone", "head -c 100 >DIR/core", false, 1, nil},
		{"fails", keeps + "; exit 3", true, 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, dir := oldHandler(t, tt.then)
			c := newCrashesAfter(t, "|"+path+" %P-%s %u %e end%% %E", append(tt.flags, "--chain")...)
			cmd := c.handler(t, p.pid, 0, "--dump", "1")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = r
			go func() {
				w.Write(core)
				w.Close()
			}()
			res := run(t, cmd)
			r.Close()
			args, _ := os.ReadFile(dir + "/args")
			if want := fmt.Sprintf("%d-11\n0\nprog\nend%%\n%s\n", p.pid, strings.ReplaceAll(exe, "/", "!")); string(args) != want {
				t.Errorf("arguments %q, want %q", args, want)
			}
			got, _ := os.ReadFile(dir + "/core")
			if tt.whole && !bytes.Equal(got, core) || len(got) == 0 {
				t.Errorf("%d bytes of core of %d", len(got), len(core))
			}
			log, _ := os.ReadFile(c.log)
			if n := strings.Count(string(log), "\n"); n != tt.log {
				t.Errorf("%d lines in the log: %s", n, log)
			}
			if len(tt.flags) > 0 {
				return
			}
			res.want(t, 0)
			report := bt(t, "crash", "show", "--dir", c.dir).want(t, 0).stdout
			if n := strings.Count(report, "\n# thread "); n != 3 || strings.Contains(report, "problem") {
				t.Errorf("%s", head(report))
			}
		})
	}
	// There must be a handler to chain to.
	top, prog := shortDir(t)
	procfs := filepath.Join(top, "proc")
	os.MkdirAll(filepath.Join(procfs, "sys/kernel"), 0o755)
	os.WriteFile(filepath.Join(procfs, "sys/kernel/core_pattern"), []byte("core\n"), 0o644)
	os.WriteFile(filepath.Join(procfs, "sys/kernel/core_pipe_limit"), []byte("0\n"), 0o644)
	cmd := btCmd(t, "crash", "install", "--chain", "--procfs", procfs, "--dir", filepath.Join(top, "d"))
	cmd.Path = prog
	run(t, cmd).wantRefusal(t, "--chain is for a handler")
}

// needFirstRoot skips t in a chroot or container: the kernel starts the program
// of core_pattern outside, where its path means another file or none.
func needFirstRoot(t testing.TB) {
	t.Helper()
	// The first PID namespace has this number (PROC_PID_INIT_INO, linux/proc_ns.h).
	// The root of a chroot is no mount point.
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err == nil && ns != "pid:[4026531836]" {
		t.Skip("the kernel starts crash handlers outside of this container")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			return
		}
	}
	t.Skip("the kernel starts crash handlers outside of this chroot")
}

// Installed for real, a hundred processes that crash at once have a report each.
func TestCrashInstalled(t *testing.T) {
	testenv.NeedRoot(t)
	needKernelCores(t)
	needFirstRoot(t)
	const pattern, limit = "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/core_pipe_limit"
	oldPattern, err := os.ReadFile(pattern)
	if err != nil {
		t.Skip(err)
	}
	oldLimit, err := os.ReadFile(limit)
	if err != nil {
		t.Skip(err)
	}
	// Ways to crash, and the frames of the thread that does. In brackets what only
	// libc's debug file names, where there is one.
	type way struct {
		argv []string
		died string
		top  []string
	}
	prog := build(t, "gcc", "crash.c", "-O1")
	null := way{[]string{prog, "null"}, "SIGSEGV (SEGV_MAPERR) at 0x10: a null pointer", []string{"read_null", "run", "main"}}
	ways := []way{
		{[]string{prog, "thread", "5"}, "SIGSEGV (SEGV_MAPERR) at 0x10: a null pointer", []string{"read_null", "crashing_thread", "[start_thread]"}},
		{[]string{prog, "abort"}, "SIGABRT (SI_TKILL): sent by the process itself", []string{"[__pthread_kill_implementation]", "raise", "abort", "aborts", "run", "main"}},
		{[]string{build(t, "go", "gonil.go"), "crash"}, "SIGABRT", []string{"runtime.raise.abi0"}},
	}
	if testenv.Can32() {
		ways = append(ways, way{[]string{build(t, "gcc", "crash.c", "-O1", "-m32"), "null"}, null.died, null.top})
	}
	top, installed := shortDir(t)
	dir := filepath.Join(top, "d")
	log := dir + ".log"
	if err := os.WriteFile(pattern, oldPattern, 0); err != nil {
		t.Skip(err) // a container
	}
	t.Cleanup(func() {
		os.WriteFile(pattern, oldPattern, 0)
		os.WriteFile(limit, oldLimit, 0)
	})
	// Other crashes on the machine can come in between.
	install := btCmd(t, "crash", "install", "--dir", dir, "--log", log, "--max-reports", "1000")
	install.Path = installed
	run(t, install).want(t, 0)
	var all sync.WaitGroup
	var cmds []*exec.Cmd
	many := 100
	if testing.Short() {
		many = 12
	}
	for len(ways) < many {
		ways = append(ways, null)
	}
	for i, way := range ways {
		cmd := exec.Command(way.argv[0], way.argv[1:]...)
		cmd.Dir = scratch
		cmd.Env = append(os.Environ(), "GOTRACEBACK=crash") // Go's way to ask for a core
		if i%2 == 1 {
			cmd.SysProcAttr = asNobody()
		}
		if err := cmd.Start(); err != nil {
			t.Error(err)
			break
		}
		cmds = append(cmds, cmd)
		all.Go(func() { cmd.Wait() })
	}
	all.Wait()
	bt(t, "crash", "uninstall").want(t, 0)
	for path, want := range map[string][]byte{pattern: oldPattern, limit: oldLimit} {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is %q, was %q", path, got, want)
		}
	}

	lines, _ := os.ReadFile(log)
	found, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
	reports := make(map[string]string) // by PID
	for _, path := range found {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		name := strings.TrimSuffix(path, ".txt")
		reports[name[strings.LastIndexByte(name, '-')+1:]] = string(data)
	}
	for i, cmd := range cmds {
		pid, way := itoa(cmd.ProcessState.Pid()), ways[i]
		report := reports[pid]
		for _, want := range []string{
			"# crash user " + []string{"0", "65534"}[i%2] + " ",
			"\n# killed by " + way.died,
			"# crash exe " + way.argv[0] + "\n",
		} {
			if !strings.Contains(report, want) {
				t.Fatalf("process %s: no %q in:\n%s\nlog:\n%s", pid, want, head(report), head(string(lines)))
			}
		}
		wantOtherReader(t, report, []int{0, 65534}[i%2])
		frames := `\n# thread \d+ "[^\n]*"`
		for _, name := range way.top {
			frame, optional := strings.CutPrefix(name, "[")
			frame = ` <` + regexp.QuoteMeta(strings.TrimSuffix(frame, "]")) + `\+0x[0-9a-f]+>`
			if optional {
				frame = `(` + frame + `)?`
			}
			// Where libc's debug file is installed there are lines and inlined calls.
			const place, inlined = `(?: \S+:\S+)?`, `(?:\n[0-9a-f]{8,16} <[^\n]* \(inlined\))*`
			frames += inlined + `\n[0-9a-f]{8,16}` + frame + place
		}
		// The first thread is the one that died.
		at := regexp.MustCompile(frames).FindStringIndex(report)
		if at == nil || at[0] != strings.Index(report, "\n# thread ") || strings.Contains(report, "problem") || strings.Contains(report, "incomplete") {
			t.Errorf("%q: want %q:\n%s", way.argv, way.top, head(report))
		}
		if !strings.Contains(string(lines), "["+pid+"] of user ") {
			t.Errorf("process %s is not in the log", pid)
		}
	}
}
