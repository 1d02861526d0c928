//go:build linux

package record

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// While a process stands still nothing is collected, and what was set before comes back.
func TestCollector(t *testing.T) {
	was := debug.SetGCPercent(77)
	defer debug.SetGCPercent(was)
	var c collector
	end := c.begin()
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			if !c.hold() {
				time.Sleep(100 * time.Microsecond)
				continue
			}
			// It may be about to be collected, and wait for this.
			before := metric("/gc/cycles/total:gc-cycles")
			time.Sleep(time.Millisecond)
			if metric("/gc/cycles/total:gc-cycles") != before {
				t.Error("garbage is collected while a process stands still")
			}
			c.release()
		}
	})
	n := 0
	for range 5 {
		block := make([]byte, 2*leastGarbage)
		block[0] = 1
		runtime.KeepAlive(block)
		at := c.allocated
		c.collect()
		if c.allocated != at {
			n++
		}
	}
	stop.Store(true)
	wg.Wait()
	if n != 5 {
		t.Errorf("garbage was collected %d times of 5", n)
	}
	if c.collect(); c.running.Load() {
		t.Error("it goes on")
	}
	end()
	if now := debug.SetGCPercent(77); now != 77 {
		t.Errorf("GOGC is %d afterwards, it was 77", now)
	}
}
