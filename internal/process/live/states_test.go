//go:build linux

package live_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/maps"
)

func mode(t testing.TB, args ...string) *child {
	t.Helper()
	return start(t, exec.Command(build(t, "modes"), args...))
}

func TestThreadsComeAndGo(t *testing.T) {
	ch := mode(t, "churn")
	p := open(t, ch.pid)
	most := 0
	for range unlessShort(200, 50) {
		s := snapshot(t, p, live.Options{})
		if s.Threads[0].TID != ch.pid {
			t.Fatalf("the first thread is %d", s.Threads[0].TID)
		}
		for _, th := range s.Threads {
			if !th.HasRegs || th.NotStopped != "" {
				t.Fatalf("thread %d of %d: %+v", th.TID, len(s.Threads), th.Thread)
			}
		}
		most = max(most, len(s.Threads))
	}
	if most < 3 {
		t.Errorf("no more than %d threads were ever seen", most)
	}
	// A thread that ended while it was traced must not stay as a zombie.
	until(t, "no zombies", func() bool {
		for _, tid := range tasks(t, ch.pid) {
			if state(tid) == "Z" {
				return false
			}
		}
		return true
	})
	untraced(t, ch.pid)
}

func TestStoppedStaysStopped(t *testing.T) {
	ch := mode(t, "work")
	p := open(t, ch.pid)
	syscall.Kill(ch.pid, syscall.SIGSTOP)
	stopped := func() bool {
		for _, tid := range tasks(t, ch.pid) {
			if state(tid) != "T" {
				return false
			}
		}
		return true
	}
	until(t, "stopped", stopped)
	for range 5 {
		s := snapshot(t, p, live.Options{})
		for _, th := range s.Threads {
			if th.NotStopped != "" || !th.HasRegs {
				t.Errorf("%+v", th.Thread)
			}
		}
		until(t, "stopped again", stopped)
		untraced(t, ch.pid)
	}
	syscall.Kill(ch.pid, syscall.SIGCONT)
	until(t, "running again", func() bool { return state(ch.pid) == "S" })
	snapshot(t, p, live.Options{})
	until(t, "running still", func() bool { return state(ch.pid) == "S" })
}

func TestVforkParent(t *testing.T) {
	for _, args := range [][]string{{"vfork"}, {"vfork", "thread"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			ch := mode(t, args...)
			until(t, "the child", func() bool { return state(ch.pid) == "D" })
			p := open(t, ch.pid)
			for range 3 {
				mm := readMaps(t, p)
				s := snapshot(t, p, live.Options{})
				if len(s.Threads) != len(args) {
					t.Fatalf("%d threads", len(s.Threads))
				}
				th := &s.Threads[0]
				if th.NotStopped != "waiting in vfork" || !th.HasRegs {
					t.Fatalf("%+v", th.Thread)
				}
				pc, _ := th.Regs.Get(th.Arch.PC)
				sp, _ := th.Regs.Get(th.Arch.SP)
				if m := mm.Find(pc); m == nil || m.Perm&maps.Exec == 0 {
					t.Errorf("pc 0x%x is not in code", pc)
				}
				if m := mm.Find(sp); m == nil || m.Path != "[stack]" || th.TopOfStack != m.End || !th.Complete {
					t.Errorf("sp 0x%x, stack copied up to 0x%x, complete %v", sp, th.TopOfStack, th.Complete)
				}
				if len(args) > 1 && (s.Threads[1].NotStopped != "" || !s.Threads[1].HasRegs) {
					t.Errorf("%+v", s.Threads[1].Thread)
				}
				untraced(t, ch.pid)
			}
			// It goes on when its child ends, into no trap of ours.
			ch.in.Close()
			if got := ch.line(t); got != "done" {
				t.Errorf("%q", got)
			}
			snapshot(t, p, live.Options{})
		})
	}
}

func TestLeaderGone(t *testing.T) {
	ch := mode(t, "leader")
	p := open(t, ch.pid)
	if !p.LeaderGone() {
		t.Fatal("the leader has exited")
	}
	if got := p.Comm(); got != "modes" {
		t.Errorf("Comm %q", got)
	}
	if got := p.Cmdline(); len(got) != 2 || got[1] != "leader" {
		t.Errorf("Cmdline %q", got)
	}
	mm := readMaps(t, p)
	s := snapshot(t, p, live.Options{MapsInStop: true})
	if len(s.Threads) != 1 || s.Threads[0].TID == ch.pid || !s.Threads[0].HasRegs || !s.Threads[0].Complete {
		t.Fatalf("%+v", s)
	}
	if len(s.Maps) == 0 {
		t.Error("no maps")
	}
	opened := 0
	for i := range mm.Entries {
		m := &mm.Entries[i]
		if m.IsFile() {
			f, via, same, err := p.OpenMapping(m)
			if err != nil || !same {
				t.Errorf("%s: %v, same %v", m.Path, err, same)
				continue
			}
			if os.Geteuid() == 0 && via != "map_files" {
				t.Errorf("%s: via %s", m.Path, via)
			}
			f.Close()
			opened++
		}
	}
	if opened == 0 {
		t.Error("no file opened")
	}
	sp, _ := s.Threads[0].Regs.Get(s.Threads[0].Arch.SP)
	b := make([]byte, 64)
	if n, err := p.ReadMemory(sp, b); n != len(b) || err != nil {
		t.Errorf("ReadMemory: %d, %v", n, err)
	}
	untraced(t, s.Threads[0].TID)
	// The parent, this test, still gets the exit status.
	syscall.Kill(ch.pid, syscall.SIGTERM)
	err := ch.cmd.Wait()
	var ee *exec.ExitError
	if !errors.As(err, &ee) || ee.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("exit: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	z := mode(t, "zombie")
	zombie, _ := strconv.Atoi(z.line(t))
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pid  int
		kind error
		text string
	}{
		{zombie, live.ErrZombie, fmt.Sprintf("process %d (modes) is a zombie: it has ended, and its parent (pid %d) has not yet waited for it", zombie, z.pid)},
		{os.Getpid(), live.ErrSelf, fmt.Sprintf("process %d is bt itself: name another one", os.Getpid())},
		{ended.Process.Pid, live.ErrNoProcess, fmt.Sprintf("process %d: no such process", ended.Process.Pid)},
		{0, live.ErrNoProcess, "process 0: no such process"},
		{-5, live.ErrNoProcess, "process -5: no such process"},
		{1 << 40, live.ErrNoProcess, "process 1099511627776: no such process"},
	} {
		p, err := live.Open(c.pid, "")
		if err == nil {
			p.Close()
		}
		if !errors.Is(err, c.kind) || err.Error() != c.text {
			t.Errorf("Open(%d) = %v, want %s", c.pid, err, c.text)
		}
	}
	if comm, _ := os.ReadFile("/proc/2/comm"); string(comm) == "kthreadd\n" {
		_, err := live.Open(2, "")
		if !errors.Is(err, live.ErrKernelThread) || !strings.HasPrefix(err.Error(), "2 (kthreadd) is a kernel thread") {
			t.Errorf("Open(2) = %v", err)
		}
	}
	_, err := live.Open(1, t.TempDir())
	if !errors.Is(err, live.ErrNoProcess) || !strings.Contains(err.Error(), "is no procfs") {
		t.Errorf("Open with an empty procfs = %v", err)
	}
}

func TestAlreadyTraced(t *testing.T) {
	ch := mode(t, "work")
	tracer := mode(t, "trace", strconv.Itoa(ch.pid))
	p := open(t, ch.pid)
	// The tracer has only the first thread: the others can be stopped.
	s := snapshot(t, p, live.Options{})
	if want := fmt.Sprintf("already traced by pid %d", tracer.pid); s.Threads[0].NotStopped != want || len(s.Threads) != 7 {
		t.Errorf("%d threads, %q, want %q", len(s.Threads), s.Threads[0].NotStopped, want)
	}
	for _, th := range s.Threads[1:] {
		if th.NotStopped != "" {
			t.Errorf("thread %d: %s", th.TID, th.NotStopped)
		}
	}

	single := start(t, exec.Command(build(t, "threads"), "1", "1"))
	until(t, "one thread", func() bool { return len(tasks(t, single.pid)) == 1 })
	tracer = mode(t, "trace", strconv.Itoa(single.pid))
	p = open(t, single.pid)
	_, err := p.Snapshot(readMaps(t, p), live.Options{Arches: all.Native()})
	want := fmt.Sprintf("process %d is already traced by modes (pid %d): detach that first", single.pid, tracer.pid)
	if !errors.Is(err, live.ErrTraced) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// openAndReport is the helper that looks at the process args[0] and prints the
// error, for a test to run as another user.
func openAndReport(args []string) {
	pid, _ := strconv.Atoi(args[0])
	p, err := live.Open(pid, "")
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	fmt.Println("comm:", p.Comm())
	if _, err := p.Maps(); err != nil {
		fmt.Println("maps:", errors.Is(err, live.ErrPermission), err)
	}
	if _, err := p.ReadMemory(0x1000, make([]byte, 8)); err != nil {
		fmt.Println("memory:", errors.Is(err, live.ErrPermission), err)
	}
	mm, _ := maps.Parse(nil)
	if s, err := p.Snapshot(mm, live.Options{Arches: all.Native()}); err != nil {
		fmt.Println("ptrace:", errors.Is(err, live.ErrPermission), err)
	} else {
		fmt.Println("threads:", len(s.Threads))
	}
}

func TestOtherUser(t *testing.T) {
	testenv.NeedRoot(t)
	os.Chmod(binDir, 0o755)
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	look := func(pid int) string {
		cmd := helper("open", strconv.Itoa(pid))
		cmd.SysProcAttr = nobody
		cmd.Path = copySelf(t)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	scope, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	ch := mode(t, "work")
	const remedy = "not permitted: run as the same user (uid 0), or as root\n"
	want := fmt.Sprintf("comm: modes\nmaps: true reading the maps of %[1]d %[2]smemory: true reading the memory of %[1]d %[2]sptrace: true ptrace of %[1]d %[2]s", ch.pid, remedy)
	if got := look(ch.pid); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	cmd := exec.Command(build(t, "modes"), "quiet")
	cmd.SysProcAttr = nobody
	ch = start(t, cmd)
	if got := look(ch.pid); !strings.Contains(got, "run as root") || len(scope) == 0 && !strings.Contains(got, "not dumpable") {
		t.Errorf("not dumpable:\n%s", got)
	}
	p := open(t, ch.pid) // root may
	if s := snapshot(t, p, live.Options{}); len(s.Threads) != 1 {
		t.Errorf("%d threads", len(s.Threads))
	}
}

// copySelf copies the test binary to where every user can run it.
func copySelf(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := binDir + "/self"
	if err := os.WriteFile(path, b, 0o755); err != nil && !errors.Is(err, syscall.ETXTBSY) {
		t.Fatal(err)
	}
	return path
}

// Processes that end while they are looked at give an error, not a hang, and
// their parent the exit status.
func TestExiting(t *testing.T) {
	bin := build(t, "threads")
	for i := range unlessShort(40, 10) {
		cmd := exec.Command(bin, "8", "2")
		ch := start(t, cmd)
		p := open(t, ch.pid)
		mm := readMaps(t, p)
		go func() {
			time.Sleep(time.Duration(i*20) * time.Microsecond)
			cmd.Process.Signal(syscall.SIGTERM)
		}()
		for {
			s, err := p.Snapshot(mm, live.Options{Arches: all.Native()})
			if err != nil {
				if !errors.Is(err, live.ErrExited) {
					t.Fatal(err)
				}
				break
			}
			_ = s
		}
		err := cmd.Wait()
		var ee *exec.ExitError
		if !errors.As(err, &ee) || ee.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Fatalf("exit: %v", err)
		}
		if _, err := p.Maps(); !errors.Is(err, live.ErrExited) {
			t.Fatalf("Maps of an ended process: %v", err)
		}
		if _, err := p.ReadMemory(0x1000, make([]byte, 8)); !errors.Is(err, live.ErrExited) {
			t.Fatalf("ReadMemory of an ended process: %v", err)
		}
	}
}

// A thread that calls execve takes the leader's number over.
func TestExec(t *testing.T) {
	ch := mode(t, "exec", strconv.Itoa(unlessShort(300, 50)), "first")
	p := open(t, ch.pid)
	done := make(chan string, 1)
	go func() { s, _ := ch.out.ReadString('\n'); done <- s }()
	n := 0
	for looking := true; looking; n++ {
		select {
		case s := <-done:
			if s != "done\n" {
				t.Fatalf("%q", s)
			}
			looking = false
		default:
		}
		b, err := p.Maps()
		if errors.Is(err, live.ErrExited) {
			continue // between two address spaces
		}
		mm, err := maps.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Snapshot(mm, live.Options{Arches: all.Native()})
		if err != nil {
			t.Fatalf("snapshot %d: %v", n, err)
		}
		// Caught in the middle, the leader has ended and its successor does
		// not stop.
		if th := s.Threads[0]; th.TID != ch.pid && th.NotStopped != "state D" {
			t.Fatalf("snapshot %d: the first thread is %+v, want %d", n, th.Thread, ch.pid)
		}
	}
	t.Logf("%d snapshots", n)
	untraced(t, ch.pid)
}

// In a PID namespace of its own, with the procfs of the outer one, bt's
// numbers and those of procfs mean different processes.
func TestForeignProcfs(t *testing.T) {
	testenv.NeedRoot(t)
	ch := mode(t, "work")
	cmd := helper("open", strconv.Itoa(ch.pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(out); !strings.HasPrefix(got, "comm: modes\n") || strings.Contains(got, "maps:") ||
		!strings.Contains(got, "ptrace: false process "+strconv.Itoa(ch.pid)+": /proc shows another PID namespace") {
		t.Errorf("%s", got)
	}
}
