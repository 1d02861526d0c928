//go:build linux

package live_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

// attach has run called with p attached to, and fails the test if it cannot be.
func attach(t testing.TB, p *live.Process, o live.AttachOptions, run func(a *live.Attachment)) {
	t.Helper()
	o.Arches = all.Native()
	if err := p.Attach(o, run); err != nil {
		t.Fatal(err)
	}
}

// sampled takes a sample, of all threads at once or of each by itself; it is nil when execve has spoiled it, or the process has ended.
func sampled(t testing.TB, a *live.Attachment, mm *maps.Map) *live.Sample {
	t.Helper()
	s, err := a.Sample(mm, rand.IntN(2) == 0)
	if err != nil && !errors.Is(err, live.ErrRenewed) && a.Ended() == nil {
		t.Errorf("sample: %v", err)
	}
	if err != nil {
		return nil
	}
	return s
}

func wait(a *live.Attachment, d time.Duration) bool { return a.Wait(time.Now().Add(d)) }

func TestAttachedSignalsAreNotLost(t *testing.T) {
	n := unlessShort(20000, 1000)
	ch := mode(t, "signals", strconv.Itoa(n))
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	fmt.Fprintln(ch.in)
	done := make(chan string, 1)
	go func() { s, _ := ch.out.ReadString('\n'); done <- s }()
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		for samples := 0; ; samples++ {
			select {
			case s := <-done:
				if s != fmt.Sprintf("%d 0\n", n) {
					t.Errorf("%q: want %d signals, 0 of them out of order", s, n)
				}
				if samples < unlessShort(30, 3) {
					t.Errorf("only %d samples", samples)
				}
				return
			default:
			}
			if sampled(t, a, mm) == nil || !wait(a, time.Millisecond) {
				t.Error("the process has ended")
				return
			}
		}
	})
	untraced(t, ch.pid)
}

// sampleForever is the helper that TestAttachedKilled kills.
func sampleForever(args []string) {
	pid, _ := strconv.Atoi(args[0])
	p, err := live.Open(pid, "")
	if err != nil {
		panic(err)
	}
	b, err := p.Maps()
	if err != nil {
		panic(err)
	}
	mm, err := maps.Parse(b)
	if err != nil {
		panic(err)
	}
	walk := func(*process.Thread, unwind.Memory) { time.Sleep(20 * time.Microsecond) }
	panic(p.Attach(live.AttachOptions{Arches: all.Native(), Walk: walk}, func(a *live.Attachment) {
		fmt.Println("ready")
		for a.Ended() == nil {
			a.Sample(mm, rand.IntN(2) == 0)
			a.Wait(time.Now().Add(100 * time.Microsecond))
		}
	}))
}

// However bt ends, the target runs on, and has got every signal.
func TestAttachedKilled(t *testing.T) {
	rounds := unlessShort(200, 20)
	n := unlessShort(20000, 1000)
	ch := mode(t, "signals", strconv.Itoa(n))
	fmt.Fprintln(ch.in)
	other := mode(t, "work")
	for i := range rounds {
		victim := other.pid
		if i%2 == 0 {
			victim = ch.pid
		}
		cmd := helper("attached", strconv.Itoa(victim))
		start(t, cmd)
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		untraced(t, victim)
		for _, tid := range tasks(t, victim) {
			if s := state(tid); s == "t" || s == "T" {
				t.Fatalf("round %d: thread %d is in state %s", i, tid, s)
			}
		}
	}
	if got, want := ch.line(t), fmt.Sprintf("%d 0", n); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := syscall.Kill(other.pid, 0); err != nil {
		t.Error(err)
	}
}

func TestAttachedThreadsComeAndGo(t *testing.T) {
	ch := mode(t, "churn")
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	seen := make(map[int]bool)
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		for range unlessShort(400, 60) {
			s := sampled(t, a, mm)
			if s == nil || !wait(a, 500*time.Microsecond) {
				t.Fatal("the process has ended")
			}
			if len(s.Threads)+s.Lost < 2 {
				t.Fatalf("%d threads, and there are 3 at least", len(s.Threads))
			}
			for i := range s.Threads {
				seen[s.Threads[i].TID] = true
			}
		}
		if n := a.Threads(); n > 200 {
			t.Errorf("%d threads are traced: those that have ended are not forgotten", n)
		}
	})
	if len(seen) < unlessShort(20, 5) {
		t.Errorf("only %d threads were seen", len(seen))
	}
	untraced(t, ch.pid)
}

// A program that a thread other than the first executes anew, again and again, gets to
// its end.
func TestAttachedExec(t *testing.T) {
	ch := mode(t, "exec", strconv.Itoa(unlessShort(600, 200)), "first")
	p := open(t, ch.pid)
	done := make(chan string, 1)
	go func() { s, _ := ch.out.ReadString('\n'); done <- s }()
	execs := 0
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		for {
			select {
			case s := <-done:
				if s != "done\n" {
					t.Errorf("%q", s)
				}
				execs = a.Execs()
				return
			default:
			}
			sampled(t, a, maps.New(nil))
			if !wait(a, 300*time.Microsecond) {
				t.Error("the process has ended")
				return
			}
		}
	})
	if execs < 10 {
		t.Errorf("%d calls of execve were seen", execs)
	}
	if n := len(tasks(t, ch.pid)); n != 4 {
		t.Errorf("%d threads at the end", n)
	}
}

// Threads that sleep on are not stopped again, and their picture stays true.
func TestAttachedRest(t *testing.T) {
	const n = 30
	ch := start(t, exec.Command(build(t, "threads"), strconv.Itoa(n), "20"))
	until(t, "the reporting thread's end", func() bool { return len(tasks(t, ch.pid)) == n })
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		first := sampled(t, a, mm)
		if first.Stopped != n || len(first.Threads) != n {
			t.Errorf("the first sample stopped %d of %d threads", first.Stopped, len(first.Threads))
		}
		at := func(s *live.Sample) map[int]uint64 {
			out := make(map[int]uint64)
			for i := range s.Threads {
				out[s.Threads[i].TID], _ = s.Threads[i].Regs.Get(s.Threads[i].Arch.SP)
				if countSampled(s, i) == 0 {
					t.Errorf("thread %d: its stack has no mark", s.Threads[i].TID)
				}
			}
			return out
		}
		want := at(first)
		var last *live.Sample
		for range 50 {
			wait(a, 2*time.Millisecond)
			if last = sampled(t, a, mm); last.Stopped == 0 {
				break
			}
		}
		wait(a, 2*time.Millisecond)
		last = sampled(t, a, mm)
		if last.Stopped != 0 || last.Pause != 0 {
			t.Errorf("%d sleeping threads are stopped again and again", last.Stopped)
		}
		for tid, sp := range at(last) {
			if sp != want[tid] {
				t.Errorf("thread %d: the stack pointer is %x, it was %x", tid, sp, want[tid])
			}
		}
		for i := range last.Threads {
			if th := &last.Threads[i]; !th.Same || !th.Still {
				t.Errorf("thread %d: same %v, still %v", th.TID, th.Same, th.Still)
			}
		}
	})
}

// countSampled counts the marks on a thread's stack, see countMarks.
func countSampled(s *live.Sample, i int) (n int) {
	th := &s.Threads[i]
	sp, _ := th.Regs.Get(th.Arch.SP)
	m := s.Memory(i)
	for a := sp &^ 7; ; a += 8 {
		v, ok := m.Word(a, 8)
		if !ok {
			return n
		}
		if v == uint64(mark+th.TID) {
			n++
		}
	}
}

// What a stop interrupts sees that once, not with each sample.
func TestAttachedLeavesSleepersAlone(t *testing.T) {
	ch := mode(t, "epoll")
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	const samples = 60
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		for range samples {
			if s := sampled(t, a, mm); s == nil || len(s.Threads) != 1 {
				t.Fatal("no thread")
			}
			wait(a, 5*time.Millisecond)
		}
	})
	ch.in.Close()
	n, err := strconv.Atoi(ch.line(t))
	if err != nil || n > samples/4 {
		t.Errorf("epoll_wait was interrupted %d times in %d samples", n, samples)
	}
}

func TestAttachedStopped(t *testing.T) {
	ch := mode(t, "work")
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	all := func(want string) func() bool {
		return func() bool {
			for _, tid := range tasks(t, ch.pid) {
				if s := state(tid); want == "stopped" != (s == "T" || s == "t") {
					return false
				}
			}
			return true
		}
	}
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		sampling := func(what string, ok func() bool) {
			t.Helper()
			for range 2000 {
				sampled(t, a, mm)
				if !wait(a, 2*time.Millisecond) {
					t.Fatal("the process has ended")
				}
				if ok() {
					return
				}
			}
			t.Fatalf("not %s", what)
		}
		for range 5 {
			syscall.Kill(ch.pid, syscall.SIGSTOP)
			sampling("stopped", all("stopped"))
			for range 5 {
				if s := sampled(t, a, mm); len(s.Threads) != 7 {
					t.Errorf("%d threads while it is stopped", len(s.Threads))
				}
				wait(a, time.Millisecond)
				if !all("stopped")() {
					t.Fatal("a sample has continued it")
				}
			}
			syscall.Kill(ch.pid, syscall.SIGCONT)
			sampling("continued", all("running"))
		}
		syscall.Kill(ch.pid, syscall.SIGSTOP)
		sampling("stopped", all("stopped"))
	})
	until(t, "the stop after the attachment", func() bool { return state(ch.pid) == "T" })
	untraced(t, ch.pid)
	syscall.Kill(ch.pid, syscall.SIGCONT)
	until(t, "its end", func() bool { return state(ch.pid) != "T" })
}

func TestAttachedOnCPU(t *testing.T) {
	ch := mode(t, "work")
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	counts := make(map[int]int)
	attach(t, p, live.AttachOptions{OnCPU: true}, func(a *live.Attachment) {
		for range 100 {
			s := sampled(t, a, mm)
			if s == nil {
				t.Fatal("the process has ended")
			}
			for i := range s.Threads {
				counts[s.Threads[i].TID]++
			}
			wait(a, 2*time.Millisecond)
		}
	})
	// computing and sleeper by turns, behind the first thread
	for i, tid := range tasks(t, ch.pid) {
		computes := i%2 == 1
		if n := counts[tid]; computes && n < 20 || !computes && n > 5 {
			t.Errorf("thread %d, computing %v, was seen on a CPU %d times of 100", tid, computes, n)
		}
	}
}

func TestAttachedLeaderGone(t *testing.T) {
	ch := mode(t, "leader")
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		for range 20 {
			s := sampled(t, a, mm)
			if s == nil || len(s.Threads) != 1 || s.Threads[0].TID == ch.pid {
				t.Fatalf("%+v", s)
			}
			if !wait(a, time.Millisecond) {
				t.Fatal("ended")
			}
		}
	})
}

// A thread that cannot stop holds nobody, and stops later without being left so.
func TestAttachedVfork(t *testing.T) {
	ch := mode(t, "vfork", "thread")
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	until(t, "vfork", func() bool { return state(ch.pid) == "D" })
	attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
		stuck := 0
		for range 20 {
			s := sampled(t, a, mm)
			for i := range s.Threads {
				if s.Threads[i].TID == ch.pid && s.Threads[i].NotStopped != "" {
					stuck++
				}
			}
			wait(a, time.Millisecond)
		}
		if stuck < 18 {
			t.Errorf("it was not stopped in %d of 20 samples", stuck)
		}
		ch.in.Close()
		done := make(chan string, 1)
		go func() { s, _ := ch.out.ReadString('\n'); done <- s }()
		for {
			select {
			case s := <-done:
				if s != "done\n" {
					t.Errorf("%q", s)
				}
				return
			default:
				sampled(t, a, mm)
				wait(a, time.Millisecond)
			}
		}
	})
}

// The end of a process ends the attachment, and is told to its parent.
func TestAttachedEnds(t *testing.T) {
	for _, how := range []string{"exit", "kill"} {
		ch := mode(t, "end", "7")
		p := open(t, ch.pid)
		mm := readMaps(t, p)
		attach(t, p, live.AttachOptions{}, func(a *live.Attachment) {
			sampled(t, a, mm)
			if how == "exit" {
				ch.in.Close()
			} else {
				syscall.Kill(ch.pid, syscall.SIGKILL)
			}
			for end := time.Now().Add(10 * time.Second); a.Ended() == nil; {
				if sampled(t, a, mm); time.Now().After(end) {
					t.Fatal("its end is not seen")
				}
				wait(a, time.Millisecond)
			}
		})
		want := "exit status 7"
		if how == "kill" {
			want = "signal: killed"
		}
		if err := ch.cmd.Wait(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAttachRefused(t *testing.T) {
	ch := mode(t, "work")
	mode(t, "trace", strconv.Itoa(ch.pid))
	p := open(t, ch.pid)
	refused := 0
	err := p.Attach(live.AttachOptions{Arches: all.Native()}, func(a *live.Attachment) { refused = a.Refused() })
	// One thread alone is traced by the other program: the rest can be recorded.
	if err != nil {
		t.Errorf("%v", err)
	}
	if refused != 1 {
		t.Errorf("%d threads are told to be refused", refused)
	}
	one := mode(t, "epoll")
	mode(t, "trace", strconv.Itoa(one.pid))
	p = open(t, one.pid)
	err = p.Attach(live.AttachOptions{Arches: all.Native()}, func(a *live.Attachment) { t.Error("attached") })
	if !errors.Is(err, live.ErrTraced) {
		t.Errorf("%v", err)
	}
}
