//go:build linux

// Package snapshot takes the stacks of a running process: it reads the maps and
// opens the files, has the process stopped and copied, and unwinds the copy
// while the process runs on.
package snapshot

import (
	"bytes"
	"slices"
	"time"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// Options says what to take.
type Options struct {
	TIDs      []int // only these threads; empty means all
	First     int   // the thread to put first, if not 0
	MaxFrames int   // per thread; 0 means all
	// MaxPause is how long the process may stand still, in all looks together;
	// 0 means no limit. A stack that lacks something for it says so.
	MaxPause time.Duration
	Cache    *image.Cache
	Source   image.Source // where the files come from

	PID     int               // of the process, for Runtimes
	Finders []runtimes.Finder // the language runtimes that are looked for
	Wants   runtimes.Wants    // what they are asked
}

// Stacks is the process at one moment. The caller must Close it.
type Stacks struct {
	Space   *image.Space
	Threads []process.Unwound
	Gone    []int         // threads that were asked for and are not there
	Pause   time.Duration // how long the process stood still, in all looks together

	Last bool // of the parts of a core, see CoreParts

	maps     []byte            // the text that Space is made of
	runtimes *runtimes.Set     // those in the process; nil where none are looked for
	memory   *process.Recorder // what they have read
}

// Annotate adds to p, which was made of s, what language runtimes know of its threads.
func (s *Stacks) Annotate(p *stack.Process) { s.runtimes.Threads(p, s.Threads, s.memory) }

// Finish adds to p what language runtimes know of the process as a whole, after all
// its threads were annotated.
func (s *Stacks) Finish(p *stack.Process) { s.runtimes.Process(p, s.memory) }

// Close ends the use of the Space.
func (s *Stacks) Close() {
	if s.Space != nil {
		s.Space.Close()
	}
}

// The bulk copy's bound in bytes per thread when all frames are wanted: a deep
// recursion's stack is copied faster than it is walked.
const deepStack = 64 << 20

// attempt says how a snapshot is taken.
type attempt struct {
	walkAll    bool // walk every stack while the process is stopped, to find what memory it takes
	mapsInStop bool // read the maps while the process is stopped
}

// Process takes the stacks of p.
//
// The first attempt copies registers and stacks and nothing else. Only when
// what it took turns out not to fit together (a mapping changed meanwhile, or
// a stack goes on in memory that was not copied) a second, longer look is
// taken.
func Process(p *live.Process, o Options) (*Stacks, error) {
	var try attempt
	var last *Stacks
	for {
		s, next, err := take(p, o, try, last)
		if err != nil {
			if last != nil {
				return last, nil // it ended in between: what was seen first stands
			}
			return nil, err
		}
		if last != nil {
			s.Pause += last.Pause
			if last.Space != s.Space {
				last.Close()
			}
		}
		if next == try || o.MaxPause > 0 && s.Pause >= o.MaxPause {
			return s, nil
		}
		last, try = s, next
	}
}

// take makes one attempt, and says what the next one should add; the same
// attempt again means that nothing has to. last is what an attempt before this
// one took, or nil; its Space serves again where the maps are still the same.
func take(p *live.Process, o Options, try attempt, last *Stacks) (*Stacks, attempt, error) {
	text, err := p.Maps()
	if err != nil {
		return nil, try, err
	}
	var space *image.Space
	if last != nil && bytes.Equal(text, last.maps) {
		space = last.Space
	} else {
		mm, err := maps.Parse(text)
		if err != nil {
			return nil, try, err
		}
		space = image.NewSpace(mm, o.Source, o.Cache)
	}
	closeSpace := func() {
		if last == nil || space != last.Space {
			space.Close()
		}
	}
	mm := space.Maps
	space.Prepare()
	var set *runtimes.Set
	if last != nil && space == last.Space {
		set = last.runtimes
	} else {
		set = o.find(space, false)
	}

	lo := o.live(try, last)
	if !set.Empty() {
		lo.Also, lo.AlsoNeeds = set.Copy, set.Needs()
	}
	stopped := walkers{code: space.Parsed()}
	lo.Walk = func(t *process.Thread, m unwind.Memory) { stopped.walk(t, m, o.MaxFrames) }
	snap, err := p.Snapshot(mm, lo)
	if err != nil {
		closeSpace()
		return nil, try, err
	}

	next := try
	now := snap.Maps
	if !try.mapsInStop {
		now, err = p.Maps()
	}
	if err == nil && len(now) > 0 && string(now) != string(text) {
		if nm, err := maps.Parse(now); err == nil && !sameCode(mm, nm) {
			if !try.mapsInStop {
				next.mapsInStop = true
			} else {
				closeSpace()
				text = now
				space = image.NewSpace(nm, o.Source, o.Cache)
			}
		}
	}

	s := &Stacks{Space: space, maps: text, Gone: snap.Gone, Pause: snap.Pause, Threads: make([]process.Unwound, len(snap.Threads)), runtimes: set, memory: snap.Also}
	w := walkers{code: set.Code(space, snap.Also)}
	for i := range snap.Threads {
		t := &s.Threads[i]
		t.Thread = snap.Threads[i].Thread
		t.Stack = w.walk(&t.Thread, snap.Memory(i), o.MaxFrames)
		if t.Stack.End != unwind.EndNoMemory {
			continue
		}
		switch snap.Threads[i].Cut {
		case live.CutByTime:
			t.Stack.End = unwind.EndMaxPause
		case live.CutBySize:
			t.Stack.End = unwind.EndMaxCopy
		default:
			next.walkAll = true
		}
	}
	putFirst(s.Threads, o.First)
	return s, next, nil
}

// find looks for language runtimes in a space.
func (o *Options) find(space *image.Space, core bool) *runtimes.Set {
	if len(o.Finders) == 0 {
		return nil
	}
	return runtimes.FindAll(&runtimes.Target{
		PID: o.PID, Space: space, Core: core, Wants: o.Wants,
		Memory: memoryOf(o.Source),
	}, o.Finders)
}

// memoryOf reads the memory of a source as long as it is there.
func memoryOf(src image.Source) *process.Recorder {
	return process.NewRecorder(process.FetchBy(func(addr uint64, b []byte) int {
		n, _ := src.ReadMemory(addr, b)
		return n
	}))
}

// live says how an attempt stops the process. The pause that last took counts.
func (o *Options) live(try attempt, last *Stacks) live.Options {
	lo := live.Options{
		TIDs:       o.TIDs,
		Arches:     all.Native(),
		WalkAll:    try.walkAll,
		MapsInStop: try.mapsInStop,
		MaxPause:   o.MaxPause,
	}
	if last != nil && o.MaxPause > 0 {
		lo.MaxPause -= last.Pause
	}
	if o.MaxFrames == 0 {
		lo.MaxStack = deepStack
	}
	return lo
}

// putFirst moves a thread before the others, whose order stays.
func putFirst(threads []process.Unwound, tid int) {
	i := slices.IndexFunc(threads, func(t process.Unwound) bool { return t.TID == tid })
	if i > 0 {
		first := threads[i]
		copy(threads[1:], threads[:i])
		threads[0] = first
	}
}

// sameCode reports whether two readings of the maps agree in all that has to
// do with code.
func sameCode(a, b *maps.Map) bool {
	code := func(m *maps.Map, i int) int {
		for ; i < len(m.Entries); i++ {
			if m.Entries[i].Perm&maps.Exec != 0 {
				break
			}
		}
		return i
	}
	i, j := code(a, 0), code(b, 0)
	for i < len(a.Entries) && j < len(b.Entries) {
		if a.Entries[i] != b.Entries[j] {
			return false
		}
		i, j = code(a, i+1), code(b, j+1)
	}
	return i >= len(a.Entries) && j >= len(b.Entries)
}

// walkers holds a walker for each CPU: a process can have 64-bit and 32-bit
// threads at once.
type walkers struct {
	code unwind.Code
	by   map[*arch.Arch]*unwind.Walker
}

func (w *walkers) walk(t *process.Thread, mem unwind.Memory, maxFrames int) unwind.Stack {
	if t.Kernel != "" {
		return unwind.Stack{}
	}
	if t.Arch == nil || !t.HasRegs {
		return unwind.Stack{End: unwind.EndNoRegister}
	}
	u := w.by[t.Arch]
	if u == nil {
		if w.by == nil {
			w.by = make(map[*arch.Arch]*unwind.Walker)
		}
		u = unwind.New(t.Arch, w.code)
		w.by[t.Arch] = u
	}
	return u.Walk(unwind.Start{
		Regs:       t.Regs,
		Blocked:    t.Blocked,
		HasBlocked: t.HasBlocked,
		PACMask:    t.PACMask,
		MaxFrames:  maxFrames,
	}, mem)
}
