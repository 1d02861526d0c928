package v8

import (
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/stack"
)

// frame is a frame of the interpreter, or of baseline code, which keeps its frames as the
// interpreter does (execution/frame-constants.h).
type frame struct {
	function *function
	code     *bytecodes // nil where the frame has none
	offset   int        // of the bytecode that is executed; noOffset in baseline code
}

const (
	noOffset  = -1
	frameSize = 64 // more than a frame has below its frame pointer of what is read, in bytes
	maxFrames = 1 << 17
)

// bytecodes is what was read of a BytecodeArray.
type bytecodes struct {
	obj       uint64
	length    int
	positions []byte // its table of positions in the source; nil: not known
	text      []byte // once it was read
}

// looksLikeFrame reports whether there can be a frame of JavaScript whose frame pointer
// leads to index i of a thread's stack.
func (l *layout) looksLikeFrame(t *process.StoppedThread, i int) bool {
	if i < frameSize {
		return false
	}
	caller := word(t.Stack, i)
	return caller > t.StackAddr+uint64(i) && caller&7 == 0 &&
		isObject(word(t.Stack, i+int(l.fpContext))) && isObject(word(t.Stack, i+int(l.fpFunction)))
}

// frameAt reads the frame at a frame pointer, nil where it is none of JavaScript.
func (r *reader) frameAt(fp uint64) *frame {
	if f, known := r.frames[fp]; known {
		return f
	}
	if fp%8 != 0 || fp < frameSize || len(r.frames) >= maxFrames {
		return nil
	}
	f := r.readFrame(fp)
	r.frames[fp] = f
	return f
}

func (r *reader) readFrame(fp uint64) *frame {
	h, l := r.heap, r.l
	slot := func(off int64) uint64 {
		w, _ := h.Word(fp+uint64(off), 8)
		return w
	}
	context, fn := slot(l.fpContext), slot(l.fpFunction)
	if t, ok := h.typeOf(context); !ok || t < l.firstContext || t > l.lastContext {
		return nil
	}
	if t, ok := h.typeOf(fn); !ok || t < l.firstFunction || t > l.lastFunction {
		return nil
	}
	shared, ok := h.field(fn, l.functionShared)
	if !ok {
		return nil
	}
	f := &frame{function: h.function(shared), offset: noOffset}
	if f.function == nil {
		return nil
	}
	if f.code = h.bytecodes(slot(l.fpBytecodes)); f.code == nil {
		return f
	}
	// The offset is counted from the tagged pointer.
	if off, ok := smi(slot(l.fpOffset)); ok {
		off -= int(l.bytecodesData) - 1
		if off >= 0 && off < f.code.length {
			f.offset = off
			h.place(f.function, h.position(f.code, off))
		}
	}
	return f
}

// maxBytecodes bounds the bytecodes of one function, in bytes.
const maxBytecodes = 8 << 20

// bytecodes reads a BytecodeArray, nil where it is none.
func (h *heap) bytecodes(obj uint64) *bytecodes {
	if c, known := h.bytecode[obj]; known {
		return c
	}
	if len(h.bytecode) >= maxFunctions || !h.is(obj, h.l.bytecodeType) {
		return nil
	}
	n, ok := h.smiField(obj, h.l.arrayLength)
	if !ok || n <= 0 || n > maxBytecodes {
		return nil
	}
	c := &bytecodes{obj: obj, length: n}
	h.bytecode[obj] = c
	if p, ok := h.field(obj, h.l.bytecodesPositions); ok && isObject(p) {
		if table, ok := h.byteArray(p); ok {
			c.positions = table
		}
	}
	return c
}

// bytecodesOf finds the bytecodes of a function, nil where it has none.
func (h *heap) bytecodesOf(f *function) *bytecodes {
	p, ok := h.field(f.obj, h.l.sharedData)
	if !ok {
		return nil
	}
	switch t, _ := h.typeOf(p); {
	case t == h.l.bytecodeType:
	case t == h.l.codeType: // of baseline code, which leads to them
		p, _ = h.field(p, h.l.codeDeopt)
	case h.l.dataType != 0 && t == h.l.dataType:
		p, _ = h.field(p, 8) // objects/shared-function-info.tq: InterpreterData
	}
	return h.bytecodes(p)
}

// isLoop reports whether a position is, or may be, that of a jump back to the start of a
// loop.
func (h *heap) isLoop(c *bytecodes, pos int) bool {
	if !h.spend(len(c.positions)) {
		return true
	}
	text := h.text(c)
	at := func(i int) byte {
		if i < 0 || i >= len(text) {
			return 0
		}
		return text[i]
	}
	for w := (walk{table: c.positions, at: -1, flags: h.l.positionFlags}); w.next(); {
		if w.pos.offset() != pos {
			continue
		}
		i := int(w.at)
		if op := at(i); op <= debugExtraWide {
			i++
		}
		if at(i) == h.l.jumpLoop {
			return true
		}
	}
	return false
}

// text reads the bytecodes themselves.
func (h *heap) text(c *bytecodes) []byte {
	if c.text == nil {
		b := make([]byte, c.length)
		c.text = b[:h.Read(c.obj-1+h.l.bytecodesData, b)]
	}
	return c.text
}

// position is the position in the source of the bytecode at an offset.
func (h *heap) position(c *bytecodes, offset int) int {
	if !h.spend(len(c.positions)) {
		return noPosition
	}
	raw, ok := findPosition(c.positions, offset, h.l.positionFlags)
	if !ok {
		return noPosition
	}
	return raw.offset()
}

// interpretedNames is the name of the function that the interpreter runs in a frame, none
// where it runs none: its frame is not complete before all of it is on the stack.
func (r *reader) interpretedNames(sp, fp uint64) []stack.Name {
	if fp < frameSize || sp > fp+uint64(r.l.fpOffset) {
		return nil
	}
	f := r.frameAt(fp)
	if f == nil || f.code == nil || f.offset == noOffset {
		return nil
	}
	return []stack.Name{r.heap.place(f.function, r.heap.position(f.code, f.offset))}
}
