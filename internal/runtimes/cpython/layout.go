package cpython

import (
	"encoding/binary"
	"fmt"
)

// version is a release of CPython: {3, 11}.
type version struct{ major, minor int }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// atLeast reports whether v is {3, minor} or later.
func (v version) atLeast(minor int) bool { return v.major == 3 && v.minor >= minor }

// layout is where one version of CPython keeps what bt reads: offsets in bytes from the
// start of the struct that a field's name begins with. Which of them a version has its
// number tells; the others are 0.
type layout struct {
	// _PyRuntimeState and PyInterpreterState
	runtimeInterpreters uint64 // interpreters.head
	runtimeGIL          uint64 // ceval.gil, until 3.11
	runtimeCollecting   uint64 // gc.collecting, 3.8
	interpNext          uint64
	interpID            uint64
	interpThreads       uint64 // threads.head, tstate_head before 3.11
	interpModules       uint64 // sys.modules
	interpGIL           uint64 // a pointer, from 3.12
	interpCollecting    uint64 // gc.collecting, from 3.9
	gilHolder           uint64 // of struct _gil_runtime_state
	gilLocked           uint64
	gilCond             uint64
	gilEnabled          uint64 // of a free-threaded build

	// PyThreadState
	threadNext     uint64
	threadInterp   uint64
	threadID       uint64 // what pthread_self returns
	threadNativeID uint64 // what gettid returns in the process's PID namespace, from 3.11
	threadFrame    uint64 // until 3.10: PyFrameObject; from 3.13: _PyInterpreterFrame
	threadCFrame   uint64 // 3.10 to 3.12
	threadRoot     uint64 // the same: the CFrame of no call
	threadSize     uint64 // from 3.13
	cFramePrevious uint64
	cFrameFrame    uint64 // from 3.11

	// PyFrameObject until 3.10, then _PyInterpreterFrame
	frameBack  uint64
	frameCode  uint64
	frameInstr uint64 // f_lasti, an int, until 3.10; then prev_instr; from 3.13 instr_ptr
	frameOwner uint64
	frameEntry uint64 // is_entry, 3.11
	frameStack uint64 // where its stack ends, from 3.14
	frameTLBC  uint64 // of a free-threaded build, from 3.14
	frameSize  uint64

	// PyCodeObject
	codeFile      uint64
	codeName      uint64
	codeQualName  uint64 // from 3.11
	codeFirstLine uint64
	codeLines     uint64 // co_lnotab until 3.9, then co_linetable
	codeBytes     uint64 // co_code_adaptive, from 3.11
	codeTLBC      uint64 // of a free-threaded build, from 3.14

	// objects
	objectSize     uint64
	objectType     uint64
	typeName       uint64
	typeBasicSize  uint64
	typeFlags      uint64
	typeDictOffset uint64
	typeCachedKeys uint64 // of PyHeapTypeObject, from 3.11
	bytesSize      uint64
	bytesData      uint64
	strLength      uint64
	strState       uint64
	strASCII       uint64 // sizeof(PyASCIIObject): where the characters of an ASCII string are
	strCompact     uint64 // sizeof(PyCompactUnicodeObject): those of other compact strings
	strData        uint64 // the pointer to those that are not compact
	dictKeys       uint64
	dictValues     uint64
	longSize       uint64 // ob_size, lv_tag from 3.12
	longDigits     uint64

	// generators and tasks
	genFrame      uint64
	genFrameState uint64

	freeThreaded bool
}

// debugCookie begins _PyRuntime from 3.13 on: what tells the layout follows.
const debugCookie = "xdebugpy"

// The sizes in words of _Py_DebugOffsets, Include/internal/pycore_debug_offsets.h.
const (
	debugWords313 = 73
	debugWords314 = 95
)

// debugOffsets reads the layout that _PyRuntime itself tells, in the process's byte order.
func debugOffsets(v version, b []byte, order binary.ByteOrder) (*layout, error) {
	r := offsetReader{b: b, order: order, at: len(debugCookie) + 8}
	l := new(layout)
	l.freeThreaded = r.next() != 0
	later := v.atLeast(14) // than 3.13

	r.skip(2) // size, finalizing
	l.runtimeInterpreters = r.next()

	r.skip(1) // size of PyInterpreterState
	r.to(&l.interpID, &l.interpNext, &l.interpThreads)
	if later {
		r.skip(1) // threads_main
	}
	gc := r.next()
	l.interpModules = r.next()
	r.skip(2) // sysdict, builtins
	l.interpGIL = r.next()
	gil := r.next()
	r.to(&l.gilEnabled, &l.gilLocked, &l.gilHolder)
	// These two are told from PyInterpreterState on.
	l.gilLocked, l.gilHolder = l.gilLocked-gil, l.gilHolder-gil
	l.gilCond = (l.gilLocked+4+7)&^7 + 8 // behind locked is switch_number
	if later {
		r.skip(2) // code_object_generation, tlbc_generation
	}

	l.threadSize = r.next()
	r.skip(1) // prev
	r.to(&l.threadNext, &l.threadInterp, &l.threadFrame, &l.threadID, &l.threadNativeID)
	r.skip(2) // datastack_chunk, status

	l.frameSize = r.next()
	r.to(&l.frameBack, &l.frameCode, &l.frameInstr)
	r.skip(1) // localsplus
	l.frameOwner = r.next()
	if later {
		l.frameStack = r.next()
		l.frameTLBC = r.next()
	}
	r.code(l, later)
	r.objects(l, later)
	r.skip(1) // size of struct _gc_runtime_state
	l.interpCollecting = gc + r.next()
	if later {
		r.skip(2) // size of PyGenObject, gi_name
		r.to(&l.genFrame, &l.genFrameState)
	}
	if r.failed {
		return nil, errDamaged
	}
	return l, nil
}

func (r *offsetReader) code(l *layout, later bool) {
	r.skip(1) // size
	r.to(&l.codeFile, &l.codeName, &l.codeQualName, &l.codeLines, &l.codeFirstLine)
	r.skip(3) // argcount, localsplusnames, localspluskinds
	l.codeBytes = r.next()
	if later {
		l.codeTLBC = r.next()
	}
}

func (r *offsetReader) objects(l *layout, later bool) {
	r.to(&l.objectSize, &l.objectType)
	// The ends of PyTypeObject and PyHeapTypeObject are as they were in 3.12.
	const heapPart = 464 // from the end of the one to ht_cached_keys of the other
	l.typeCachedKeys = r.next() + heapPart
	l.typeName = r.next()
	r.skip(1) // tp_repr
	l.typeFlags = r.next()
	// PyTypeObject is as it was in 3.12, behind a head that may be larger.
	old := tables[12]
	l.typeBasicSize = l.typeName + old.typeBasicSize - old.typeName
	l.typeDictOffset = l.typeName + old.typeDictOffset - old.typeName
	r.skip(6) // PyTupleObject, PyListObject
	if later {
		r.skip(4) // PySetObject
	}
	r.skip(1)
	r.to(&l.dictKeys, &l.dictValues)
	r.skip(3) // PyFloatObject and its size, the size of PyLongObject
	r.to(&l.longSize, &l.longDigits)
	r.skip(1)
	r.to(&l.bytesSize, &l.bytesData)
	r.skip(1)
	r.to(&l.strState, &l.strLength, &l.strASCII)
	l.strCompact = l.strASCII + 16 // utf8_length, utf8
	l.strData = l.strCompact
}

// offsetReader reads _Py_DebugOffsets word by word.
type offsetReader struct {
	b      []byte
	order  binary.ByteOrder
	at     int
	failed bool
}

// maxOffset bounds an offset: PyInterpreterState has some hundred KiB.
const maxOffset = 16 << 20

func (r *offsetReader) next() uint64 {
	if len(r.b)-r.at < 8 {
		r.failed = true
		return 0
	}
	v := r.order.Uint64(r.b[r.at:])
	r.at += 8
	if v > maxOffset {
		r.failed = true
	}
	return v
}

func (r *offsetReader) skip(n int) { r.at += 8 * n }

func (r *offsetReader) to(fields ...*uint64) {
	for _, f := range fields {
		*f = r.next()
	}
}
