//go:build linux

package live

import (
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/guard"
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
	if len(ranges) >= 2*fetchChunk && t.reader.mem < 0 {
		t.fetchTogether(ranges, out, n)
	}
	for k := 0; k < len(ranges) && !t.budget.late(); {
		if n[k] == int(ranges[k].Len) && n[k] > 0 {
			k++
			continue
		}
		end := k + 1
		for end < len(ranges) && end-k < iovMax && n[end] == 0 {
			end++
		}
		if t.reader.mem < 0 && end-k > 1 {
			if got := fetchBatch(t.reader.tid, ranges[k:end], out[k:end], n[k:end], new(vectors)); got > 0 {
				k += got
				continue
			}
		}
		// The one that ended the call: as much as there is of it.
		n[k] = t.reader.read(ranges[k].Start, out[k])
		k++
	}
}

// fetchChunk is how many ranges one call reads where two threads of bt read together. The
// kernel looks up each page for itself: that takes most of the time.
const fetchChunk = 256

// fetchTogether reads ranges with a second thread of bt, as far as that needs no care.
func (t *tracer) fetchTogether(ranges []process.Range, out [][]byte, n []int) {
	var next atomic.Int64
	deadline := t.budget.deadline
	work := func() {
		v := new(vectors)
		for {
			k := int(next.Add(fetchChunk)) - fetchChunk
			if k >= len(ranges) || !deadline.IsZero() && !time.Now().Before(deadline) {
				return
			}
			end := min(k+fetchChunk, len(ranges))
			fetchBatch(t.reader.tid, ranges[k:end], out[k:end], n[k:end], v)
		}
	}
	var wg sync.WaitGroup
	guard.Go(&wg, work)
	work()
	wg.Wait()
}

// vectors is what a call of process_vm_readv takes.
type vectors struct {
	remote [iovMax]unix.RemoteIovec
	local  [iovMax]unix.Iovec
}

// fetchBatch reads ranges with one call and returns how many came whole.
func fetchBatch(tid int, ranges []process.Range, out [][]byte, n []int, v *vectors) int {
	locals := v.local[:0]
	for i, g := range ranges {
		v.remote[i] = unix.RemoteIovec{Base: uintptr(g.Start), Len: int(g.Len)}
		b := out[i]
		if last := len(locals) - 1; last >= 0 && unsafe.Add(unsafe.Pointer(locals[last].Base), locals[last].Len) == unsafe.Pointer(&b[0]) {
			locals[last].SetLen(int(locals[last].Len) + len(b)) // it lies behind the one before
			continue
		}
		locals = locals[:len(locals)+1]
		locals[len(locals)-1].Base = &b[0]
		locals[len(locals)-1].SetLen(len(b))
	}
	got, err := unix.ProcessVMReadv(tid, locals, v.remote[:len(ranges)], 0)
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
