package cpython

import (
	"errors"

	"github.com/gatedso/bt/internal/process"
)

// pyThread is what was read of a PyThreadState.
type pyThread struct {
	state      uint64 // its address
	id, native uint64 // pthread_self and gettid of the thread
	interp     *interp
	segs       []segment
	cut        bool  // there are more frames than are wanted
	err        error // why there are no more
	name       string
}

// interp is what was read of a PyInterpreterState.
type interp struct {
	addr       uint64
	id         int64
	gil        uint64 // struct _gil_runtime_state, 0 where there is none
	holder     uint64 // the PyThreadState that has it, 0 for none
	collecting bool   // garbage
}

// Bounds of the lists that are followed.
const (
	maxInterps = 1024
	maxThreads = 1 << 16
)

var (
	errLayout = errors.New("what its memory holds is not laid out as this version has it")
	errMemory = errors.New("its memory cannot be read")
)

// interps reads the interpreters and all their threads.
func (m *memory) interps(runtime uint64) (list []*interp, threads []*pyThread, err error) {
	addr, ok := m.word(runtime + m.l.runtimeInterpreters)
	for ; ok && addr != 0; addr, ok = m.word(addr + m.l.interpNext) {
		if len(list) == maxInterps {
			return list, threads, errMany
		}
		in := &interp{addr: addr}
		id, ok := m.word(addr + m.l.interpID)
		if !ok {
			return list, threads, errMemory
		}
		if id > 1<<40 {
			return list, threads, errLayout
		}
		in.id = int64(id)
		list = append(list, in)
		state, ok := m.word(addr + m.l.interpThreads)
		for ; ok && state != 0; state, ok = m.word(state + m.l.threadNext) {
			if len(threads) == maxThreads {
				return list, threads, errMany
			}
			// By this the layout proves to be the right one.
			back, ok := m.word(state + m.l.threadInterp)
			if !ok {
				return list, threads, errMemory
			}
			if back != addr {
				return list, threads, errLayout
			}
			t := &pyThread{state: state, interp: in}
			t.id, _ = m.word(state + m.l.threadID)
			if m.l.threadNativeID != 0 {
				t.native, _ = m.word(state + m.l.threadNativeID)
			}
			threads = append(threads, t)
		}
		if !ok {
			return list, threads, errMemory
		}
		m.readGIL(runtime, in)
	}
	if !ok {
		return list, threads, errMemory
	}
	return list, threads, nil
}

// readGIL reads who holds the global interpreter lock.
func (m *memory) readGIL(runtime uint64, in *interp) {
	if m.l.runtimeCollecting != 0 {
		c, _ := m.int32(runtime + m.l.runtimeCollecting)
		in.collecting = c == 1
	} else {
		c, _ := m.int32(in.addr + m.l.interpCollecting)
		in.collecting = c == 1
	}
	gil := runtime + m.l.runtimeGIL
	if m.v.atLeast(12) {
		var ok bool
		if gil, ok = m.word(in.addr + m.l.interpGIL); !ok || gil == 0 {
			return
		}
	}
	if m.l.freeThreaded {
		if enabled, ok := m.int32(gil + m.l.gilEnabled); !ok || enabled == 0 {
			return
		}
	}
	locked, ok1 := m.int32(gil + m.l.gilLocked)
	holder, ok2 := m.word(gil + m.l.gilHolder)
	if !ok1 || !ok2 || locked < -1 || locked > 1 {
		return
	}
	in.gil = gil
	if locked == 1 {
		in.holder = holder
	}
}

// owners tells which threads of the process the PyThreadStates belong to: index i of
// threads by its state, -1 where it is none of those. Where the thread pointer is in
// the register set it is what pthread_self returns, and certain; elsewhere the number
// tells that the kernel has given the thread.
func owners(states []*pyThread, threads []process.StoppedThread) []int {
	byTLS, byTID := make(map[uint64]int), make(map[uint64]int)
	for i := range threads {
		if t := &threads[i]; t.TLS != 0 && t.Arch != nil && t.Arch.TLSBase != nil {
			byTLS[t.TLS] = i
		} else {
			byTID[uint64(t.TID)] = i
		}
	}
	out := make([]int, len(states))
	for k, s := range states {
		if i, ok := byTLS[s.id]; ok {
			out[k] = i
		} else if i, ok := byTID[s.native]; ok && s.native != 0 {
			out[k] = i
		} else {
			out[k] = -1
		}
	}
	return out
}

// runner is the index of the thread that runs the PyThreadState of a sub-interpreter. Until
// 3.12 the one that has made it is not always the one that runs it: on whose stack its C
// calls have their variables tells. Where nothing tells, it is owner.
func (t *pyThread) runner(owner int, threads []process.StoppedThread) int {
	for i := range t.segs {
		if at := t.segs[i].at; at != 0 {
			if i := onStack(at, threads); i >= 0 {
				return i
			}
			break
		}
	}
	return owner
}

// onStack is the index of the thread on whose stack addr is, -1 for none. Where no stacks
// were copied, as of a core, it is the nearest one above whose end it lies.
func onStack(addr uint64, threads []process.StoppedThread) int {
	best, nearest := -1, uint64(0)
	for i := range threads {
		t := &threads[i]
		if t.Arch == nil {
			continue
		}
		if len(t.Stack) > 0 {
			if addr-t.StackAddr < uint64(len(t.Stack)) {
				return i
			}
			continue
		}
		if sp, ok := t.Regs.Get(t.Arch.SP); ok && sp <= addr && sp >= nearest {
			best, nearest = i, sp
		}
	}
	return best
}
