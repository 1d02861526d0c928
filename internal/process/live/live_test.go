//go:build linux

package live_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/process/live"
)

// Every thread of testdata/threads.c has its TID on its stack, in each frame.
const mark = 0x5eed0000

func countMarks(s *live.Snapshot, i int) int {
	th := &s.Threads[i]
	m := s.Memory(i)
	size := th.Arch.PtrSize
	sp, _ := th.Regs.Get(th.Arch.SP)
	n := 0
	for a := sp &^ 7; a < th.TopOfStack; a += uint64(size) {
		if v, ok := m.Word(a, size); ok && v == uint64(mark+th.TID) {
			n++
		}
	}
	return n
}

func TestSnapshot(t *testing.T) {
	native := all.Native()[0].Name
	for _, c := range []struct {
		name    string
		flags   []string
		threads int
		depth   int
		arch    string
	}{
		{"one thread", nil, 1, 1, native},
		{"threads", nil, 20, 7, native},
		{"static", []string{"-static"}, 5, 7, native},
		{"32-bit", []string{"-m32"}, 20, 7, "i686"},
		{"more than one call's worth", nil, 1100, 3, native},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.arch == "i686" && native != "x86_64" {
				t.Skip("32-bit x86 programs are for another CPU")
			}
			ch := start(t, exec.Command(build(t, "threads", c.flags...), strconv.Itoa(c.threads), strconv.Itoa(c.depth)))
			until(t, "the reporting thread's end", func() bool { return len(tasks(t, ch.pid)) == c.threads })
			p := open(t, ch.pid)
			s := snapshot(t, p, live.Options{})
			untraced(t, ch.pid)
			if len(s.Threads) != c.threads || len(s.Gone) != 0 {
				t.Fatalf("%d threads, gone %v; want %d", len(s.Threads), s.Gone, c.threads)
			}
			if s.Threads[0].TID != ch.pid {
				t.Errorf("the first thread is %d, want %d", s.Threads[0].TID, ch.pid)
			}
			t.Logf("pause %v", s.Pause)
			for i := range s.Threads {
				th := &s.Threads[i]
				if th.NotStopped != "" || !th.HasRegs || th.Arch == nil || !th.HasBlocked || !th.Complete {
					t.Fatalf("thread %d: %+v", i, th)
				}
				if th.Arch.Name != c.arch || th.Name != "threads"+strings.Join(c.flags, "") {
					t.Errorf("thread %d: %s %q", i, th.Arch.Name, th.Name)
				}
				// Twice in each frame's array, and in a register's save or two.
				if n := countMarks(s, i); n < 2*c.depth {
					t.Errorf("thread %d: its number is %d times on its stack, want %d at least", i, n, 2*c.depth)
				}
			}
		})
	}
}

// The copy is what the memory holds: the threads wait, so it still does.
func TestSnapshotTruth(t *testing.T) {
	ch := start(t, exec.Command(build(t, "threads"), "5", "9"))
	until(t, "the reporting thread's end", func() bool { return len(tasks(t, ch.pid)) == 5 })
	// Its memory must not change between the snapshot and the comparison.
	syscall.Kill(ch.pid, syscall.SIGSTOP)
	until(t, "the stop", func() bool { return allStopped(ch.pid) })
	p := open(t, ch.pid)
	s := snapshot(t, p, live.Options{})
	for i := range s.Threads {
		th := &s.Threads[i]
		m := s.Memory(i)
		sp, _ := th.Regs.Get(th.Arch.SP)
		b := make([]byte, th.TopOfStack-sp)
		if n, err := p.ReadMemory(sp, b); err != nil || n != len(b) {
			t.Fatalf("ReadMemory: %d of %d bytes, %v", n, len(b), err)
		}
		for k, want := range b {
			if v, ok := m.Word(sp+uint64(k), 1); !ok || byte(v) != want {
				t.Fatalf("thread %d: 0x%x holds 0x%x, the copy 0x%x, %v", i, sp+uint64(k), want, v, ok)
			}
		}
		if _, ok := m.Word(th.TopOfStack, 1); ok {
			t.Error("the copy reaches beyond TopOfStack")
		}
	}
	words := testing.AllocsPerRun(100, func() {
		m := s.Memory(0)
		sp, _ := s.Threads[0].Regs.Get(s.Threads[0].Arch.SP)
		for a := sp; a < sp+64; a += 8 {
			m.Word(a, 8)
		}
	})
	if words > 1 { // the Memory itself
		t.Errorf("%v allocations", words)
	}
}

// allStopped reports whether every thread is in a group-stop.
func allStopped(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), ") T ") {
			return false
		}
	}
	return len(stats) > 0
}

func TestTIDs(t *testing.T) {
	ch := start(t, exec.Command(build(t, "threads"), "5", "3"))
	tids := tasks(t, ch.pid)
	p := open(t, tids[2])
	if p.PID != ch.pid || p.Requested != tids[2] {
		t.Errorf("PID %d Requested %d, want %d %d", p.PID, p.Requested, ch.pid, tids[2])
	}
	s := snapshot(t, p, live.Options{TIDs: []int{tids[2], 1}})
	if len(s.Threads) != 1 || s.Threads[0].TID != tids[2] || len(s.Gone) != 1 || s.Gone[0] != 1 {
		t.Errorf("%d threads, gone %v", len(s.Threads), s.Gone)
	}
}

func TestNames(t *testing.T) {
	ch := start(t, exec.Command(build(t, "threads"), "2", "3"))
	p := open(t, ch.pid)
	if got := p.Comm(); got != "threads" {
		t.Errorf("Comm %q", got)
	}
	if got := strings.Join(p.Cmdline(), "|"); got != build(t, "threads")+"|2|3" {
		t.Errorf("Cmdline %q", got)
	}
	if p.LeaderGone() {
		t.Error("the leader is there")
	}
}

// A second look at the same process must not cost anything that stays.
func TestNoLeaks(t *testing.T) {
	ch := start(t, exec.Command(build(t, "threads"), "3", "3"))
	fds := func() int {
		es, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(es)
	}
	look := func() {
		p, err := live.Open(ch.pid, "")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		mm := readMaps(t, p)
		snapshot(t, p, live.Options{})
		for i := range mm.Entries {
			if f, _, _, err := p.OpenMapping(&mm.Entries[i]); err == nil {
				f.Close()
			}
		}
	}
	look()
	before := fds()
	for range 20 {
		look()
	}
	if after := fds(); after != before {
		t.Errorf("%d open files before, %d after", before, after)
	}
}
