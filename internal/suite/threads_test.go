//go:build linux

package suite

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// threadEnd is how a thread's stack must end: at clone, where it has a name.
func (th thread) wantThreadEnd(t *testing.T) {
	t.Helper()
	if n := len(th.frames); n == 0 {
		t.Errorf("thread %d has no frame", th.tid)
	} else if last := th.frames[n-1]; last.name != "" && !strings.Contains(last.name, "clone") {
		t.Errorf("thread %d ends at %s:\n%s", th.tid, last.name, th)
	}
}

func TestThousandThreads(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 50
	}
	p := start(t, build(t, "gcc", "threads.c", "-O1"), itoa(n), "16")
	ps := snapshot(t, p.pid)
	if len(ps.threads) != n+1 || ps.threads[0].tid != p.pid {
		t.Fatalf("%d threads, the first is %d; want %d and %d", len(ps.threads), ps.threads[0].tid, n+1, p.pid)
	}
	ps.main(t).wantChain(t, "libc main libc _start")
	seen := map[string]bool{}
	for _, th := range ps.threads[1:] {
		var i int
		if _, err := fmt.Sscanf(th.name, "worker %d", &i); err != nil || seen[th.name] {
			t.Fatalf("thread %d has the name %q", th.tid, th.name)
		}
		seen[th.name] = true
		th.wantChain(t, fmt.Sprintf("libc descend*%d worker libc", 16+i%9))
		th.wantThreadEnd(t)
		if t.Failed() {
			return
		}
	}
}

func TestMuslThreads(t *testing.T) {
	for _, flags := range [][]string{{"-O1"}, {"-O1", "-static"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			p := start(t, build(t, "musl-gcc", "threads.c", flags...), "5", "3")
			for _, th := range snapshot(t, p.pid).threads[1:] {
				var i int
				fmt.Sscanf(th.name, "worker %d", &i)
				th.wantChain(t, fmt.Sprintf("libc descend*%d worker libc", 3+i%9))
				th.wantThreadEnd(t)
			}
		})
	}
}

func TestChurn(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "churn.c", "-O1"), "16"))
	stacks, reasons := 0, map[string]int{}
	for range 20 {
		r := bt(t, "--pid", itoa(p.pid))
		ps := only(t, r, p.pid)
		cut := false
		for _, th := range ps.threads {
			stacks++
			switch {
			case th.end != "" || th.notStopped != "":
				reasons[th.end+th.notStopped]++
				cut = true
			case th.tid == p.pid:
				if last := th.frames[len(th.frames)-1]; last.name != "_start" {
					t.Errorf("the main thread ends at %q without a reason:\n%s", last.name, th)
				}
			default:
				th.wantThreadEnd(t)
			}
		}
		want := 0
		if cut {
			want = 3
		}
		r.want(t, want)
	}
	if len(reasons) > 0 {
		t.Errorf("of %d stacks are cut short: %v", stacks, reasons)
	}
}

func TestStoppedStaysStopped(t *testing.T) {
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "4", "3")
	inState := func(want byte) func() bool {
		return func() bool {
			for _, s := range taskStates(p.pid) {
				if s != want {
					return false
				}
			}
			return true
		}
	}
	syscall.Kill(p.pid, syscall.SIGSTOP)
	waitFor(t, "the stop", inState('T'))
	for range 3 {
		ps := snapshot(t, p.pid)
		ps.main(t).wantChain(t, "libc main libc _start")
		// After the detach the state may read R for some 100 ms.
		waitFor(t, "state T after bt", inState('T'))
	}
	syscall.Kill(p.pid, syscall.SIGCONT)
	waitFor(t, "SIGCONT to work", inState('S'))
}

func TestZombieLeader(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "threads.c", "-O1"), "4", "3", "exit"))
	waitFor(t, "the leader to end", func() bool { return taskStates(p.pid)[p.pid] == 'Z' })
	ps := only(t, bt(t, "--pid", itoa(p.pid)).want(t, 3), p.pid)
	alive := 0
	for _, th := range ps.threads {
		if th.tid == p.pid {
			if len(th.frames) > 0 {
				t.Errorf("frames of a zombie:\n%s", th)
			}
			continue
		}
		alive++
		var i int
		fmt.Sscanf(th.name, "worker %d", &i)
		th.wantChain(t, fmt.Sprintf("libc descend*%d worker libc", 3+i%9))
	}
	if alive != 4 {
		t.Errorf("%d threads, want 4", alive)
	}
}

// A parent in vfork cannot be stopped; its child has replaced nothing yet.
func TestVfork(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "vfork.c", "-O2", "-fomit-frame-pointer")))
	waitFor(t, "vfork", func() bool { return taskStates(p.pid)[p.pid] == 'D' })
	ps := only(t, bt(t, "--pid", itoa(p.pid)).want(t, 3), p.pid)
	th := ps.main(t)
	if th.notStopped == "" {
		t.Errorf("no word that the thread was not stopped:\n%s", th)
	}
	if runtime.GOARCH == "amd64" {
		th.wantChain(t, "libc forks main libc _start")
	} else if !strings.HasSuffix(th.end, " is not known") || len(th.frames) != 1 || !th.frames[0].is("libc") {
		// Where vfork returns to is in a register, which procfs does not tell.
		t.Errorf("the parent:\n%s", th)
	}
	if len(ps.threads) != 2 {
		t.Fatalf("%d threads, want 2", len(ps.threads))
	}
	if w := ps.threads[1]; w.notStopped != "" {
		t.Errorf("the worker was not stopped: %s", w.notStopped)
	} else {
		w.wantChain(t, "libc worker libc")
	}
	// The child can be looked at, too.
	kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.pid, p.pid))
	if err != nil {
		t.Skip(err)
	}
	var child int
	fmt.Sscan(string(kids), &child)
	snapshot(t, child).main(t).wantChain(t, "libc forks main libc _start")
}
