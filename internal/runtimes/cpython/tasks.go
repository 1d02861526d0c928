package cpython

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/stack"
)

// The tasks of asyncio, of CPython 3.11 to 3.14. Until 3.13 the module asyncio.tasks lists
// them: in a WeakSet, and those that began eagerly in a set. In 3.14 they are in lists of
// the threads and the interpreters. A task has a coroutine, which has a
// frame; a frame that waits has what it waits for on top of its stack: the next
// coroutine, up to the one that waits for a future.

// pyTask is a task that waits, or waits for its turn.
type pyTask struct {
	addr   uint64
	name   string
	state  string
	waiter uint64 // the future that it waits for, 0 for none
	kind   string // the waiter's type
	// through is the type of what the innermost frame waits for, where bt does not
	// read the frames in it: an asynchronous generator, for example.
	through string
	frames  []pyFrame
	cut     bool
}

// Bounds of what is read of tasks.
const (
	maxTasks     = 1 << 14
	maxTaskCalls = 1 << 16 // frames of all tasks
	maxSetTable  = 1 << 17 // entries
	maxTaskSize  = 512     // bytes of a task object
	maxAwaits    = 1 << 10 // coroutines of a task
	maxStackTop  = 1 << 16 // words of a frame
	setEntrySize = 16      // the object and its hash
)

// Where the fields are that no table has. Include/cpython/setobject.h,
// weakrefobject.h, pycore_frame.h.
const (
	setMask       = 32 // PySetObject
	setTable      = 40
	weakrefObject = 16 // PyWeakReference
	frameStackTop = 64 // _PyInterpreterFrame, 3.11 to 3.13: an int
	frameLocals   = 72
)

// asyncioOffsets is what the module _asyncio tells of itself from 3.14 on: a part of
// _Py_AsyncioModuleDebugOffsets in Modules/_asynciomodule.c.
type asyncioOffsets struct {
	node       uint64 // of a task: struct llist_node
	interpHead uint64 // of a PyInterpreterState
	threadHead uint64 // of a PyThreadState
}

// The words of _Py_AsyncioModuleDebugOffsets: seven of a task, two of an interpreter, four
// of a thread.
const (
	asyncioSection = ".AsyncioDebug"
	asyncioWords   = 13
)

// asyncio finds asyncioOffsets: the module is a library of its own, or CPython has it in it.
func (in *interpreter) asyncio(t *runtimes.Target) *asyncioOffsets {
	for _, m := range t.Space.Modules() {
		if m != in.module && !strings.HasPrefix(path.Base(m.Path), "_asyncio") {
			continue
		}
		im, err := m.Image()
		if err != nil {
			continue
		}
		s, ok := im.Section(asyncioSection)
		start, _ := m.Range()
		p := t.Space.Locate(start)
		if !ok || s.Addr == 0 || p.Image != im {
			continue
		}
		r := offsetReader{b: make([]byte, 8*asyncioWords), order: im.Order}
		if t.Memory.Read(s.Addr+p.Bias, r.b) < len(r.b) {
			continue
		}
		o := new(asyncioOffsets)
		r.skip(6) // size, name, awaited_by, is_task, awaited_by_is_set, coro
		o.node = r.next()
		r.skip(1)
		o.interpHead = r.next()
		r.skip(3) // size, running_loop, running_task
		o.threadHead = r.next()
		if !r.failed && o.node != 0 && o.node < maxTaskSize && o.interpHead != 0 && o.threadHead != 0 {
			return o
		}
	}
	return nil
}

// chained adds the tasks of a list.
func (m *memory) chained(head, node uint64, add func(obj uint64)) {
	at, ok := m.word(head)
	for n := 0; ok && at != head && at > node && n < maxTasks; n++ {
		add(at - node)
		at, ok = m.word(at)
	}
}

// taskLists are where an interpreter lists its tasks.
type taskLists struct {
	weak  uint64 // a WeakSet
	eager uint64 // a set, from 3.12 on; 0 for none
}

// hasTasks reports whether bt knows how the tasks of a version are listed.
func (m *memory) hasTasks() bool {
	return m.v.atLeast(11) && !m.l.freeThreaded && (!m.v.atLeast(14) || m.asyncio != nil)
}

// findTasks finds, before the stop, where each interpreter lists its tasks.
func (m *memory) findTasks(interps []*interp) map[uint64]taskLists {
	found := make(map[uint64]taskLists)
	for _, in := range interps {
		modules, ok := m.word(in.addr + m.l.interpModules)
		if !ok {
			continue
		}
		module := m.lookup(m.dict(modules), "asyncio.tasks")
		if !m.is(module, "module") {
			continue
		}
		var l taskLists
		dict, _ := m.word(module + m.l.objectSize)
		if !m.hasTasks() || m.asyncio != nil {
			found[in.addr] = l
			continue
		}
		if m.v.atLeast(12) {
			l.weak = m.lookup(m.dict(dict), "_scheduled_tasks")
			l.eager = m.lookup(m.dict(dict), "_eager_tasks")
		} else {
			l.weak = m.lookup(m.dict(dict), "_all_tasks")
		}
		found[in.addr] = l
	}
	return found
}

// set returns the objects in a set.
func (m *memory) set(obj uint64) (list []uint64) {
	if !m.is(obj, "set") {
		return nil
	}
	mask, ok1 := m.word(obj + setMask)
	table, ok2 := m.word(obj + setTable)
	if !ok1 || !ok2 || mask >= maxSetTable {
		return nil
	}
	m.Prefetch([]process.Range{{Start: table, Len: (mask + 1) * setEntrySize}})
	for i := uint64(0); i <= mask && len(list) < maxTasks; i++ {
		if key, ok := m.word(table + i*setEntrySize); ok && key != 0 {
			list = append(list, key)
		}
	}
	return list
}

// taskObjects returns the task objects of an interpreter, each once.
func (m *memory) taskObjects(l taskLists, in *interp, threads []*pyThread) (list []uint64) {
	known := make(map[uint64]bool)
	add := func(obj uint64) {
		if obj != 0 && !known[obj] && len(list) < maxTasks {
			known[obj] = true
			list = append(list, obj)
		}
	}
	if o := m.asyncio; o != nil {
		m.chained(in.addr+o.interpHead, o.node, add)
		for _, t := range threads {
			if t.interp == in {
				m.chained(t.state+o.threadHead, o.node, add)
			}
		}
		return list
	}
	for _, ref := range m.set(m.attribute(l.weak, "data")) {
		// The set also has an object that stands for what was taken out.
		if name, _ := m.typeOf(ref); strings.HasPrefix(name, "weakref") {
			obj, _ := m.word(ref + weakrefObject)
			add(obj)
		}
	}
	for _, obj := range m.set(l.eager) {
		add(obj)
	}
	return list
}

// readTasks reads the tasks of all interpreters. unknown is how many there are of a type that
// bt does not read.
func (r *reader) readTasks() (tasks []*pyTask, unknown int) {
	if !r.mem.hasTasks() {
		return nil, 0
	}
	left := maxTaskCalls
	for _, in := range r.interps {
		lists, ok := r.taskLists[in.addr]
		if !ok {
			continue
		}
		list := r.mem.taskObjects(lists, in, r.threads)
		if len(list) == maxTasks {
			unknown++ // there are more
		}
		for _, obj := range list {
			switch name, _ := r.mem.typeOf(obj); name {
			case "_asyncio.Task":
				t, ok := r.mem.readTask(obj, &left, r.wants.MaxFrames)
				if t != nil {
					tasks = append(tasks, t)
				}
				if !ok {
					unknown++
				}
			case "NoneType": // it is no more
			default:
				unknown++
			}
		}
	}
	slices.SortStableFunc(tasks, func(a, b *pyTask) int { // Task-9 before Task-10
		return cmp.Or(cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	return tasks, unknown
}

// readTask reads a task, nil for one that is done or that a thread runs; ok is false for
// one that cannot be read. Its fields have no fixed place: the coroutine is told by its type, the future that it waits for stands
// before it, the name behind it (struct TaskObj in Modules/_asynciomodule.c).
func (m *memory) readTask(obj uint64, limit *int, most int) (t *pyTask, ok bool) {
	_, typ := m.typeOf(obj)
	size, ok := m.word(typ + m.l.typeBasicSize)
	if !ok || size > maxTaskSize {
		return nil, false
	}
	if m.coroAt != 0 && m.coroAt+16 <= size {
		if t, found, ok := m.taskAt(obj, m.coroAt, limit, most); found {
			return t, ok
		}
	}
	for at := uint64(24); at+16 <= size; at += 8 {
		if t, found, ok := m.taskAt(obj, at, limit, most); found {
			m.coroAt = at
			return t, ok
		}
	}
	return nil, true // its coroutine is gone: it is done
}

// taskAt reads a task whose coroutine is at an offset; found is false where it is not there.
func (m *memory) taskAt(obj, at uint64, limit *int, most int) (t *pyTask, found, ok bool) {
	coro, _ := m.word(obj + at)
	if !m.is(coro, "coroutine") {
		return nil, false, false
	}
	name, ok := m.taskName(obj + at + 8)
	if !ok {
		return nil, false, false
	}
	t = &pyTask{addr: obj, name: name}
	if waiter, _ := m.word(obj + at - 8); waiter != 0 {
		if t.kind, _ = m.typeOf(waiter); t.kind != "NoneType" && t.kind != "" {
			t.waiter = waiter
		}
	}
	waits, ok := m.await(t, coro, limit, most)
	if !waits {
		t = nil
	}
	return t, true, ok
}

// taskName reads a task's name: a str, or the number of one that nobody has named.
func (m *memory) taskName(at uint64) (string, bool) {
	obj, ok := m.word(at)
	if !ok {
		return "", false
	}
	if n, ok := m.integer(obj); ok {
		return "Task-" + strconv.FormatUint(n, 10), true
	}
	return m.str(obj)
}

// genLayout is where a generator or coroutine has its state, a signed byte, and its frame
// (_PyGenObject_HEAD in Include/cpython/genobject.h).
func (m *memory) genLayout() (state, frame uint64) {
	if m.v.atLeast(14) {
		return m.l.genFrameState, m.l.genFrame
	}
	if m.v.atLeast(12) {
		return 67, 72
	}
	return 75, 80
}

// await reads the frames of the coroutines that wait for each other, the innermost first.
// waits is false for a task that is done, or runs, ok for one that cannot be read.
func (m *memory) await(t *pyTask, coro uint64, limit *int, most int) (waits, ok bool) {
	stateAt, frameAt := m.genLayout()
	created := int8(-2)
	if m.v.atLeast(13) {
		created = -3
	}
	f := frameReader{memory: m, limit: limit, most: 0}
	for n := 0; n < maxAwaits; n++ {
		b, ok := m.byte(coro + stateAt)
		state := int8(b)
		if !ok || state < created || state >= 0 {
			return n > 0, ok // of those within one that waits none runs
		}
		head, err := f.head(coro + frameAt)
		if err != nil {
			return false, false
		}
		frame, err := f.frame(head)
		if err != nil {
			return false, false
		}
		t.frames = append(t.frames, frame)
		if state == created {
			break
		}
		next := m.top(coro+frameAt, head)
		name, _ := m.typeOf(next)
		if name != "coroutine" && name != "generator" {
			if was, _ := m.typeOf(coro); was == "coroutine" && name != "" && name != "_asyncio.FutureIter" {
				t.through = name
			}
			break
		}
		coro = next
	}
	switch b, _ := m.byte(coro + stateAt); {
	case t.waiter != 0:
		t.state = "waiting"
	case len(t.frames) == 1 && int8(b) == created:
		t.state = "not started"
	default:
		t.state = "ready"
	}
	if t.through != "" {
		t.state += " in " + escape.Name(t.through)
	}
	for i, j := 0, len(t.frames)-1; i < j; i, j = i+1, j-1 {
		t.frames[i], t.frames[j] = t.frames[j], t.frames[i]
	}
	if most > 0 && len(t.frames) > most {
		t.frames, t.cut = t.frames[:most], true
	}
	return true, true
}

// top is what is on top of the stack of the frame at frame, whose start is head; 0 for
// nothing.
func (m *memory) top(frame uint64, head []byte) uint64 {
	n := uint64(m.order.Uint32(head[frameStackTop:]))
	stack := frame + frameLocals
	if m.v.atLeast(14) {
		if m.l.frameStack == 0 || m.l.frameStack+8 > uint64(len(head)) {
			return 0
		}
		stack = frame + frameLocals + 8
		n = (m.order.Uint64(head[m.l.frameStack:]) - stack) / 8
	}
	if n < 1 || n > maxStackTop {
		return 0
	}
	v, _ := m.word(stack + 8*(n-1))
	if m.v.atLeast(14) {
		v &^= 3 // a tag, _PyStackRef
	}
	return v
}

// tasks adds the tasks to the model.
func (r *reader) tasks(p *stack.Process) {
	names := make(map[uint64]string, len(r.asyncTasks))
	for _, t := range r.asyncTasks {
		names[t.addr] = t.name
	}
	for _, t := range r.asyncTasks {
		out := stack.Task{Name: t.name, State: t.state, End: stack.End{Reason: stack.Outermost}}
		if t.cut {
			out.End = stack.End{Reason: stack.MaxFrames, Text: fmt.Sprintf("cut after %d frames (--max-frames)", len(t.frames))}
		}
		if t.waiter != 0 {
			out.Waits = &stack.Wait{Kind: "future", Address: t.waiter}
			out.Waits.Text = escape.Name(t.kind[strings.LastIndexByte(t.kind, '.')+1:]) + fmt.Sprintf(" 0x%x", t.waiter)
			if name, ok := names[t.waiter]; ok {
				out.Waits.Kind = "task"
				out.Waits.Text = fmt.Sprintf("task \"%s\"", escape.Name(name))
			}
		}
		for i := range t.frames {
			f := &t.frames[i]
			out.Frames = append(out.Frames, stack.Frame{PC: f.instr, Exact: true, Managed: true, Names: []stack.Name{r.taskFrame(f)}})
		}
		p.Tasks = append(p.Tasks, out)
	}
	if len(r.taskLists) > 0 && !r.mem.hasTasks() {
		p.Notes = append(p.Notes, stack.Note{Kind: Language, Text: Language + ": the tasks of asyncio are not shown: bt reads those of CPython 3.11 to 3.14 that is not free-threaded"})
	}
	if r.unknownTasks > 0 {
		p.Notes = append(p.Notes, stack.Note{Kind: Language, Missing: true, Text: fmt.Sprintf(
			"%s: %d tasks or more of asyncio are missing: they cannot be read, are of a type that bt does not know, or the process had to go on before (--max-pause)", Language, r.unknownTasks)})
	}
}

// taskFrame names a frame of a task.
func (r *reader) taskFrame(f *pyFrame) stack.Name {
	c := r.codes[f.code]
	if c == nil || !c.ok {
		return stack.Name{Language: Language}
	}
	name := stack.Name{Symbol: c.name, File: c.file, Language: Language}
	if line, ok := r.mem.line(f, c); ok {
		name.Line = line
	} else {
		name.File = ""
	}
	return name
}
