package v8

import (
	"encoding/binary"

	"github.com/gatedso/bt/internal/process"
)

// heap reads V8's objects. A tagged pointer is an object's address plus one. Nothing that
// it returns is certain to be true: whoever reads asks for the types.
type heap struct {
	*process.Recorder
	l *layout

	types     map[uint64]uint16 // of objects, by their maps
	functions map[uint64]*function
	scripts   map[uint64]*script
	bytecode  map[uint64]*bytecodes
	room      int // bytes of scripts' text that may still be read in the stop
	work      int // bytes of tables that may still be gone through
	// large finds where the lines of a script begin; with read set also of one whose text
	// must be read for that, but not in the stop.
	large    func(s *script, read bool) []int32
	stopped  bool // the process stands still
	searches int  // pages of code that were looked through
}

func newHeap(m *process.Recorder, l *layout) *heap {
	return &heap{
		Recorder: m, l: l, types: make(map[uint64]uint16), functions: make(map[uint64]*function),
		scripts: make(map[uint64]*script), bytecode: make(map[uint64]*bytecodes), room: maxText, work: maxWork,
	}
}

const (
	maxTypes = 4096 // maps that are remembered
	maxWork  = 64 << 20
	maxAddr  = 1 << 56
)

func word(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// isObject reports whether a word can be a strong pointer to an object.
func isObject(w uint64) bool { return w&3 == 1 && w < maxAddr && w > 1<<12 }

// smi takes a small integer out of a word: it is in the upper half.
func smi(w uint64) (int, bool) { return int(int32(w >> 32)), uint32(w) == 0 }

// field reads a field of an object.
func (h *heap) field(obj, off uint64) (uint64, bool) { return h.Word(obj-1+off, 8) }

// smiField reads a small integer of an object.
func (h *heap) smiField(obj, off uint64) (int, bool) {
	w, ok := h.field(obj, off)
	if !ok {
		return 0, false
	}
	return smi(w)
}

// typeOf returns the type of an object. Its map must be a map.
func (h *heap) typeOf(obj uint64) (uint16, bool) {
	if !isObject(obj) {
		return 0, false
	}
	m, ok := h.field(obj, 0)
	if !ok || !isObject(m) {
		return 0, false
	}
	if t, known := h.types[m]; known {
		return t, true
	}
	meta, ok1 := h.field(m, 0)
	if !ok1 || !isObject(meta) || !h.isMap(meta) || !h.isMap(m) {
		return 0, false
	}
	v, ok := h.Word(m-1+h.l.mapInstance, 2)
	if ok && len(h.types) < maxTypes {
		h.types[m] = uint16(v)
	}
	return uint16(v), ok
}

// isMap reports whether the map of m says that m is a map.
func (h *heap) isMap(m uint64) bool {
	meta, ok := h.field(m, 0)
	if !ok || !isObject(meta) {
		return false
	}
	v, ok := h.Word(meta-1+h.l.mapInstance, 2)
	return ok && uint16(v) == h.l.mapType
}

// is reports whether an object has a type.
func (h *heap) is(obj uint64, want uint16) bool {
	t, ok := h.typeOf(obj)
	return ok && t == want
}

// object reads a field that leads to an object of a type.
func (h *heap) object(obj, off uint64, want uint16) (uint64, bool) {
	p, ok := h.field(obj, off)
	return p, ok && h.is(p, want)
}

// spend reports whether a table of n bytes may be gone through.
func (h *heap) spend(n int) bool {
	if h.work < n {
		return false
	}
	h.work -= n
	return true
}

// array reads how many elements an array has that is of one of types, and where the first
// one is.
func (h *heap) array(obj uint64, types []uint16) (n int, data uint64, ok bool) {
	t, ok := h.typeOf(obj)
	if !ok {
		return 0, 0, false
	}
	for _, want := range types {
		if t == want {
			n, ok = h.smiField(obj, h.l.arrayLength)
			return n, obj - 1 + h.l.arrayData, ok && n >= 0
		}
	}
	return 0, 0, false
}

// maxTable bounds a table of positions, in bytes.
const maxTable = 1 << 20

// byteArray reads a whole array of bytes.
func (h *heap) byteArray(obj uint64) ([]byte, bool) {
	n, data, ok := h.array(obj, h.l.byteArrays)
	if !ok || n > maxTable {
		return nil, false
	}
	b := make([]byte, n)
	return b, h.Read(data, b) == n
}

// element reads an element of an array of words.
func (h *heap) element(array uint64, i int) (uint64, bool) {
	n, data, ok := h.array(array, h.l.arrays)
	if !ok || i < 0 || i >= n {
		return 0, false
	}
	return h.Word(data+8*uint64(i), 8)
}
