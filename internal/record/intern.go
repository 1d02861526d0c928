//go:build linux

package record

import (
	"encoding/binary"
	"strings"

	"github.com/gatedso/bt/stack"
)

// Bounds of what is kept of a recording.
const (
	maxPlaces  = 1 << 18  // different places in code
	maxStacked = 16 << 20 // places in all different stacks together
	maxStacks  = 1 << 20
	maxEnded   = 512     // threads that have ended and are told apart
	maxRuns    = 2 << 20 // of the timeline
)

// place is what tells a frame among all others. In a file it is the place in the file,
// wherever that is mapped.
type place struct {
	module int32  // number of the module, -1 for none
	addr   uint64 // in the module, or in the process
	names  int32  // number of what a runtime or a JIT compiler calls it, 0 for nothing
	exact  bool
	signal uint8 // 1 + the number of the signal of a signal frame; 0 for others
}

// module is what tells a mapped file.
type module struct {
	path     string
	dev, ino uint64
}

// tables hold what is kept once.
type tables struct {
	modules map[module]int32
	names   map[string]int32
	list    [][]stack.Name // by the numbers of names
	shown   map[stack.Module]*stack.Module
	texts   map[string]string

	places map[place]int32
	frames []stack.Frame // by the numbers of places

	stacks  map[string]int32
	order   []chain // by the numbers of stacks
	stacked int     // places in them
	full    bool    // something was left out for the bounds
}

// chain is a stack.
type chain struct {
	key        string // the numbers of its places, the innermost first, behind its other facts
	end        stack.End
	notStopped string
	about      int32 // number of names: what a runtime says of the thread
	call       bool  // it sleeps in a system call
	wordSize   uint8 // where it differs from the process's
}

// headSize is how many bytes of a key come before the places.
const headSize = 8

func newTables() *tables {
	return &tables{
		modules: make(map[module]int32), names: map[string]int32{"": 0}, list: make([][]stack.Name, 1),
		places: make(map[place]int32), stacks: make(map[string]int32), shown: make(map[stack.Module]*stack.Module), texts: make(map[string]string),
	}
}

func (t *tables) module(m module) int32 {
	n, ok := t.modules[m]
	if !ok {
		n = int32(len(t.modules))
		m.path = strings.Clone(m.path)
		t.modules[m] = n
	}
	return n
}

// namesOf returns the number of names.
func (t *tables) namesOf(names []stack.Name) int32 {
	if len(names) == 0 {
		return 0
	}
	var b []byte
	for i := range names {
		n := &names[i]
		for _, s := range []string{n.Symbol, n.File, n.Language, n.Source} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
		b = binary.AppendVarint(b, int64(n.Line))
		b = binary.AppendVarint(b, int64(n.Column))
	}
	n, ok := t.names[string(b)]
	if !ok {
		if len(t.list) >= maxPlaces {
			t.full = true
			return 0
		}
		n = int32(len(t.list))
		t.names[string(b)] = n
		t.list = append(t.list, t.own(names))
	}
	return n
}

// own copies names: their strings lie among those of all names that were looked for
// together, and would keep these.
func (t *tables) own(names []stack.Name) []stack.Name {
	if len(names) == 0 {
		return nil
	}
	out := make([]stack.Name, len(names))
	for i, n := range names {
		for _, s := range []*string{&n.Symbol, &n.Version, &n.File, &n.Language, &n.Source} {
			*s = t.text(*s)
		}
		out[i] = n
	}
	return out
}

// text is a string of the tables' own.
func (t *tables) text(s string) string {
	own, ok := t.texts[s]
	if !ok {
		own = strings.Clone(s)
		t.texts[own] = own
	}
	return own
}

// place returns the number of a place; fresh tells that it has not been seen before.
// It is -1 where there is no room.
func (t *tables) place(p place) (n int32, fresh bool) {
	if n, ok := t.places[p]; ok {
		return n, false
	}
	if len(t.frames) >= maxPlaces {
		t.full = true
		return -1, false
	}
	n = int32(len(t.frames))
	t.places[p] = n
	t.frames = append(t.frames, stack.Frame{})
	return n, true
}

// begin begins the key of a stack in b. reason tells why it ends.
func (c *chain) begin(b []byte, reason uint8, notStopped bool) []byte {
	flags := byte(0)
	if notStopped {
		flags |= 1
	}
	if c.call {
		flags |= 2
	}
	b = append(b, reason, flags, c.wordSize, 0)
	return binary.LittleEndian.AppendUint32(b, uint32(c.about))
}

// stack returns the number of the stack with a key, and whether it is new: then c is to
// be completed. It is -1 where there is no room.
func (t *tables) stack(key []byte, c chain) (n int32, fresh bool) {
	if n, ok := t.stacks[string(key)]; ok {
		return n, false
	}
	places := (len(key) - headSize) / 4
	if len(t.order) >= maxStacks || t.stacked+places > maxStacked {
		t.full = true
		return -1, false
	}
	t.stacked += places
	c.key = string(key)
	n = int32(len(t.order))
	t.stacks[c.key] = n
	t.order = append(t.order, c)
	return n, true
}

// places are the numbers of the places of a stack.
func (c *chain) places() []int32 {
	out := make([]int32, 0, (len(c.key)-headSize)/4)
	for i := headSize; i+4 <= len(c.key); i += 4 {
		out = append(out, int32(binary.LittleEndian.Uint32([]byte(c.key[i:i+4]))))
	}
	return out
}

// thread counts the stacks of a thread.
type thread struct {
	tid    int // 0: several threads that have ended
	name   string
	counts map[int32]int64
	last   int32 // its stack in the last sample that was counted, -1 for none
	run    int32 // of the timeline, -1 for none
	view   *view // that last is of
}

// run is a row of samples in which a thread had the same stack.
type run struct {
	thread *thread
	stack  int32
	n      int32
	at     int64 // nanoseconds after the beginning
}

// threads are those that were seen.
type threads struct {
	living map[int]*thread // by TID
	ended  []*thread
	byName map[string]*thread // of those that have ended, where there are many
	seen   int

	timeline bool
	runs     []run
	runsFull bool
}

func newThreads(timeline bool) *threads {
	return &threads{living: make(map[int]*thread), byName: make(map[string]*thread), timeline: timeline}
}

// of returns a thread that lives; one that has changed its name is another one.
func (l *threads) of(tid int, name string) *thread {
	t := l.living[tid]
	if t != nil && t.name == name {
		return t
	}
	if t != nil {
		l.end(t)
	} else {
		l.seen++
	}
	t = &thread{tid: tid, name: strings.Clone(name), counts: make(map[int32]int64), last: -1, run: -1}
	l.living[tid] = t
	return t
}

// end puts a thread among those that have ended.
func (l *threads) end(t *thread) {
	delete(l.living, t.tid)
	t.view = nil
	if len(l.ended) < maxEnded {
		l.ended = append(l.ended, t)
		return
	}
	all := l.byName[t.name]
	if all == nil {
		if len(l.byName) >= maxEnded {
			t.name = "" // a process that gives each thread a name of its own
			all = l.byName[""]
		}
		if all == nil {
			all = &thread{name: t.name, counts: make(map[int32]int64), last: -1, run: -1}
			l.byName[t.name] = all
		}
	}
	for s, n := range t.counts {
		all.counts[s] += n
	}
	t.counts = nil
}

// all are all threads.
func (l *threads) all() []*thread {
	out := append([]*thread(nil), l.ended...)
	for _, t := range l.living {
		out = append(out, t)
	}
	for _, t := range l.byName {
		out = append(out, t)
	}
	return out
}

// count counts a stack of a thread, seen n times up to a moment.
func (l *threads) count(t *thread, s int32, at int64) {
	if t.counts == nil {
		return
	}
	t.counts[s]++
	if !l.timeline {
		return
	}
	if t.run >= 0 {
		if r := &l.runs[t.run]; r.stack == s {
			r.n++
			return
		}
	}
	if len(l.runs) >= maxRuns {
		l.runsFull = true
		t.run = -1
		return
	}
	t.run = int32(len(l.runs))
	l.runs = append(l.runs, run{t, s, 1, at})
}
