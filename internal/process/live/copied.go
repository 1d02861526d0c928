//go:build linux

package live

import (
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/internal/unwind"
)

// segment is a piece of the target's memory as it was.
type segment struct {
	start uint64
	data  []byte
}

// copied is the memory of a thread as it was at the snapshot: segments in
// ascending order that do not overlap. It serves one goroutine.
type copied struct {
	segs []segment
	last int // the segment of the last hit
}

// Word reads a little-endian word. It is false where the copy has a gap.
func (c *copied) Word(addr uint64, size int) (uint64, bool) {
	if c.last < len(c.segs) {
		s := &c.segs[c.last]
		if off := addr - s.start; off < uint64(len(s.data)) && uint64(len(s.data))-off >= uint64(size) {
			return unwind.Word(s.data[off:], size)
		}
	}
	i := c.find(addr)
	if i < 0 {
		return 0, false
	}
	s := &c.segs[i]
	off := addr - s.start
	if uint64(len(s.data))-off >= uint64(size) {
		c.last = i
		return unwind.Word(s.data[off:], size)
	}
	return c.across(addr, size)
}

// find returns the segment that holds addr, or -1.
func (c *copied) find(addr uint64) int {
	i := sort.Search(len(c.segs), func(i int) bool { return c.segs[i].start > addr }) - 1
	if i >= 0 && addr-c.segs[i].start < uint64(len(c.segs[i].data)) {
		return i
	}
	return -1
}

// across reads a word that lies in two segments.
func (c *copied) across(addr uint64, size int) (uint64, bool) {
	var b [8]byte
	if size > len(b) || size < 0 {
		return 0, false
	}
	for k := range b[:size] {
		i := c.find(addr + uint64(k))
		if i < 0 {
			return 0, false
		}
		b[k] = c.segs[i].data[addr+uint64(k)-c.segs[i].start]
	}
	return unwind.Word(b[:], size)
}

// gap returns the bounds of the gap around addr, which lies in no segment.
func (c *copied) gap(addr uint64) (lo, hi uint64, at int) {
	at = sort.Search(len(c.segs), func(i int) bool { return c.segs[i].start > addr })
	hi = ^uint64(0)
	if at < len(c.segs) {
		hi = c.segs[at].start
	}
	if at > 0 {
		lo = c.segs[at-1].start + uint64(len(c.segs[at-1].data))
	}
	return lo, hi, at
}

// Bounds of what a walk may fetch, should the target's stack be made to lead
// it all over the memory.
const (
	page            = 4096
	maxFetched      = 64 << 20  // bytes for one thread
	maxFetchedTotal = 256 << 20 // bytes for all threads
	maxAhead        = 256 << 10
	maxSegments     = 4096
)

// budget is what the stop may still cost.
type budget struct {
	deadline time.Time // zero: none
	passed   bool      // the deadline has passed
	room     int       // bytes that may be fetched
	words    uint      // that walks have read
}

// late reports whether the process has to go on.
func (b *budget) late() bool {
	if !b.passed && !b.deadline.IsZero() {
		b.passed = !time.Now().Before(b.deadline)
	}
	return b.passed
}

// step counts a word that a walk reads, and reports now and then whether it is late:
// a walk can take long in memory that has been copied.
func (b *budget) step() bool {
	b.words++
	if b.words%256 == 0 {
		return b.late()
	}
	return b.passed
}

// fetching is the memory of a thread while the process is stopped: what the
// copy lacks is read from the process and kept.
type fetching struct {
	copied
	read    func(addr uint64, b []byte) int
	budget  *budget
	cut     Cut // why memory that may be there was not read
	fetched int
	next    uint64 // where the last fetch ended
	ahead   int    // how much it read
	miss    uint64 // a page that could not be read, +1
}

// Word is as that of copied; it is false only for memory that cannot be read, or
// when the stop has cost what it may.
func (f *fetching) Word(addr uint64, size int) (uint64, bool) {
	if f.budget.step() {
		f.cut = CutByTime
		return 0, false
	}
	if v, ok := f.copied.Word(addr, size); ok {
		return v, true
	}
	if size <= 0 || addr+uint64(size-1) < addr {
		return 0, false
	}
	for a := addr; a-addr < uint64(size); {
		i := f.find(a)
		if i < 0 {
			if !f.fetch(a) {
				return 0, false
			}
			i = f.find(a)
		}
		a = f.segs[i].start + uint64(len(f.segs[i].data))
	}
	return f.copied.Word(addr, size)
}

// fetch reads the page that holds addr, and more behind it when that is where
// the last one ended: a walk goes upwards.
func (f *fetching) fetch(addr uint64) bool {
	lo, hi, at := f.gap(addr)
	start := addr &^ (page - 1)
	if f.miss == start+1 {
		return false
	}
	if start == f.next {
		f.ahead = min(2*f.ahead, maxAhead)
	} else {
		f.ahead = page
	}
	end := start + uint64(f.ahead)
	if end < start {
		end = hi
	}
	start, end = max(start, lo), min(end, hi)
	if len(f.segs) >= maxSegments || int(end-start) > min(maxFetched-f.fetched, f.budget.room) {
		f.cut = CutBySize
		return false
	}
	b := make([]byte, end-start)
	n := f.read(start, b)
	if uint64(n) <= addr-start {
		f.miss = addr&^(page-1) + 1
		return false
	}
	f.fetched += n
	f.budget.room -= n
	f.next = start + uint64(n)
	f.segs = append(f.segs, segment{})
	copy(f.segs[at+1:], f.segs[at:])
	f.segs[at] = segment{start, b[:n]}
	f.last = at
	return true
}

// reader reads the memory of a stopped process through one of its threads.
type reader struct {
	tid int
	dir procfs.Dir // PROCFS/PID
	mem int        // its mem file, where process_vm_readv is not allowed; else -1
}

// read returns how many bytes from addr on it could read.
func (r *reader) read(addr uint64, b []byte) int {
	if r.mem < 0 {
		n, err := readv(r.tid, addr, b)
		if err == nil || err == unix.EFAULT || !r.fallback() {
			return n
		}
	}
	n, _ := pread(r.mem, addr, b)
	return n
}
