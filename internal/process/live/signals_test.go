//go:build linux

package live_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
)

func TestSignalsAreNotLost(t *testing.T) {
	n := unlessShort(20000, 2000)
	ch := mode(t, "signals", strconv.Itoa(n))
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	fmt.Fprintln(ch.in)
	done := make(chan string, 1)
	go func() { s, _ := ch.out.ReadString('\n'); done <- s }()
	for snaps := 0; ; snaps++ {
		select {
		case s := <-done:
			if s != fmt.Sprintf("%d 0\n", n) {
				t.Errorf("%q: want %d signals, 0 of them out of order", s, n)
			}
			if snaps < unlessShort(30, 3) {
				t.Errorf("only %d snapshots", snaps)
			}
			t.Logf("%d snapshots", snaps)
			return
		default:
		}
		if _, err := p.Snapshot(mm, live.Options{Arches: all.Native()}); err != nil {
			t.Fatal(err)
		}
	}
}

// What collects the dead while a seizing takes long must not take the stops of
// the living, and the signals that they stopped for, with them.
func TestCollectingTakesNoStops(t *testing.T) {
	ch := mode(t, "work")
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	var done atomic.Bool
	var collectors sync.WaitGroup
	for range 4 {
		collectors.Go(func() { p.Collect(&done) })
	}
	defer collectors.Wait()
	defer done.Store(true)
	for range unlessShort(300, 50) {
		s, err := p.Snapshot(mm, live.Options{Arches: all.Native()})
		if err != nil {
			t.Fatal(err)
		}
		for _, th := range s.Threads {
			if th.NotStopped != "" {
				t.Fatalf("thread %d: %s", th.TID, th.NotStopped)
			}
		}
	}
}

// snapshotForever is the helper that TestKilled kills.
func snapshotForever(args []string) {
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
	fmt.Println("ready")
	for {
		// A walk makes the stop longer, and a kill in it more likely.
		walk := func(*process.Thread, unwind.Memory) { time.Sleep(20 * time.Microsecond) }
		if _, err := p.Snapshot(mm, live.Options{Arches: all.Native(), Walk: walk, WalkAll: true}); err != nil {
			panic(err)
		}
	}
}

// However bt ends, the target runs on, and has got every signal.
func TestKilled(t *testing.T) {
	rounds := unlessShort(200, 20)
	n := unlessShort(20000, 2000)
	ch := mode(t, "signals", strconv.Itoa(n))
	fmt.Fprintln(ch.in)
	other := mode(t, "work")
	for i := range rounds {
		victim := other.pid
		if i%2 == 0 {
			victim = ch.pid
		}
		cmd := helper("snapshots", strconv.Itoa(victim))
		h := start(t, cmd)
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		h.out = nil
		for _, tid := range tasks(t, victim) {
			if s := state(tid); s == "t" || s == "T" {
				t.Fatalf("round %d: thread %d is in state %s", i, tid, s)
			}
		}
		untraced(t, victim)
	}
	if got, want := ch.line(t), fmt.Sprintf("%d 0", n); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := syscall.Kill(other.pid, 0); err != nil {
		t.Error(err)
	}
}

func TestDeepStack(t *testing.T) {
	const depth = 100000
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprint(threads, " threads"), func(t *testing.T) {
			// prlimit: the first thread's stack has to hold it.
			cmd := exec.Command("sh", "-c", "ulimit -s 65536; exec "+build(t, "threads")+" "+strconv.Itoa(threads)+" "+strconv.Itoa(depth))
			ch := start(t, cmd)
			until(t, "the threads", func() bool { return len(tasks(t, ch.pid)) == threads })
			p := open(t, ch.pid)

			s := snapshot(t, p, live.Options{MaxStack: 64 << 20})
			t.Logf("pause %v", s.Pause)
			for i := range s.Threads {
				if n := countMarks(s, i); !s.Threads[i].Complete || n < 2*depth {
					t.Errorf("thread %d: complete %v, %d marks", i, s.Threads[i].Complete, n)
				}
			}

			// Cut, the thread is handed to Walk, which gets at all of it.
			walked := 0
			s = snapshot(t, p, live.Options{Walk: func(th *process.Thread, m unwind.Memory) {
				walked++
				sp, _ := th.Regs.Get(th.Arch.SP)
				for n, a := 0, sp&^7; n < 2*depth; a += 8 {
					v, ok := m.Word(a, 8)
					if !ok {
						t.Errorf("thread %d: no memory at 0x%x, after %d marks", th.TID, a, n)
						return
					}
					if v == uint64(mark+th.TID) {
						n++
					}
				}
			}})
			t.Logf("pause with walk %v", s.Pause)
			if walked != threads {
				t.Errorf("%d threads walked", walked)
			}
		})
	}
}

// The other half of a stack, below a handler on an alternate one, is fetched
// during the stop and kept.
func TestWalkAltStack(t *testing.T) {
	ch := mode(t, "altstack")
	syscall.Kill(ch.pid, syscall.SIGUSR1)
	p := open(t, ch.pid)
	mm := readMaps(t, p)
	var stack *maps.Mapping
	for i := range mm.Entries {
		if mm.Entries[i].Path == "[stack]" {
			stack = &mm.Entries[i]
		}
	}
	find := func(m unwind.Memory) (at uint64) {
		for a := stack.End - 8; a >= stack.Start; a -= 8 {
			v, ok := m.Word(a, 8)
			if !ok {
				return 0
			}
			if v == uint64(mark+ch.pid) {
				return a
			}
		}
		return 0
	}
	var at uint64
	s := snapshot(t, p, live.Options{Walk: func(th *process.Thread, m unwind.Memory) {
		at = find(m)
		if _, ok := m.Word(0x10, 8); ok {
			t.Error("memory at 0x10")
		}
		if _, ok := m.Word(^uint64(0)-3, 8); ok {
			t.Error("memory at the end of the address space")
		}
	}})
	if s.Threads[0].Complete {
		t.Error("an alternate stack is not the whole")
	}
	if at == 0 || find(s.Memory(0)) != at {
		t.Errorf("found at 0x%x during the stop, at 0x%x in the copy", at, find(s.Memory(0)))
	}
	// Without Walk, the copy has only the alternate stack.
	if s := snapshot(t, p, live.Options{}); find(s.Memory(0)) != 0 {
		t.Error("more was copied than was asked for")
	}
}
