package hotspot

import (
	"github.com/gatedso/bt/internal/process"
)

// codeHeap is a part of HotSpot's code cache (memory/heap.hpp): segments of memory, and
// a map of a byte for each, which leads from any segment to the first of its block.
type codeHeap struct {
	low, high uint64 // of the segments in use
	segmap    uint64
	shift     uint // log2 of a segment's size
}

// maxHeaps is more than the three that the JDK makes.
const maxHeaps = 16

// readHeaps reads where the code cache lies. Heaps grow: they are read in the stop.
func (l *layout) readHeaps(m *process.Recorder) []codeHeap {
	var addrs []uint64
	if l.oneHeap { // JDK 8: CodeHeap* CodeCache::_heap
		if h, ok := m.Word(l.heaps, 8); ok {
			addrs = append(addrs, h)
		}
	} else { // GrowableArray<CodeHeap*>* CodeCache::_heaps
		array, _ := m.Word(l.heaps, 8)
		n, _ := m.Word(array+l.arrayLen, 4)
		data, _ := m.Word(array+l.arrayData, 8)
		for i := range min(n, maxHeaps) {
			if h, ok := m.Word(data+8*i, 8); ok {
				addrs = append(addrs, h)
			}
		}
	}
	var heaps []codeHeap
	for _, a := range addrs {
		var h codeHeap
		h.low, _ = m.Word(a+l.heapMemory+l.spaceLow, 8)
		h.high, _ = m.Word(a+l.heapMemory+l.spaceHigh, 8)
		h.segmap, _ = m.Word(a+l.heapSegmap+l.spaceLow, 8)
		shift, ok := m.Word(a+l.heapShift, 4)
		if ok && h.low < h.high && h.high-h.low < 1<<40 && shift < 32 && h.segmap != 0 {
			h.shift = uint(shift)
			heaps = append(heaps, h)
		}
	}
	return heaps
}

// maxHops bounds the steps through a heap's map: each goes up to 254 segments back.
const maxHops = 1 << 16

// block returns the address of the block that holds pc (CodeHeap::find_start).
func (h *codeHeap) block(m *process.Recorder, pc uint64) (uint64, bool) {
	i := (pc - h.low) >> h.shift
	for range maxHops {
		b, ok := m.Word(h.segmap+i, 1)
		switch {
		case !ok || b == 0xff || b > i: // 0xff: a free segment
			return 0, false
		case b == 0:
			return h.low + i<<h.shift, true
		}
		i -= b
	}
	return 0, false
}

// blob is one CodeBlob (code/codeBlob.hpp): a compiled method, a stub, the interpreter.
type blob struct {
	addr       uint64
	begin, end uint64 // its code
	frame      uint64 // the size of its frames in bytes, with the return address; 0: not known
	complete   uint64 // the address from which on the frame is there; 0: nowhere
	name       string
	kind       blobKind
	method     uint64 // Method* of a compiled one
}

type blobKind uint8

const (
	stub blobKind = iota
	compiled
	native      // the wrapper of a native method
	interpreter // all of the interpreter
)

// maxFrame is more than a frame of compiled code has, in words.
const maxFrame = 1 << 20

// blobAt reads the blob that holds pc.
func (l *layout) blobAt(m *process.Recorder, heaps []codeHeap, pc uint64) (b blob, ok bool) {
	for i := range heaps {
		h := &heaps[i]
		if pc < h.low || pc >= h.high {
			continue
		}
		at, ok := h.block(m, pc)
		if !ok {
			return b, false
		}
		if used, ok := m.Word(at+l.blockUsed, 1); !ok || used == 0 {
			return b, false
		}
		return l.readBlob(m, at+l.blockSize, pc)
	}
	return b, false
}

func (l *layout) readBlob(m *process.Recorder, addr, pc uint64) (b blob, ok bool) {
	b.addr = addr
	if l.codeBegin != 0 { // JDK 9 … 22 keep addresses, the others offsets
		b.begin, _ = m.Word(addr+l.codeBegin, 8)
		b.end, _ = m.Word(addr+l.codeEnd, 8)
	} else {
		begin, _ := m.Word(addr+l.codeOffset, 4)
		end, _ := m.Word(addr+l.dataOffset, 4)
		b.begin, b.end = addr+begin, addr+end
	}
	if pc < b.begin || pc > b.end || b.begin < addr {
		return b, false
	}
	name, ok := m.Word(addr+l.blobName, 8)
	if !ok {
		return b, false
	}
	b.name = cString(m, name, maxName)
	frame, _ := m.Word(addr+l.frameSize, 4)
	if n := int32(frame); n > 0 && n < maxFrame {
		b.frame = uint64(n) * 8
	}
	if off, ok := m.Word(addr+l.frameComplete, l.frameCompleteSize); ok {
		if n := signed(off, l.frameCompleteSize); n >= 0 {
			b.complete = b.begin + uint64(n)
		}
	}
	switch b.name {
	case "nmethod":
		b.kind = compiled
	case "native nmethod":
		b.kind = native
	case "Interpreter":
		b.kind = interpreter
	}
	if b.kind == compiled || b.kind == native {
		b.method, _ = m.Word(addr+l.nmethodMethod, 8)
	}
	return b, true
}

// signed reads v as a number of size bytes with a sign.
func signed(v uint64, size int) int64 {
	shift := 64 - 8*size
	return int64(v<<shift) >> shift
}
