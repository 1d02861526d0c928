//go:build linux

package waits

import (
	"testing"

	"github.com/gatedso/bt/stack"
)

// processOf makes a node of a process whose threads are numbered from its PID on.
func processOf(pid, threads int, waits map[int]wait) *processNode {
	n := &processNode{pid: pid, names: make(map[int]string), waits: make(map[int]*threadWaits)}
	for i := range threads {
		n.tids = append(n.tids, pid+i)
	}
	for tid, w := range waits {
		n.waits[tid] = &threadWaits{tid: tid, wait: w}
	}
	return n
}

func on(tid int) wait {
	return wait{Wait: stack.Wait{Kind: "mutex", Address: uint64(tid), Holders: []stack.Party{{TID: tid}}}, all: true}
}

func onProcess(pids ...int) wait {
	w := wait{Wait: stack.Wait{Kind: "pipe", Object: "pipe:[7]"}, all: true}
	for _, pid := range pids {
		w.Holders = append(w.Holders, stack.Party{PID: pid})
	}
	return w
}

func TestDeadlocks(t *testing.T) {
	timed, partly := on(10), on(10)
	timed.timed, partly.all = true, false
	type procs []*processNode
	for _, tt := range []struct {
		name  string
		procs procs
		want  []string
	}{
		{"two mutexes", procs{processOf(10, 3, map[int]wait{10: on(11), 11: on(10)})},
			[]string{"10 waits for 11 (mutex 0xb), 11 waits for 10 (mutex 0xa)"}},
		{"itself", procs{processOf(10, 1, map[int]wait{10: on(10)})}, []string{"10 waits for 10 (mutex 0xa)"}},
		{"a chain leads into it", procs{processOf(10, 4, map[int]wait{10: on(11), 11: on(12), 12: on(11)})},
			[]string{"11 waits for 12 (mutex 0xc), 12 waits for 11 (mutex 0xb)"}},
		{"two of them", procs{processOf(10, 4, map[int]wait{10: on(11), 11: on(10), 12: on(13), 13: on(12)})},
			[]string{"10 waits for 11 (mutex 0xb), 11 waits for 10 (mutex 0xa)", "12 waits for 13 (mutex 0xd), 13 waits for 12 (mutex 0xc)"}},
		{"the holder runs", procs{processOf(10, 3, map[int]wait{10: on(11)})}, nil},
		{"one has a timeout", procs{processOf(10, 2, map[int]wait{10: on(11), 11: timed})}, nil},
		{"not all are known", procs{processOf(10, 2, map[int]wait{10: on(11), 11: partly})}, nil},
		{"a thread that is not known", procs{processOf(10, 1, map[int]wait{10: on(99)})}, nil},
		{"two processes", procs{processOf(10, 1, map[int]wait{10: onProcess(20)}), processOf(20, 1, map[int]wait{20: onProcess(10)})}, nil},
		{"another writer", procs{processOf(10, 1, map[int]wait{10: onProcess(10, 20)}), processOf(20, 1, nil)}, nil},
		{"only itself writes", procs{processOf(10, 1, map[int]wait{10: onProcess(10)})}, []string{"10 waits for 10 (pipe:[7])"}},
		{"another thread can write", procs{processOf(10, 2, map[int]wait{10: onProcess(10)})}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g graph
			var got []stack.Deadlock
			for _, p := range tt.procs {
				got = g.add(p)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("%+v, want %q", got, tt.want)
			}
			for i := range got {
				if got[i].Text != tt.want[i] {
					t.Errorf("%q, want %q", got[i].Text, tt.want[i])
				}
			}
		})
	}
}

// TestStuck finds those that nothing lets go on; a circle through processes that were
// stopped at different moments is told only of threads that have not run since, which
// TestDeadlocks' have no procfs to show.
func TestStuck(t *testing.T) {
	s := newSearch([]*processNode{
		processOf(10, 1, map[int]wait{10: onProcess(20)}),
		processOf(20, 1, map[int]wait{20: onProcess(10)}),
		processOf(30, 2, map[int]wait{30: onProcess(10), 31: on(30)}),
	})
	s.settle()
	if len(s.stuck) != 4 {
		t.Errorf("%d are stuck, want 4", len(s.stuck))
	}
	if c := s.circle(10, make(map[int]bool)); len(c) != 2 || s.stands(c) {
		t.Errorf("%+v", c)
	}
}
