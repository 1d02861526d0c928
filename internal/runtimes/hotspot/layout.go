package hotspot

import (
	"fmt"

	"github.com/gatedso/bt/internal/process"
)

// layout is where the fields lie that are read, in one version of the JDK. Offsets are
// in bytes.
type layout struct {
	major int // of the JDK

	heaps                           uint64 // the variable that leads to the code heaps
	oneHeap                         bool   // it is that of JDK 8, which has one
	arrayLen, arrayData             uint64 // GrowableArray
	heapMemory, heapSegmap          uint64 // CodeHeap
	heapShift                       uint64
	spaceLow, spaceHigh             uint64 // VirtualSpace
	blockUsed, blockSize            uint64 // HeapBlock
	codeBegin, codeEnd              uint64 // CodeBlob: addresses; 0 where it has offsets
	codeOffset, dataOffset          uint64 // CodeBlob: offsets
	blobName, frameSize             uint64
	frameComplete                   uint64
	frameCompleteSize               int
	mutable, relocSize              uint64 // CodeBlob of JDK 25: where an nmethod's metadata is
	nmethodMethod                   uint64
	scopesPcs, scopesData           uint64 // nmethod
	pcsEnd, metadata                uint64
	immutable                       uint64
	pcdescSize                      uint64
	constMethod                     uint64 // Method
	constMethodSize, codeSize       uint64 // ConstMethod: of the structure, of its bytecodes
	constants, nameIndex            uint64
	constFlags                      uint64
	hasLines                        uint64 // the flag
	poolSize, poolHolder            uint64 // ConstantPool
	sourceFile                      uint64 // the index of the source file's name
	sourceOfKlass                   bool   // it is in InstanceKlass
	klassName                       uint64
	symbolLength, symbolBody        uint64
	threads                         uint64 // the variable that leads to the threads
	threadNext                      uint64 // JavaThread of JDK 8: they are a list
	threadsLength, threadsData      uint64 // ThreadsList
	osThread, osThreadID, osState   uint64
	hasState                        bool
	pendingMonitor, monitorOwner    uint64
	ownerID                         uint64 // JavaThread of JDK 24: a monitor's owner is a number
	stackBase, stackSize            uint64 // of JavaThread
	lockStack, lockStackEnd         uint64 // of JavaThread: the objects that it has locked; 0: not there
	monitorObject                   uint64 // ObjectMonitor: a handle
	anchorSP, anchorPC, anchorFP    uint64 // of JavaThread
	states                          map[int64]string
	bcpSlot                         int64 // of the interpreter's frame, from the frame pointer
	stride                          int   // UNSIGNED5: the least value of a digit
	immutableKinds, mutableMetadata bool
}

// reading resolves the names of fields, and keeps the first that is missing.
type reading struct {
	s       *structs
	missing string
}

func (r *reading) offset(names ...string) uint64 {
	off, ok := r.s.offset(names...)
	if !ok {
		r.miss(names[0])
	}
	return off
}

func (r *reading) static(names ...string) uint64 {
	at, ok := r.s.static(names...)
	if !ok {
		r.miss(names[0])
	}
	return at
}

func (r *reading) size(name string) uint64 {
	n, ok := r.s.sizes[name]
	if !ok || n == 0 || n >= maxField {
		r.miss(name)
	}
	return n
}

func (r *reading) miss(name string) {
	if r.missing == "" {
		r.missing = name
	}
}

func (r *reading) has(name string) bool { _, ok := r.s.fields[name]; return ok }

// newLayout finds the fields in the tables of libjvm.
func newLayout(m *process.Recorder, s *structs) (*layout, error) {
	r := &reading{s: s}
	l := &layout{oneHeap: r.has("CodeCache::_heap")}
	major, _ := m.Word(r.static("Abstract_VM_Version::_vm_major_version", "VM_Version::_vm_major_version"), 4)
	if l.major = int(major); l.oneHeap {
		l.major = 8 // whose HotSpot calls itself 25
	}
	r.codeCache(l)
	r.nmethod(l)
	r.method(l)
	r.threads(l)
	l.stride = 0
	if l.major >= 20 { // JDK-8292758
		l.stride = 1
	}
	l.bcpSlot = -8
	if l.major == 8 {
		l.bcpSlot = -7 // without the mirror
	}
	if r.missing != "" {
		return nil, fmt.Errorf("libjvm does not tell where %s is: this version is not known", r.missing)
	}
	return l, nil
}

func (r *reading) codeCache(l *layout) {
	if l.oneHeap {
		l.heaps = r.static("CodeCache::_heap")
	} else {
		l.heaps = r.static("CodeCache::_heaps")
		l.arrayLen = r.offset("GrowableArrayBase::_len", "GenericGrowableArray::_len")
		l.arrayData = r.offset("GrowableArray<int>::_data")
	}
	l.heapMemory, l.heapSegmap = r.offset("CodeHeap::_memory"), r.offset("CodeHeap::_segmap")
	l.heapShift = r.offset("CodeHeap::_log2_segment_size")
	l.spaceLow, l.spaceHigh = r.offset("VirtualSpace::_low"), r.offset("VirtualSpace::_high")
	l.blockUsed, l.blockSize = r.offset("HeapBlock::Header::_used"), r.size("HeapBlock")
	if r.has("CodeBlob::_code_begin") {
		l.codeBegin, l.codeEnd = r.offset("CodeBlob::_code_begin"), r.offset("CodeBlob::_code_end")
	} else {
		l.codeOffset = r.offset("CodeBlob::_code_offset")
		l.dataOffset = r.offset("CodeBlob::_data_offset")
	}
	l.blobName, l.frameSize = r.offset("CodeBlob::_name"), r.offset("CodeBlob::_frame_size")
	l.frameComplete, l.frameCompleteSize = r.offset("CodeBlob::_frame_complete_offset"), 4
	if r.has("CodeBlob::_kind") { // JDK 23 packs it
		l.frameCompleteSize = 2
	}
}

func (r *reading) nmethod(l *layout) {
	l.nmethodMethod = r.offset("nmethod::_method", "CompiledMethod::_method")
	l.scopesPcs = r.offset("nmethod::_scopes_pcs_offset")
	switch {
	case r.has("nmethod::_immutable_data"): // JDK 23
		l.immutableKinds = true
		l.immutable = r.offset("nmethod::_immutable_data")
		l.scopesData = r.offset("nmethod::_scopes_data_offset")
	case r.has("CompiledMethod::_scopes_data_begin"): // JDK 9
		l.scopesData = r.offset("CompiledMethod::_scopes_data_begin")
		l.pcsEnd = r.offset("nmethod::_dependencies_offset")
	default:
		l.scopesData = r.offset("nmethod::_scopes_data_offset", "nmethod::_scopes_data_begin")
		l.pcsEnd = r.offset("nmethod::_dependencies_offset")
	}
	if r.has("CodeBlob::_mutable_data") { // JDK 25
		l.mutableMetadata = true
		l.mutable, l.relocSize = r.offset("CodeBlob::_mutable_data"), r.offset("CodeBlob::_relocation_size")
	} else {
		l.metadata = r.offset("nmethod::_metadata_offset")
		l.dataOffset = r.offset("CodeBlob::_data_offset")
	}
	l.pcdescSize = r.size("PcDesc")
}

func (r *reading) method(l *layout) {
	l.constMethod = r.offset("Method::_constMethod")
	l.constMethodSize, l.codeSize = r.size("ConstMethod"), r.offset("ConstMethod::_code_size")
	l.constants, l.nameIndex = r.offset("ConstMethod::_constants"), r.offset("ConstMethod::_name_index")
	l.constFlags = r.offset("ConstMethod::_flags", "ConstMethod::_flags._flags")
	l.hasLines = 1
	for _, name := range []string{"ConstMethod::_has_linenumber_table", "ConstMethodFlags::_misc_has_linenumber_table"} {
		if v, ok := r.s.consts[name]; ok {
			l.hasLines = uint64(v)
		}
	}
	l.poolSize, l.poolHolder = r.size("ConstantPool"), r.offset("ConstantPool::_pool_holder")
	l.sourceOfKlass = !r.has("ConstantPool::_source_file_name_index")
	l.sourceFile = r.offset("ConstantPool::_source_file_name_index", "InstanceKlass::_source_file_name_index")
	l.klassName = r.offset("Klass::_name")
	l.symbolLength, l.symbolBody = r.offset("Symbol::_length", "Symbol::_length_and_refcount"), r.offset("Symbol::_body", "Symbol::_body[0]")
}

func (r *reading) threads(l *layout) {
	if r.has("ThreadsSMRSupport::_java_thread_list") {
		l.threads = r.static("ThreadsSMRSupport::_java_thread_list")
		l.threadsLength, l.threadsData = r.offset("ThreadsList::_length"), r.offset("ThreadsList::_threads")
	} else {
		l.threads, l.threadNext = r.static("Threads::_thread_list"), r.offset("JavaThread::_next")
	}
	l.osThread, l.osThreadID = r.offset("JavaThread::_osthread", "Thread::_osthread"), r.offset("OSThread::_thread_id")
	l.osState, l.hasState = r.s.offset("OSThread::_state") // JDK 8 does not tell it
	l.states = make(map[int64]string)
	for name, text := range map[string]string{
		"MONITOR_WAIT": "waiting for monitor entry", "CONDVAR_WAIT": "waiting on condition",
		"OBJECT_WAIT": "in Object.wait()", "SLEEPING": "sleeping",
	} {
		if v, ok := r.s.consts[name]; ok {
			l.states[v] = text
		}
	}
	anchor := r.offset("JavaThread::_anchor")
	l.anchorSP = anchor + r.offset("JavaFrameAnchor::_last_Java_sp")
	l.anchorPC = anchor + r.offset("JavaFrameAnchor::_last_Java_pc")
	l.anchorFP = anchor + r.offset("JavaFrameAnchor::_last_Java_fp")
	// What these lack, is not told; the frames are.
	l.pendingMonitor, _ = r.s.offset("JavaThread::_current_pending_monitor", "Thread::_current_pending_monitor")
	l.monitorOwner, _ = r.s.offset("ObjectMonitor::_owner")
	l.ownerID, _ = r.s.offset("JavaThread::_monitor_owner_id")
	l.stackBase, _ = r.s.offset("JavaThread::_stack_base", "Thread::_stack_base")
	l.stackSize, _ = r.s.offset("JavaThread::_stack_size", "Thread::_stack_size")
	stack, ok := r.s.offset("JavaThread::_lock_stack")
	base, ok2 := r.s.offset("LockStack::_base[0]")
	object, ok3 := r.s.offset("ObjectMonitor::_object")
	if ok && ok2 && ok3 && r.s.sizes["LockStack"] > base {
		l.lockStack, l.lockStackEnd, l.monitorObject = stack+base, stack+r.s.sizes["LockStack"], object
	}
}
