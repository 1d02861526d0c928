//go:build linux

package record

import (
	"slices"
	"time"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/stack"
)

// PrintOptions says how a recording is printed.
type PrintOptions struct {
	Maps     bool // give the mappings to the format
	Together bool // threads of the same name are counted together
	Timeline bool // in the order of time, and not by how often
}

// counted is a stack, whose it is, and how often it was seen.
type counted struct {
	thread *thread
	stack  int32
	n      int64
	at     int64 // nanoseconds after the beginning
}

// chunk is how many stacks are made at a time.
const chunk = 256

// Print gives what was recorded to a format: the stacks that were seen most often first.
func (r *Recording) Print(f render.Format, o PrintOptions) {
	list := r.counted(o)
	s := r.s
	period := time.Duration(0)
	if s.stats.Samples > 0 {
		period = s.stats.Time / time.Duration(s.stats.Samples)
	}
	head := func(n int64, at time.Time) *stack.Process {
		if o.Maps && s.view != nil {
			f.Maps(trace.Head(s.view.space, s.view.sym))
		}
		p := &stack.Process{PID: r.PID, Name: r.Name, WordSize: r.wordSize()}
		f.Head(p, render.Sample{Time: at, Count: n, Period: period})
		return p
	}
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && list[j].n == list[i].n && (!o.Timeline || list[j].at == list[i].at) {
			j++
		}
		at := s.begin.Add(time.Duration(list[i].at))
		if j == len(list) && !o.Timeline {
			at = s.begin.Add(s.stats.Time - period) // so that the duration is known
		}
		p := head(list[i].n, at)
		for part := range slices.Chunk(list[i:j], chunk) {
			p.Threads = p.Threads[:0]
			for k := range part {
				p.Threads = append(p.Threads, r.thread(&part[k], p.WordSize))
			}
			f.Threads(p)
		}
		p.Threads = nil
		if j == len(list) {
			p.Notes = r.notes()
		}
		f.Rest(p)
		i = j
	}
}

// wordSize is the size of an address in most stacks.
func (r *Recording) wordSize() int {
	for i := range r.s.tables.order {
		if n := r.s.tables.order[i].wordSize; n != 0 {
			return int(n)
		}
	}
	return 8
}

// notes are what runtimes say of themselves, and why they could not be read.
func (r *Recording) notes() []stack.Note {
	if r.s.view == nil {
		return nil
	}
	p := new(stack.Process)
	r.s.view.set.Process(p, nil)
	return p.Notes
}

// counted lists the stacks in the order in which they are printed.
func (r *Recording) counted(o PrintOptions) []counted {
	s := r.s
	var list []counted
	if o.Timeline {
		for _, n := range s.threads.runs {
			list = append(list, counted{n.thread, n.stack, int64(n.n), n.at})
		}
		slices.SortStableFunc(list, func(a, b counted) int { return int(min(1, max(-1, a.at-b.at))) })
		return list
	}
	type whose struct {
		name  string
		stack int32
	}
	by := make(map[whose]int)
	for _, t := range s.threads.all() {
		for n, times := range t.counts {
			if o.Together {
				k := whose{t.name, n}
				if i, ok := by[k]; ok {
					list[i].n += times
					if t.tid != 0 && (list[i].thread.tid == 0 || t.tid < list[i].thread.tid) {
						list[i].thread = t
					}
					continue
				}
				by[k] = len(list)
			}
			list = append(list, counted{thread: t, stack: n, n: times})
		}
	}
	slices.SortFunc(list, func(a, b counted) int {
		switch {
		case a.n != b.n:
			return int(min(1, max(-1, b.n-a.n)))
		case a.thread.tid != b.thread.tid:
			return a.thread.tid - b.thread.tid
		}
		return int(a.stack) - int(b.stack)
	})
	return list
}

// thread makes the model of a stack.
func (r *Recording) thread(c *counted, wordSize int) stack.Thread {
	t := r.s.tables
	chain := &t.order[c.stack]
	places := chain.places()
	out := stack.Thread{TID: c.thread.tid, Name: c.thread.name, NotStopped: chain.notStopped, End: chain.end, Frames: make([]stack.Frame, len(places))}
	for i, p := range places {
		out.Frames[i] = t.frames[p]
	}
	if n := int(chain.wordSize); n != 0 && n != wordSize {
		out.WordSize = n
	}
	for _, n := range t.list[chain.about] {
		out.Runtimes = append(out.Runtimes, stack.RuntimeThread{Language: n.Language, Name: n.Symbol, State: n.File})
	}
	if chain.call {
		out.Waits = &stack.Wait{Call: inCall, Text: inCall}
	}
	return out
}

// inCall is what a sleeping thread is in.
const inCall = "a system call"
