package hotspot

import (
	"slices"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/stack"
)

// javaThread is a JavaThread of the virtual machine.
type javaThread struct {
	addr    uint64
	id      uint64 // by which monitors know it, from JDK 24 on
	pc, fp  uint64 // of its last Java frame, 0 while it runs Java
	state   string
	pending uint64 // ObjectMonitor* that it waits to enter
	owner   uint64 // of that, as the monitor has it
	object  uint64 // that the monitor is of, 0 where that is not known

	low, high uint64   // its stack
	locked    []uint64 // the objects that it has locked without a monitor
}

// maxLocked is more than a LockStack has room for.
const maxLocked = 16

// owns reports whether t is the owner of the monitor that w waits for. A monitor that was
// made for a locked object has the address of the lock on the owner's stack, or no owner
// at all but 1: then the owner has the object among those that it has locked
// (runtime/objectMonitor.cpp).
func (l *layout) owns(t, w *javaThread) bool {
	switch {
	case t == w:
		return false
	case w.owner == 1:
		return w.object != 0 && slices.Contains(t.locked, w.object)
	case l.ownerID != 0:
		return t.id == w.owner
	}
	return t.addr == w.owner || w.owner >= t.low && w.owner < t.high
}

// maxThreads bounds the threads of a virtual machine that are read.
const maxThreads = 1 << 17

// readThreads reads the threads that run Java, by TID.
func (l *layout) readThreads(m *process.Recorder) map[int]*javaThread {
	threads := make(map[int]*javaThread)
	if l.threadNext != 0 { // JDK 8 chains them
		at, _ := m.Word(l.threads, 8)
		for range maxThreads {
			if at == 0 {
				break
			}
			l.readThread(m, at, threads)
			at, _ = m.Word(at+l.threadNext, 8)
		}
		return threads
	}
	list, _ := m.Word(l.threads, 8)
	n, _ := m.Word(list+l.threadsLength, 4)
	data, _ := m.Word(list+l.threadsData, 8)
	for i := range min(n, maxThreads) {
		if at, ok := m.Word(data+8*i, 8); ok {
			l.readThread(m, at, threads)
		}
	}
	return threads
}

func (l *layout) readThread(m *process.Recorder, at uint64, threads map[int]*javaThread) {
	os, _ := m.Word(at+l.osThread, 8)
	tid, ok := m.Word(os+l.osThreadID, 4)
	if !ok || os == 0 || tid == 0 || threads[int(tid)] != nil {
		return
	}
	t := &javaThread{addr: at}
	t.pc, _ = m.Word(at+l.anchorPC, 8)
	t.fp, _ = m.Word(at+l.anchorFP, 8)
	if v, ok := m.Word(os+l.osState, 4); ok && l.hasState {
		t.state = l.states[int64(v)]
	}
	if l.ownerID != 0 {
		t.id, _ = m.Word(at+l.ownerID, 8)
	}
	if l.stackBase != 0 && l.stackSize != 0 {
		t.high, _ = m.Word(at+l.stackBase, 8)
		size, _ := m.Word(at+l.stackSize, 8)
		t.low = t.high - min(size, t.high)
	}
	if l.pendingMonitor != 0 && l.monitorOwner != 0 {
		if t.pending, _ = m.Word(at+l.pendingMonitor, 8); t.pending != 0 {
			t.owner, _ = m.Word(t.pending+l.monitorOwner, 8)
			if l.lockStack != 0 {
				handle, _ := m.Word(t.pending+l.monitorObject, 8)
				t.object, _ = m.Word(handle, 8)
			}
		}
	}
	for a := at + l.lockStack; l.lockStack != 0 && a < at+l.lockStackEnd && len(t.locked) < maxLocked; a += 8 {
		if o, ok := m.Word(a, 8); ok && o != 0 {
			t.locked = append(t.locked, o)
		}
	}
	threads[int(tid)] = t
}

// about adds what the virtual machine knows of a thread.
func (r *reader) about(t *stack.Thread, jt *javaThread) {
	t.Runtimes = append(t.Runtimes, stack.RuntimeThread{Language: language, State: jt.state})
	if !r.wants.Waits || jt.pending == 0 || jt.owner == 0 {
		return
	}
	for tid, o := range r.threads {
		if r.l.owns(o, jt) {
			t.Waits = monitorWait(jt.pending, tid)
			return
		}
	}
}
