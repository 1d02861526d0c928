//go:build linux

package live_test

import (
	"testing"
	"time"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/unwind"
)

// A walk that would never end, in memory that has been copied, ends in time, and
// threads whose stacks were copied before keep what they have.
func TestMaxPause(t *testing.T) {
	ch := mode(t, "work")
	p := open(t, ch.pid)
	walks := 0
	snap, err := p.Snapshot(readMaps(t, p), live.Options{
		Arches:   all.Native(),
		MaxPause: time.Second,
		WalkAll:  true,
		Walk: func(th *process.Thread, m unwind.Memory) {
			walks++
			sp, _ := th.Regs.Get(th.Arch.SP)
			for {
				if _, ok := m.Word(sp, 8); !ok {
					return
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if walks != 1 {
		t.Errorf("%d walks, the first of which took all the time", walks)
	}
	for i, th := range snap.Threads {
		if want := i == 0 || !th.Complete; (th.Cut == live.CutByTime) != want {
			t.Errorf("thread %d: cut %d, complete %v", i, th.Cut, th.Complete)
		}
		sp, _ := th.Regs.Get(th.Arch.SP)
		if _, ok := snap.Memory(i).Word(sp, 8); !ok {
			t.Errorf("thread %d: its copy is gone", i)
		}
	}

	// With no time at all there are registers, and that something is missing is said.
	snap, err = p.Snapshot(readMaps(t, p), live.Options{Arches: all.Native(), MaxPause: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, th := range snap.Threads {
		if th.NotStopped == "" && (th.Cut != live.CutByTime || th.Complete) {
			t.Errorf("thread %d: cut %d, complete %v", i, th.Cut, th.Complete)
		}
	}
}
