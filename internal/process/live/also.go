//go:build linux

package live

import (
	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/process"
)

// also has the caller read what else it wants of the process.
func (t *tracer) also() {
	if t.o.Also == nil || t.budget.late() {
		return
	}
	s := &process.Stopped{Memory: process.NewRecorder(t.fetch)}
	s.Memory.Reserve(t.alsoRoom)
	for i := range t.threads {
		th := &t.threads[i]
		if th.st == over {
			continue
		}
		s.TIDs = append(s.TIDs, th.tid)
		if !th.wanted {
			continue
		}
		th.out.TID, th.out.Name = th.tid, th.name
		if th.st == halted && th.out.Arch != nil {
			th.out.TLS, _ = th.threadPointer()
		}
		st := process.StoppedThread{Thread: &th.out.Thread}
		if len(th.out.segs) > 0 {
			st.StackAddr, st.Stack = th.out.segs[0].start, th.out.segs[0].data
		}
		s.Threads = append(s.Threads, st)
	}
	t.o.Also(s)
	s.Memory.Freeze()
	t.recorder = s.Memory
}

// fetch is a process.Fetch: as few system calls as possible, and none when the stop
// has cost what it may.
func (t *tracer) fetch(ranges []process.Range, out [][]byte, n []int) {
	for k := 0; k < len(ranges) && !t.budget.late(); {
		end := min(k+iovMax, len(ranges))
		if t.reader.mem < 0 && end-k > 1 {
			if got := t.fetchBatch(ranges[k:end], out[k:end], n[k:end]); got > 0 {
				k += got
				continue
			}
		}
		// The one that ended the call: as much as there is of it.
		n[k] = t.reader.read(ranges[k].Start, out[k])
		k++
	}
}

// fetchBatch reads ranges with one call and returns how many came whole.
func (t *tracer) fetchBatch(ranges []process.Range, out [][]byte, n []int) int {
	remotes := make([]unix.RemoteIovec, len(ranges))
	locals := make([]unix.Iovec, len(ranges))
	for i, g := range ranges {
		remotes[i] = unix.RemoteIovec{Base: uintptr(g.Start), Len: int(g.Len)}
		locals[i].Base = &out[i][0]
		locals[i].SetLen(len(out[i]))
	}
	got, err := unix.ProcessVMReadv(t.reader.tid, locals, remotes, 0)
	if err != nil {
		return 0
	}
	for i := range ranges {
		if got < int(ranges[i].Len) {
			return i
		}
		n[i] = int(ranges[i].Len)
		got -= n[i]
	}
	return len(ranges)
}
