//go:build linux

package golang

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gatedso/bt/internal/process"
)

// taken is what one Copy has read.
type taken struct {
	gs     []goroutine
	ms     map[uint64]machine // by the address of the m
	failed error
}

// goroutine is a g and its stack as they were.
type goroutine struct {
	addr  uint64
	g     view
	m     uint64 // its m, 0 for none
	at    place  // where it goes on
	stack []byte // from at.sp on
	cut   bool   // the stack is longer than what was read
	// object is what the runtime's waiting function has on the stack, with the
	// address of the g in it: a sudog, or a half of a pollDesc; 0 for none.
	object uint64
	joined bool // a thread is told to run it
}

// place is where a goroutine that no thread runs goes on.
type place struct {
	pc, sp, bp uint64
	lr         uint64 // 0 where it is not in the link register
}

// machine is an m, the runtime's record of a thread.
type machine struct {
	tid  int
	curg uint64
	g0   [2]uint64 // bounds of the stack of its g0
}

// Bounds of what is read in the stop.
const (
	maxStack     = 1 << 20   // bytes of one stack, where the number of frames is bounded
	maxDeepStack = 64 << 20  // the same, where it is not
	maxStacks    = 256 << 20 // bytes of all stacks
	maxMs        = 1 << 16
	maxGap       = 512 // bytes between pieces that are read as one
)

// copy reads the goroutines in the stop; without parked, only what tells which threads
// run which.
func (p *program) copy(m *process.Recorder, maxFrames int, parked bool) {
	p.taken = taken{gs: p.scratch.gs[:0]}
	t := &p.taken
	list, n, ok := p.slice(m, p.allgs)
	if !ok || n == 0 {
		t.failed = p.fail("runtime.allgs cannot be read")
		return
	}
	w := p.lay.word
	pointers := m.Prefetch([]process.Range{{Start: list, Len: n * uint64(w)}})[0]
	if n = uint64(len(pointers) / w); n == 0 {
		t.failed = p.fail("runtime.allgs cannot be read")
		return
	}
	addrs := slices.Grow(p.scratch.addrs[:0], int(n))[:n]
	for i := range addrs {
		addrs[i] = view{pointers, p.lay}.word(i * w)
	}
	size := p.lay.gSize()
	data := p.scratch.fetchAll(m, addrs, size)
	bad, missing := 0, 0
	for i, addr := range addrs {
		g := view{data[i], p.lay}
		if len(data[i]) < size {
			missing++
			continue
		}
		if !g.plausible(addr) {
			bad++
			continue
		}
		if status, _ := g.status(); status == statusIdle || status == statusDead || status == statusDeadExtra {
			continue
		}
		t.gs = append(t.gs, goroutine{addr: addr, g: g, m: g.word(p.lay.gM)})
	}
	if bad > 0 {
		t.failed = p.fail("%d of %d do not look like goroutines", bad, n)
	}
	if missing > 0 {
		t.failed = errors.Join(t.failed, p.fail("%d of %d were not copied: they cannot be read, or the process had to go on before (--max-pause)", missing, n))
	}
	p.copyMs(m)
	for i := range t.gs {
		if _, running := t.running(&t.gs[i]); !running {
			t.gs[i].at = p.resume(&t.gs[i])
		}
	}
	if !parked {
		return
	}
	p.copyWaits(m)
	p.copyLabels(m)
	p.copyStacks(m, maxFrames)
	p.copyObjects(m)
}

// scratch is memory that serves each time something is read in the stop.
type scratch struct {
	addrs  []uint64
	gs     []goroutine
	ranges []process.Range
	in     []int32 // the range that holds a piece
	got    [][]byte
	out    [][]byte
}

// minPrepared is how many goroutines are so few that nothing is prepared for them.
const minPrepared = 256

// prepare makes memory for n goroutines and some more, before the process stops.
func (p *program) prepare(n int) {
	if n < minPrepared {
		return
	}
	n += n/8 + 64
	p.scratch = scratch{
		addrs: process.Touched[uint64](n), gs: process.Touched[goroutine](n), ranges: process.Touched[process.Range](n),
		in: process.Touched[int32](n), got: process.Touched[[]byte](n), out: process.Touched[[]byte](n),
	}
}

// fetchAll reads size bytes at each address. Pieces that lie close together, as those
// of one size do in Go's heap, are read as one. The answer is good until the next call.
func (s *scratch) fetchAll(m *process.Recorder, addrs []uint64, size int) [][]byte {
	ranges := s.ranges[:0]
	s.in = slices.Grow(s.in[:0], len(addrs))[:len(addrs)]
	in := s.in
	for i, a := range addrs {
		if last := len(ranges) - 1; last >= 0 {
			r := &ranges[last]
			if end := r.Start + r.Len; a >= r.Start && a-r.Start < 1<<20 && (a < end || a-end <= maxGap) {
				r.Len = max(r.Len, a+uint64(size)-r.Start)
				in[i] = int32(last)
				continue
			}
		}
		in[i] = int32(len(ranges))
		ranges = append(ranges, process.Range{Start: a, Len: uint64(size)})
	}
	s.ranges = ranges
	s.got = m.PrefetchInto(s.got, ranges)
	got := s.got
	s.out = slices.Grow(s.out[:0], len(addrs))[:len(addrs)]
	out := s.out
	clear(out)
	for i, a := range addrs {
		b := got[in[i]]
		if off := a - ranges[in[i]].Start; off < uint64(len(b)) {
			b = b[off:]
			out[i] = b[:min(size, len(b)):min(size, len(b))]
		}
	}
	return out
}

// copyMs reads the records of the threads that goroutines belong to.
func (p *program) copyMs(m *process.Recorder) {
	l := p.lay
	t := &p.taken
	t.ms = make(map[uint64]machine)
	var addrs []uint64
	add := func(addr uint64) {
		if addr == 0 {
			return // as for most
		}
		if _, known := t.ms[addr]; !known && len(addrs) < maxMs {
			t.ms[addr] = machine{}
			addrs = append(addrs, addr)
		}
	}
	for i := range t.gs {
		add(t.gs[i].m)
		add(t.gs[i].g.word(l.gLockedM))
	}
	size := max(l.mG0, l.mProcID, l.mCurG) + 8
	g0s := make([]uint64, len(addrs))
	var other scratch
	data := p.scratch.fetchAll(m, addrs, size)
	for i := range addrs {
		g0s[i] = view{data[i], l}.word(l.mG0)
	}
	g0data := other.fetchAll(m, g0s, 2*l.word)
	for i, addr := range addrs {
		v := view{data[i], l}
		lo, hi := view{g0data[i], l}.bounds()
		t.ms[addr] = machine{tid: int(uint32(v.wide(l.mProcID))), curg: v.word(l.mCurG), g0: [2]uint64{lo, hi}}
	}
}

// running reports whether a thread runs g, or is inside the runtime for it.
func (t *taken) running(g *goroutine) (machine, bool) {
	if g.m == 0 {
		return machine{}, false
	}
	m, ok := t.ms[g.m]
	return m, ok && m.curg == g.addr
}

// resume returns where g goes on.
func (p *program) resume(g *goroutine) place {
	l := p.lay
	if status, _ := g.g.status(); status == statusSyscall {
		if sp := g.g.word(l.gSyscallSP); sp != 0 {
			return place{pc: g.g.word(l.gSyscallPC), sp: sp, bp: g.g.word(l.gSyscallBP)}
		}
	}
	// sched.lr stands before sched.bp (type gobuf in runtime/runtime2.go).
	return place{pc: g.g.word(l.gSchedPC), sp: g.g.word(l.gSchedSP), bp: g.g.word(l.gSchedBP), lr: g.g.word(l.gSchedBP - l.word)}
}

// copyStacks reads the stacks of the goroutines that no thread runs.
func (p *program) copyStacks(m *process.Recorder, maxFrames int) {
	most := uint64(maxStack)
	if maxFrames == 0 {
		most = maxDeepStack
	}
	t := &p.taken
	ranges, index := p.scratch.ranges[:0], p.scratch.in[:0]
	left := uint64(maxStacks)
	for i := range t.gs {
		g := &t.gs[i]
		if _, running := t.running(g); running {
			continue
		}
		lo, hi := g.g.bounds()
		if g.at.sp < lo || g.at.sp >= hi {
			continue
		}
		n := hi - g.at.sp
		if n > min(most, left) {
			n = min(most, left)
			g.cut = true
		}
		left -= n
		ranges, index = append(ranges, process.Range{Start: g.at.sp, Len: n}), append(index, int32(i))
	}
	p.scratch.got = m.PrefetchInto(p.scratch.got, ranges)
	for k, b := range p.scratch.got {
		g := &t.gs[index[k]]
		g.stack = b
		g.cut = g.cut || len(b) < int(ranges[k].Len)
	}
}

// Bounds of what is read of queues.
const (
	maxRounds = 32      // sudogs of one goroutine
	maxSudogs = 1 << 20 // of all
)

// seen remembers addresses that were met lately, so that what many share is read few
// times.
type seen [4096]uint64

func (s *seen) add(addr uint64) (first bool) {
	at := &s[addr>>4*0x9e3779b97f4a7c15>>52]
	first = *at != addr
	*at = addr
	return first
}

// copyWaits reads what goroutines wait for: their sudogs, the channels of these, and
// timers.
func (p *program) copyWaits(m *process.Recorder) {
	l := p.lay
	t := &p.taken
	next, chans := make([]uint64, 0, len(t.gs)), make([]uint64, 0, len(t.gs))
	var timers []uint64
	var known seen
	for i := range t.gs {
		g := &t.gs[i]
		if status, _ := g.g.status(); status != statusWaiting && status != statusLeaked {
			continue
		}
		if w := g.g.word(l.gWaiting); w != 0 {
			next = append(next, w)
		}
		if timer := g.g.word(l.gTimer); timer != 0 && l.gSleepWhen < 0 {
			timers = append(timers, timer)
		}
	}
	total := 0
	for round := 0; round < maxRounds && len(next) > 0 && total < maxSudogs; round++ {
		total += len(next)
		data := p.scratch.fetchAll(m, next, l.sudogSize())
		next = next[:0]
		for _, b := range data {
			s := view{b, l}
			if c := s.word(l.sudogChan); c != 0 && known.add(c) {
				chans = append(chans, c)
			}
			if link := s.word(l.sudogLink); link != 0 && s.word(l.sudogChan) != 0 {
				next = append(next, link)
			}
		}
	}
	p.scratch.fetchAll(m, chans, l.chanClosed+8)
	p.scratch.fetchAll(m, timers, l.timerWhen+8)
	if l.gBubble >= 0 && l.bubbleID >= 0 {
		var bubbles []uint64
		for i := range t.gs {
			if b := t.gs[i].g.word(l.gBubble); b != 0 && known.add(b) {
				bubbles = append(bubbles, b)
			}
		}
		p.scratch.fetchAll(m, bubbles, l.bubbleID+8)
	}
}

func (l *layout) sudogSize() int { return max(l.sudogG, l.sudogElem, l.sudogLink, l.sudogChan) + 8 }

// Where on the stack of a goroutine that waits for a file or a semaphore to look for
// the object, and how many places of the code are remembered that led to one.
const (
	objectWords = 96
	maxPlaces   = 64
)

// copyObjects finds what goroutines wait for that the runtime has told nobody but its
// own stack: a pollDesc, or the sudog of a semaphore. Both hold the address of the g.
// Where it is on the stack is the same for all that wait for one reason by the same
// code.
func (p *program) copyObjects(m *process.Recorder) {
	type code struct {
		pc     uint64
		reason string
	}
	offsets := make(map[code]int) // the index of the word; -1 for none
	w := p.lay.word
	mem := pages{m: m, by: make(map[uint64][]byte)}
	for i := range p.taken.gs {
		g := &p.taken.gs[i]
		reason := p.reason(g)
		if len(g.stack) < w || !onObject(reason) {
			continue
		}
		if g.object = g.g.word(p.lay.gWaiting); g.object != 0 {
			continue // so it is for semaphores since Go 1.26
		}
		s := view{g.stack, p.lay}
		key := code{g.at.pc, reason}
		at, known := offsets[key]
		if !known && len(offsets) < maxPlaces {
			at = -1
			for i := range min(objectWords, len(g.stack)/w) {
				if p.isObject(&mem, g, s.word(i*w)) {
					at = i
					break
				}
			}
			offsets[key] = at
		}
		if at >= 0 && p.isObject(&mem, g, s.word(at*w)) {
			g.object = s.word(at * w)
		}
	}
}

// isObject reports whether g is what the word at addr holds.
func (p *program) isObject(mem *pages, g *goroutine, addr uint64) bool {
	lo, hi := g.g.bounds()
	if addr < pageSize || addr%uint64(p.lay.word) != 0 || addr >= lo && addr < hi {
		return false
	}
	b := mem.at(addr)
	return len(b) >= p.lay.word && view{b, p.lay}.word(0) == g.addr
}

const (
	pageSize = 4096
	maxPages = 1 << 16
)

// pages reads memory in the stop by whole pages, which the Recorder keeps.
type pages struct {
	m  *process.Recorder
	by map[uint64][]byte
}

// at returns what there is from addr to the end of its page.
func (p *pages) at(addr uint64) []byte {
	start := addr &^ (pageSize - 1)
	b, known := p.by[start]
	if !known && len(p.by) < maxPages {
		b = p.m.Prefetch([]process.Range{{Start: start, Len: pageSize}})[0]
		p.by[start] = b
	}
	if off := addr - start; off < uint64(len(b)) {
		return b[off:]
	}
	return nil
}

// onObject reports whether a goroutine that waits for this reason has an object that
// copyObjects can find.
func onObject(reason string) bool {
	switch reason {
	case "IO wait", "semacquire", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.WaitGroup.Wait", "sync.WaitGroup.Wait (durable)":
		return true
	}
	return false
}

// reason is the wait reason of a goroutine, empty for one that does not wait.
func (p *program) reason(g *goroutine) string {
	if status, _ := g.g.status(); status != statusWaiting && status != statusLeaked {
		return ""
	}
	r := int(g.g.byte(p.lay.gWaitReason))
	if r < len(p.reasons) {
		return p.reasons[r].text
	}
	return fmt.Sprintf("wait reason %d", r)
}
