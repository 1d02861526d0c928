//go:build linux

package waits

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/stack"
)

// graph knows which thread waits for which, in all processes that were looked at.
type graph struct {
	mu    sync.Mutex
	procs []*processNode // in the order in which they came
}

// maxProcesses is how many processes a graph remembers.
const maxProcesses = 4096

// processNode is a process for the search for deadlocks.
type processNode struct {
	procfs string // empty for a core
	pid    int
	tids   []int // all threads
	names  map[int]string
	waits  map[int]*threadWaits
	still  map[int]uint64 // how often threads that wait for other processes have slept
}

// threadID is a thread, whose number is unique among all processes.
type threadID = int

// add takes in a process and returns the deadlocks that it is part of: circles of
// threads, none of which goes on unless another one does. The processes that came before
// were stopped at other moments: where a circle leads through one of them, its threads
// must not have run since.
func (g *graph) add(n *processNode) []stack.Deadlock {
	g.mu.Lock()
	defer g.mu.Unlock()
	n.remember()
	g.procs = slices.DeleteFunc(g.procs, func(o *processNode) bool { return o.pid == n.pid })
	if len(g.procs) >= maxProcesses {
		g.procs = slices.Delete(g.procs, 0, 1)
	}
	g.procs = append(g.procs, n)

	s := newSearch(g.procs)
	s.settle()
	if len(s.stuck) == 0 {
		return nil
	}
	var found []stack.Deadlock
	seen := make(map[threadID]bool)
	for _, tid := range n.tids {
		if circle := s.circle(tid, seen); len(circle) > 0 && s.stands(circle) {
			found = append(found, deadlock(circle))
		}
	}
	return found
}

// remember keeps how often threads have slept that wait for what other processes have
// to do with: it is the same as long as they sleep. The process runs by now. So it looks
// whether they are in the call that they were stopped in, and gives those some time that
// have not got back to it.
func (n *processNode) remember() {
	if n.procfs == "" {
		return
	}
	dir, err := procfs.OpenPID(n.procfs, n.pid)
	if err != nil {
		return
	}
	defer dir.Close()
	n.still = make(map[int]uint64)
	patience := 20
	for tid, w := range n.waits {
		if w.wait.timed || !w.wait.all || len(w.wait.Holders) == 0 {
			continue
		}
		for {
			count, sleeps, ok := n.sleepsOn(dir, tid, &w.in)
			if ok {
				n.still[tid] = count
			}
			if sleeps || patience == 0 {
				break
			}
			patience--
			time.Sleep(time.Millisecond)
		}
	}
}

// sleepsOn reports whether a thread sleeps, and if it does whether that is in a call; and
// how often it has slept.
func (n *processNode) sleepsOn(dir procfs.Dir, tid int, in *asleep) (count uint64, sleeps, same bool) {
	before, ok := slept(dir, tid)
	c, inCall := readSyscall(dir, tid)
	after, ok2 := slept(dir, tid)
	if !ok || !ok2 || !inCall || before != after {
		return 0, !ok || !ok2, false
	}
	return after, true, in.is(&c)
}

func (n *processNode) slept(tid int) (uint64, bool) {
	dir, err := procfs.OpenPID(n.procfs, n.pid)
	if err != nil {
		return 0, false
	}
	defer dir.Close()
	return slept(dir, tid)
}

// slept is how often a thread has slept.
func slept(dir procfs.Dir, tid int) (uint64, bool) {
	st, err := dir.Status("task/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return 0, false
	}
	count, err := strconv.ParseUint(st["voluntary_ctxt_switches"], 10, 64)
	return count, err == nil
}

// search looks for deadlocks among the threads of some processes.
type search struct {
	procs map[int]*processNode
	of    map[threadID]*processNode
	stuck map[threadID]*threadWaits // those that nothing outside of them lets go on
}

func newSearch(procs []*processNode) *search {
	s := &search{procs: make(map[int]*processNode), of: make(map[threadID]*processNode), stuck: make(map[threadID]*threadWaits)}
	for _, n := range procs {
		s.procs[n.pid] = n
		for _, tid := range n.tids {
			s.of[tid] = n
		}
		for tid, w := range n.waits {
			if !w.wait.timed && w.wait.all && len(w.wait.Holders) > 0 {
				s.stuck[tid] = w
			}
		}
	}
	return s
}

// settle takes out, again and again, the threads that one can let go on which is not
// stuck itself. One holder that can is enough.
func (s *search) settle() {
	waiters := make(map[threadID][]threadID) // by those that they wait for
	var free []threadID
	for tid, w := range s.stuck {
		for i := range w.wait.Holders {
			on, known := s.threads(&w.wait.Holders[i])
			if !known {
				free = append(free, tid)
			}
			for _, other := range on {
				waiters[other] = append(waiters[other], tid)
				if s.stuck[other] == nil {
					free = append(free, tid)
				}
			}
		}
	}
	for len(free) > 0 {
		tid := free[len(free)-1]
		free = free[:len(free)-1]
		if s.stuck[tid] == nil {
			continue
		}
		delete(s.stuck, tid)
		free = append(free, waiters[tid]...)
	}
}

// threads are those that a holder is: a thread, or all of a process, each of which may
// let go. known is false for one that was not looked at.
func (s *search) threads(p *stack.Party) (tids []threadID, known bool) {
	if p.TID != 0 {
		return []threadID{p.TID}, s.of[p.TID] != nil
	}
	n := s.procs[p.PID]
	if n == nil {
		return nil, false
	}
	return n.tids, len(n.tids) > 0
}

// step is one that waits for another one.
type step struct {
	from threadID
	node *processNode
	wait *wait
	to   stack.Party
}

// circle follows the waits from a thread on and returns the circle that they end in,
// unless it was seen before.
func (s *search) circle(tid threadID, seen map[threadID]bool) []step {
	var path []step
	at := make(map[threadID]int)
	for !seen[tid] {
		w := s.stuck[tid]
		if w == nil {
			return nil
		}
		seen[tid] = true
		at[tid] = len(path)
		to := w.wait.Holders[0]
		path = append(path, step{from: tid, node: s.of[tid], wait: &w.wait, to: to})
		on, _ := s.threads(&to)
		if len(on) == 0 {
			return nil
		}
		tid = on[0]
	}
	i, ok := at[tid]
	if !ok {
		return nil
	}
	return path[i:]
}

// stands reports whether the threads of a circle through several processes have not run
// since these were looked at.
func (s *search) stands(circle []step) bool {
	for _, e := range circle {
		if e.node != circle[0].node {
			return !slices.ContainsFunc(circle, func(e step) bool {
				was, ok := e.node.still[e.from]
				now, ok2 := e.node.slept(e.from)
				return !ok || !ok2 || was != now
			})
		}
	}
	return true
}

// deadlock is the model of a circle.
func deadlock(circle []step) stack.Deadlock {
	var d stack.Deadlock
	several := false
	for _, e := range circle {
		several = several || e.node != circle[0].node
	}
	texts := make([]string, 0, len(circle))
	for i, e := range circle {
		next := circle[(i+1)%len(circle)]
		edge := stack.WaitEdge{
			Waiter: stack.Party{TID: e.from, Name: e.node.names[e.from]},
			Holder: stack.Party{TID: next.from, Name: next.node.names[next.from]},
			Kind:   e.wait.Kind, Address: e.wait.Address, Object: e.wait.Object,
		}
		if several {
			edge.Waiter.PID, edge.Holder.PID = e.node.pid, next.node.pid
		}
		d.Edges = append(d.Edges, edge)
		texts = append(texts, strconv.Itoa(e.from)+" waits for "+strconv.Itoa(next.from)+" ("+why(e.wait)+")")
	}
	d.Text = strings.Join(texts, ", ")
	return d
}

// why is by what a thread is kept: mutex 0x55d0c04040, pipe:[48913].
func why(w *wait) string {
	switch {
	case w.Address != 0:
		return w.Kind + " " + hexa(w.Address)
	case w.Object != "" && strings.HasPrefix(w.Object, w.Kind):
		return w.Object
	case w.Object != "":
		return w.Kind + " " + w.Object
	}
	return w.Kind
}
