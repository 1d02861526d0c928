//go:build linux

package record

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// collector has Go's garbage collected while no process stands still. The runtime by
// itself would begin at any time, and stop bt's threads for it, also the one that is
// about to let a process go on.
type collector struct {
	mu    sync.Mutex
	users int // recordings
	was   int // GOGC before

	holds   atomic.Int64 // processes that stand still, or are about to
	running atomic.Bool

	allocated uint64 // bytes, when it was collected last
	live      uint64 // bytes that were left then
}

// garbage is that of the program: there is one heap.
var garbage collector

// Bounds in bytes: what is allocated at least between two collections; and how large the
// heap may become before the runtime collects by itself after all.
const (
	leastGarbage = 32 << 20
	heapLimit    = 1 << 30
)

// begin is called when a recording begins, and what it returns when that is over.
func (c *collector) begin() (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users++; c.users == 1 {
		c.was = debug.SetGCPercent(-1)
		if debug.SetMemoryLimit(-1) == math.MaxInt64 {
			debug.SetMemoryLimit(heapLimit)
		}
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.users--; c.users == 0 {
			debug.SetGCPercent(c.was)
		}
	}
}

// hold keeps garbage from being collected until release. It is false where that is going
// on.
func (c *collector) hold() bool {
	c.holds.Add(1)
	if c.running.Load() {
		c.holds.Add(-1)
		return false
	}
	return true
}

func (c *collector) release() { c.holds.Add(-1) }

// collect collects if there is enough garbage.
func (c *collector) collect() {
	if !c.mu.TryLock() {
		return // another recording does
	}
	defer c.mu.Unlock()
	if allocated := metric("/gc/heap/allocs:bytes"); allocated-c.allocated < max(leastGarbage, c.live) {
		return
	}
	c.running.Store(true)
	for c.holds.Load() > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	runtime.GC()
	c.running.Store(false)
	c.allocated, c.live = metric("/gc/heap/allocs:bytes"), metric("/memory/classes/heap/objects:bytes")
}

func metric(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
