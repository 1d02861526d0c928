//go:build linux

package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

var waitLines = regexp.MustCompile(`(?m)^# thread \d+ "(.*)"\n(?:# not stopped.*\n)?# waits in (.*)$`)

// waitsOf are the lines of what threads wait for, by the names of the threads.
func waitsOf(report string) map[string]string {
	got := make(map[string]string)
	for _, m := range waitLines.FindAllStringSubmatch(report, -1) {
		got[m[1]] = m[2]
	}
	return got
}

// said reads the lines that the program waits.c prints before it is ready: what is to
// be told of each thread, and the deadlock.
func (p *proc) said(t *testing.T) (want map[string]string, deadlock string) {
	t.Helper()
	want = make(map[string]string)
	for {
		line := p.line(t, "")
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "want":
			name, text, _ := strings.Cut(rest, " ")
			want[name] = text
		case "deadlock":
			deadlock = rest
		case "ready":
			return want, deadlock
		}
	}
}

// TestWaits compares what bt tells of threads in each object of a C library with what
// the program itself knows.
func TestWaits(t *testing.T) {
	for _, tt := range []struct{ name, cc, flags, arg string }{
		{"glibc", "gcc", "-O1", ""},
		{"glibc without names", "gcc", "-O2 -s", ""},
		{"through the GOT", "gcc", "-O2 -fno-plt", ""},
		{"static", "gcc", "-O1 -static", "static"},
		{"32-bit", "gcc", "-O1 -m32", ""},
		{"musl", "musl-gcc", "-O1", ""},
		{"static musl", "musl-gcc", "-O1 -static", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(build(t, tt.cc, "waits.c", strings.Fields(tt.flags)...), tt.arg)
			p := startProgram(t, cmd)
			want, deadlock := p.said(t)
			p.settle(t)
			r := bt(t, "--waits", "--pid", itoa(p.pid)).want(t, 0)
			compareWaits(t, r.stdout, want, deadlock)
			// Once more: the calls were interrupted by then.
			r = bt(t, "--waits", "--pid", itoa(p.pid)).want(t, 0)
			compareWaits(t, r.stdout, want, deadlock)
		})
	}
}

func compareWaits(t *testing.T, report string, want map[string]string, deadlock string) {
	t.Helper()
	got := waitsOf(report)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s waits in %q, want %q", name, got[name], text)
		}
	}
	if text := got["timed"]; !strings.Contains(text, "futex for mutex 0x") || !strings.HasSuffix(text, " left") && !strings.Contains(text, ", for at most ") {
		t.Errorf("timed waits in %q", text)
	}
	line := ""
	if deadlock != "" {
		line = "# deadlock: " + deadlock
	}
	if d := regexp.MustCompile(`(?m)^# deadlock: .*$`).FindAllString(report, -1); len(d) > 1 || strings.Join(d, "") != line {
		t.Errorf("%q, want %q", d, line)
	}
}

// TestWaitsCore finds the owners in a core as well: there is nothing else to look at.
func TestWaitsCore(t *testing.T) {
	gcore := testenv.Need(t, "gcore", "gdb")
	cmd := exec.Command(build(t, "gcc", "waits.c", "-O1"))
	p := startProgram(t, cmd)
	want, deadlock := p.said(t)
	p.settle(t)
	file := filepath.Join(tempDir(t), "core")
	if out, err := exec.Command(gcore, "-o", file, itoa(p.pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := bt(t, "--waits", "--core", fmt.Sprintf("%s.%d", file, p.pid))
	report := r.stdout
	got := waitsOf(report)
	for name, text := range want {
		// gdb knows the names of threads, and does not write them down.
		text = regexp.MustCompile(` "\w+"`).ReplaceAllString(text, "")
		if name != "waits" && !strings.Contains(report, "# waits in "+text) {
			t.Errorf("%s: no line %q", name, text)
		}
	}
	if !strings.Contains(report, "# deadlock: "+deadlock) {
		t.Errorf("no deadlock %q", deadlock)
	}
	if t.Failed() {
		t.Logf("%v\n%s", got, report)
	}
}

// TestWaitsForFiles is about what is no object in memory: the other end of a pipe, a
// child, a lock that was inherited, a deadlock between processes.
func TestWaitsForFiles(t *testing.T) {
	python := testenv.Need(t, "python3", "python3")
	p := startProgram(t, exec.Command(python, "-c", `
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import os\nwhile True: os.write(1, b'x' * 65536)"], stdout=subprocess.PIPE)
print("child", child.pid)
print("ready", flush=True)
child.wait()`))
	var child int
	fmt.Sscanf(p.line(t, "child"), "child %d", &child)
	p.line(t, "ready")
	p.settle(t)
	waitFor(t, "the child to fill the pipe", func() bool { return taskStates(child)[child] == 'S' })
	r := bt(t, "--waits", "--pid", itoa(p.pid)+","+itoa(child)).want(t, 0)
	for _, text := range []string{
		fmt.Sprintf("# waits in wait4 for process %d \"python3", child),
		"# waits in write of fd 1: pipe:[",
		fmt.Sprintf("], read by process %d \"python3", p.pid),
		fmt.Sprintf("# deadlock: %d waits for %d (pipe:[", child, p.pid),
	} {
		if !strings.Contains(r.stdout, text) {
			t.Errorf("no line %q", text)
		}
	}

	dir := tempDir(t)
	flock := testenv.Need(t, "flock", "util-linux")
	cmd := exec.Command("sh", "-c", `exec 9>lock; "$0" 9; echo ready; read x`, flock)
	cmd.Dir = dir
	holder := startCmd(t, cmd)
	cmd = exec.Command("sh", "-c", `echo ready; exec "$0" lock true`, flock)
	cmd.Dir = dir
	waiter := startCmd(t, cmd)
	waitFor(t, "flock to wait", func() bool { return strings.Contains(bt(t, "--waits", "--pid", itoa(waiter.pid)).stdout, "flock for") })
	line := bt(t, "--waits", "--pid", itoa(waiter.pid)).want(t, 0).stdout
	if !strings.Contains(line, "/lock, held by process "+itoa(holder.pid)+" \"sh\" (fd 9)\n") {
		t.Errorf("the holder is missing, process %d:\n%s", holder.pid, line)
	}
	if t.Failed() {
		t.Log(r.stdout)
	}
}

// TestWaitsForSockets is about who holds the other end of a connection.
func TestWaitsForSockets(t *testing.T) {
	python := testenv.Need(t, "python3", "python3")
	p := startProgram(t, exec.Command(python, "-c", `
import socket, subprocess, sys, threading
here, there = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
child = subprocess.Popen([sys.executable, "-c", """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
time.sleep(1000)""", str(listener.getsockname()[1])], pass_fds=[there.fileno()])
conn, peer = listener.accept()
print("child", child.pid, here.fileno(), there.fileno(), conn.fileno(), conn.getsockname()[1], peer[1], flush=True)
there.close()
threading.Thread(target=here.recv, args=(1,)).start()
try: conn.recv(1)
finally: child.kill()`))
	t.Cleanup(func() { p.cmd.Process.Signal(syscall.SIGINT); p.cmd.Wait() })
	var child, here, there, conn, port, peer int
	fmt.Sscanf(p.line(t, "child"), "child %d %d %d %d %d %d", &child, &here, &there, &conn, &port, &peer)
	p.settle(t)
	r := bt(t, "--waits", "--pid", itoa(p.pid)).want(t, 0)
	for _, want := range []string{
		fmt.Sprintf(`of fd %d: socket:\[\d+\] \(TCP 127\.0\.0\.1:%d to 127\.0\.0\.1:%d, ESTABLISHED\), connected to process %d "python3[^"]*" \(fd \d+\)\n`, conn, port, peer, child),
		fmt.Sprintf(`of fd %d: socket:\[\d+\] \(unix stream\), connected to process %d "python3[^"]*" \(fd %d\)\n`, here, child, there),
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("no line %s\n%s", want, r.stdout)
		}
	}
}

// TestWaitsForLocks is about the locks that fcntl takes, of processes and of open files,
// and about leases.
func TestWaitsForLocks(t *testing.T) {
	python := testenv.Need(t, "python3", "python3")
	const common = `
import fcntl, os, struct, sys, time
F_OFD_SETLK, F_OFD_SETLKW = 37, 38
fd = os.open("file", os.O_RDWR | os.O_CREAT)
whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
`
	for _, tt := range []struct{ name, take, wait, want string }{
		{"POSIX", "fcntl.lockf(fd, fcntl.LOCK_EX)", "fcntl.lockf(fd, fcntl.LOCK_EX)", "fcntl for the write lock on fd FD: %s, held by process %d \"python3\"\n"},
		{"OFD", "fcntl.fcntl(fd, F_OFD_SETLK, whole)", "fcntl.fcntl(fd, F_OFD_SETLKW, whole)", "fcntl for the write lock on fd FD: %s, held by process %d \"python3\" (fd FD)\n"},
		{"flock", "fcntl.flock(fd, fcntl.LOCK_SH)", "fcntl.flock(fd, fcntl.LOCK_EX)", "flock for the exclusive lock on fd FD: %s, held by process %d \"python3\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tempDir(t)
			run := func(script string) *proc {
				cmd := exec.Command(python, "-c", common+script)
				cmd.Args[0] = "python3"
				cmd.Dir = dir
				p := startProgram(t, cmd)
				p.line(t, "ready")
				return p
			}
			holder := run(tt.take + "\nprint('ready', flush=True)\ntime.sleep(1000)")
			waiter := run("print('ready', flush=True)\n" + tt.wait)
			waiter.settle(t)
			r := bt(t, "--waits", "--pid", itoa(waiter.pid)).want(t, 0)
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", holder.pid))
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(tt.want, dir+"/file", holder.pid)
			want = strings.ReplaceAll(want, "\"python3\"", fmt.Sprintf("%q", strings.TrimSpace(string(comm))))
			if !strings.Contains(regexp.MustCompile(`fd \d+`).ReplaceAllString(r.stdout, "fd FD"), "# waits in "+want) {
				t.Errorf("no line %s\n%s", want, r.stdout)
			}
		})
	}
}

// TestStoppedProcesses says what keeps a process that a signal or a debugger has stopped.
func TestStoppedProcesses(t *testing.T) {
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "2")
	if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the stop", func() bool { return taskStates(p.pid)[p.pid] == 'T' })
	r := bt(t, "--waits", "--pid", itoa(p.pid)).want(t, 0)
	if n := strings.Count(r.stdout, "# waits in a stop by SIGSTOP or the like"); n != 3 {
		t.Errorf("%d threads stand still\n%s", n, r.stdout)
	}
	waitFor(t, "the stop to go on", func() bool { return taskStates(p.pid)[p.pid] == 'T' })
}

// TestWaitsLibcs does what TestWaits does with the C libraries of other Debian releases,
// where scripts/libcs.sh has unpacked these into $BT_LIBCS.
func TestWaitsLibcs(t *testing.T) {
	dir := os.Getenv("BT_LIBCS")
	if dir == "" {
		t.Skip("BT_LIBCS names no directory that scripts/libcs.sh has filled")
	}
	loaders, _ := filepath.Glob(filepath.Join(dir, "*/*lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
	merged, _ := filepath.Glob(filepath.Join(dir, "*/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
	if loaders = append(loaders, merged...); len(loaders) == 0 {
		t.Fatalf("there is no C library in %s", dir)
	}
	for _, loader := range loaders {
		lib := filepath.Dir(loader)
		release, _ := filepath.Rel(dir, lib)
		release, _, _ = strings.Cut(release, "/")
		t.Run(release, func(t *testing.T) {
			args := []string{"-O1", "-nodefaultlibs", "-Wl,--dynamic-linker=" + loader, "-Wl,-rpath=" + lib}
			prog := filepath.Join(tempDir(t), "waits-"+release)
			args = append(args, "../../testdata/progs/waits.c", filepath.Join(lib, "libpthread.so.0"), filepath.Join(lib, "libc.so.6"), "-lgcc")
			testenv.Compile(t, prog, "gcc", args...)
			p := startProgram(t, exec.Command(prog))
			want, deadlock := p.said(t)
			p.settle(t)
			for range 2 {
				r := bt(t, "--waits", "--pid", itoa(p.pid)).want(t, 0)
				compareWaits(t, r.stdout, want, deadlock)
			}
		})
	}
}

// TestKernelRefused asks for the kernel's stacks as a user who may not see them.
func TestKernelRefused(t *testing.T) {
	testenv.NeedRoot(t)
	cmd := command(build(t, "gcc", "threads.c", "-O1"), "2")
	cmd.SysProcAttr = asNobody()
	p := startCmd(t, cmd)
	p.settle(t)
	cmd = btCmd(t, "--kernel", "--pid", itoa(p.pid))
	cmd.SysProcAttr = asNobody()
	r := run(t, cmd).want(t, 3)
	if !regexp.MustCompile(`(?m)^# kernel stacks: /proc/\d+/task/\d+/stack: .*: run as root; wchan tells where threads sleep$`).MatchString(r.stdout) {
		t.Errorf("no reason:\n%s", r.stdout)
	}
	r = bt(t, "--kernel", "--pid", itoa(p.pid)).want(t, 0)
	if n := strings.Count(r.stdout, "\n# kernel: "); n < 3 {
		t.Errorf("root sees %d lines of the kernel:\n%s", n, r.stdout)
	}
}

// TestFrozen is about a process in a cgroup that is frozen.
func TestFrozen(t *testing.T) {
	testenv.NeedRoot(t)
	mounts, _ := os.ReadFile("/proc/self/mounts")
	m := regexp.MustCompile(`(?m)^\S+ (\S+) cgroup2 rw`).FindSubmatch(mounts)
	if m == nil {
		t.Skip("no cgroup2 file system is mounted for writing")
	}
	group := filepath.Join(string(m[1]), fmt.Sprintf("bt-test-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("no cgroup can be made: %v", err)
	}
	t.Cleanup(func() { os.Remove(group) })
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "2")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(group, name), []byte(text), 0); err != nil {
			t.Skipf("the cgroup is not to be used: %v", err)
		}
	}
	write("cgroup.procs", itoa(p.pid))
	t.Cleanup(func() {
		write("cgroup.freeze", "0")
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	write("cgroup.freeze", "1")
	waitFor(t, "the cgroup to freeze", func() bool {
		b, _ := os.ReadFile(filepath.Join(group, "cgroup.events"))
		return strings.Contains(string(b), "frozen 1")
	})
	r := bt(t, "--waits", "--pid", itoa(p.pid))
	if n := strings.Count(r.stdout, "# waits in a frozen cgroup"); n != 3 {
		t.Errorf("%d threads are frozen\n%s%s", n, r.stdout, r.stderr)
	}
}

// TestUninterruptible is about a thread in state D, which no tracer stops: a parent in vfork.
func TestUninterruptible(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "vfork.c", "-O2", "-fomit-frame-pointer")))
	waitFor(t, "vfork", func() bool { return taskStates(p.pid)[p.pid] == 'D' })
	r := bt(t, "--waits", "--pid", itoa(p.pid)).want(t, 3)
	if !strings.Contains(r.stdout, "\n# waits in uninterruptible sleep") {
		t.Errorf("the parent's wait is missing:\n%s", r.stdout)
	}
	if os.Geteuid() == 0 && !strings.Contains(r.stdout, "\n# kernel: ") {
		t.Errorf("the kernel's stack is missing:\n%s", r.stdout)
	}
}

// Two processes that wait for each other by turns are not deadlocked: each is stopped at
// a moment of its own.
func TestWaitsByTurns(t *testing.T) {
	prog := build(t, "gcc", "pingpong.c", "-O1")
	for _, us := range []string{"5000", "20000"} {
		cmd := exec.Command(prog, us)
		p := startProgram(t, cmd)
		child := p.line(t, "")
		p.line(t, "ready")
		for range 20 {
			r := bt(t, "--waits", "--pid", itoa(p.pid)+","+child)
			if strings.Contains(r.stdout, "# deadlock") {
				t.Fatalf("after %s µs:\n%s", us, r.stdout)
			}
		}
	}
}
