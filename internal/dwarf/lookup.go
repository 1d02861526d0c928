package dwarf

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/internal/guard"
)

// Frame is one function at an address: the innermost one has the place of the
// address, each other one the place of the call that is inlined into it.
type Frame struct {
	// Func is the function's linkage name, or else its name with the scopes
	// around it; "" when it is not known.
	Func string
	File string // "" when it is not known
	// Line is 0 for code that belongs to no line, Column where it is not known.
	Line, Column uint32
	// Inlined tells that the function is inlined into that of the next frame.
	Inlined bool
	// Linkage tells that Func is what symbol tables have, too: a linkage name, or
	// a name of a language without such.
	Linkage bool
	// Plain and PlainFile tell that Func and File are printable ASCII without a
	// backslash.
	Plain, PlainFile bool
}

// Answers are what Lookup found. Its methods are safe for concurrent use.
type Answers struct {
	blocks []block
	spots  []spot // by address
}

// block is what one visit of a unit found.
type block struct {
	nodes []call
	names []text
	files []text
}

// call is a function, and where it is called when it is inlined. There are millions of
// them: without pointers, the collector has nothing to do with them.
type call struct {
	name    int32 // in names, -1: not known
	parent  int32
	file    int32 // in files, -1; of the call
	line    uint32
	column  uint32
	inlined bool
}

// spot is what is known of one address.
type spot struct {
	block         int32 // -1: nothing
	node          int32 // in block.nodes, -1
	file          int32 // in block.files, -1
	line          uint32
	column        uint32
	discriminator uint32
}

// maxInlined bounds the frames of one address.
const maxInlined = 1 << 10

// Frames appends the frames of the i-th address to dst, the innermost first;
// none where nothing is known.
func (a *Answers) Frames(dst []Frame, i int) []Frame {
	s := &a.spots[i]
	if s.block < 0 {
		return dst
	}
	b := &a.blocks[s.block]
	dst = append(dst, Frame{Line: s.line, Column: s.column})
	f := &dst[len(dst)-1]
	b.file(s.file, f)
	n := s.node
	for range maxInlined {
		if n < 0 {
			break
		}
		c := &b.nodes[n]
		if c.name >= 0 {
			t := &b.names[c.name]
			f.Func, f.Plain, f.Linkage = t.s, t.plain, t.linkage
		}
		if f.Inlined = c.inlined && c.parent >= 0; !f.Inlined {
			break
		}
		dst = append(dst, Frame{Line: c.line, Column: c.column})
		f = &dst[len(dst)-1]
		b.file(c.file, f)
		n = c.parent
	}
	return dst
}

// file puts the i-th file into f.
func (b *block) file(i int32, f *Frame) {
	if i >= 0 {
		t := &b.files[i]
		f.File, f.PlainFile = t.s, t.plain
	}
}

// Warm reads what Frames reads for n addresses from the first-th on, so that their
// ways through memory are gone side by side. Its result means nothing; it keeps the
// reads from being left out.
//
//go:noinline
func (a *Answers) Warm(first, n int) (sum int) {
	for i := first; i < first+n; i++ {
		s := &a.spots[i]
		if s.block < 0 {
			continue
		}
		b := &a.blocks[s.block]
		if s.node >= 0 {
			if name := b.nodes[s.node].name; name >= 0 {
				sum += len(b.names[name].s)
			}
		}
		if s.file >= 0 {
			sum += len(b.files[s.file].s)
		}
	}
	for i := first; i < first+n; i++ {
		s := &a.spots[i]
		if s.block < 0 {
			continue
		}
		b := &a.blocks[s.block]
		if s.node >= 0 {
			if n := b.nodes[s.node].name; n >= 0 {
				if name := b.names[n].s; len(name) > 0 {
					sum += int(name[0])
				}
			}
		}
		if s.file >= 0 {
			if path := b.files[s.file].s; len(path) > 0 {
				sum += int(path[0])
			}
		}
	}
	return sum
}

// Discriminator returns the number that tells the block of the i-th address from
// others of its line (6.2.2), 0 for none.
func (a *Answers) Discriminator(i int) uint32 { return a.spots[i].discriminator }

// Lookup finds the lines and functions of addrs, in any order. What the answers
// hold is their own: they stay when the sections go away.
func (d *Data) Lookup(addrs []uint64) *Answers {
	a := &Answers{spots: make([]spot, len(addrs))}
	todo := sorted(addrs)
	for i := range a.spots {
		a.spots[i].block = -1
	}
	l := &lookup{d: d, addrs: addrs, a: a}
	unanswered := func(i uint32) bool { return a.spots[i].block < 0 }
	if len(todo) <= maxScans {
		l.run(l.listed(todo))
		todo = keep(todo, unanswered)
	}
	for round := range maxOwners {
		if len(todo) == 0 {
			break
		}
		jobs := l.assign(todo, round)
		l.run(jobs)
		// What a unit does not answer the next one may.
		todo = keep(todo, unanswered)
		if len(jobs) == 0 || len(todo) == 0 {
			break
		}
	}
	if len(todo) > 0 {
		// So may those whose root entries tell no ranges.
		l.run(l.distribute(d.silent(), todo, 0))
	}
	return a
}

// keep keeps those of list that f is true of.
func keep(list []uint32, f func(uint32) bool) []uint32 {
	n := 0
	for _, i := range list {
		if f(i) {
			list[n] = i
			n++
		}
	}
	return list[:n]
}

// lookup is one call of Lookup.
type lookup struct {
	d     *Data
	addrs []uint64
	a     *Answers
	mu    sync.Mutex
}

// job is a unit and the addresses that it is asked for, in ascending order.
type job struct {
	unit  *unit
	addrs []uint32 // indexes
}

// listed gives addresses to the units that .debug_aranges lists for them. That is
// the shortest way to a unit: it reads no header of another one. The section can be
// incomplete, so that what it does not answer goes the other ways.
func (l *lookup) listed(todo []uint32) (jobs []job) {
	protect(func() {
		for _, i := range todo {
			if u := l.d.listedUnit(l.addrs[i]); u != nil {
				jobs = append(jobs, job{u, []uint32{i}})
			}
		}
	})
	return jobs
}

// assign gives each address to the unit that is the round-th to cover it.
func (l *lookup) assign(todo []uint32, round int) []job {
	d := l.d
	d.mu.Lock()
	if !d.indexed {
		if d.lookups += len(todo); d.lookups > maxScans {
			d.indexed = true
		}
	}
	indexed := d.indexed
	d.mu.Unlock()
	if indexed {
		return l.distribute(d.index(), todo, round)
	}
	var jobs []job
	protect(func() {
		for _, i := range todo {
			if list := d.scan(l.addrs[i]); round < len(list) {
				jobs = append(jobs, job{&d.units()[list[round]], []uint32{i}})
			}
		}
	})
	return jobs
}

// distribute is assign with an index.
func (l *lookup) distribute(ix *index, todo []uint32, round int) []job {
	units := l.d.units()
	owner := make([]int32, len(todo))
	count := make([]int32, len(units)+1)
	var list []int32
	at := 0
	for k, i := range todo {
		list, at = ix.owners(l.addrs[i], at, list[:0])
		if owner[k] = -1; round < len(list) {
			owner[k] = list[round]
			count[owner[k]]++
		}
	}
	total, used := int32(0), 0
	for u, n := range count {
		count[u] = total
		if total += n; n > 0 {
			used++
		}
	}
	grouped := make([]uint32, total)
	for k, i := range todo {
		if u := owner[k]; u >= 0 {
			grouped[count[u]] = i
			count[u]++
		}
	}
	jobs := make([]job, 0, used)
	start := int32(0)
	for u := range units {
		if end := count[u]; end > start {
			jobs = append(jobs, job{&units[u], grouped[start:end]})
			start = end
		}
	}
	return jobs
}

// maxWorkers bounds the goroutines of one lookup.
const maxWorkers = 16

// parallelFrom is the number of units from which it is worth starting goroutines.
const parallelFrom = 4

// run visits the units of jobs.
func (l *lookup) run(jobs []job) {
	each(len(jobs), func(next func() (int, bool)) {
		v := l.d.visitor()
		defer l.d.putVisitor(v)
		for i, ok := next(); ok; i, ok = next() {
			l.visit(v, &jobs[i])
		}
	})
}

// each runs work on as many goroutines as are worth it for n things. next
// hands out their numbers.
func each(n int, work func(next func() (int, bool))) {
	var last atomic.Int64
	next := func() (int, bool) {
		i := int(last.Add(1)) - 1
		return i, i < n
	}
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	if n < parallelFrom || workers < 2 {
		work(next)
		return
	}
	var wg sync.WaitGroup
	for range workers {
		guard.Go(&wg, func() { work(next) })
	}
	wg.Wait()
}

// visit asks one unit.
func (l *lookup) visit(v *visitor, j *job) {
	v.q = v.q[:0]
	for _, i := range j.addrs {
		v.q = append(v.q, l.addrs[i])
	}
	var b block
	var spots []spot
	if !protect(func() { b, spots = v.visit(j.unit) }) {
		// A visitor that was interrupted is in no good state.
		*v = *newVisitor(l.d)
		return
	}
	if spots == nil {
		return
	}
	l.mu.Lock()
	n := int32(len(l.a.blocks))
	l.a.blocks = append(l.a.blocks, b)
	l.mu.Unlock()
	for k, i := range j.addrs {
		if s := &spots[k]; s.node >= 0 || s.file >= 0 {
			s.block = n
			l.a.spots[i] = *s
		}
	}
	l.d.visited(v, j)
}

// releaseEvery is after how many bytes of units Release is called, and releaseBlocks after
// how many blocks of units of which the root entry alone was read: the kernel maps some
// 64 KB around each.
const (
	releaseEvery  = 12 << 20
	releaseBlocks = 12
)

func (d *Data) visited(v *visitor, j *job) {
	if d.o.Release == nil {
		return
	}
	u := j.unit
	if v.seen += u.end - u.off; v.seen >= releaseEvery {
		v.seen = 0
		d.o.Release()
	}
}

// visitor returns a visitor that no one uses.
func (d *Data) visitor() *visitor {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.idle); n > 0 {
		v := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return v
	}
	return newVisitor(d)
}

func (d *Data) putVisitor(v *visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.idle) < 2 {
		d.idle = append(d.idle, v)
	}
}
