package v8

import (
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/stack"
)

// sizes is how long each bytecode is, in bytes: as it is, and with operands twice and four
// times as wide.
type sizes [3][]byte

// sizesSymbol is v8::internal::interpreter::Bytecodes::kBytecodeSizes.
const sizesSymbol = "_ZN2v88internal11interpreter9Bytecodes14kBytecodeSizesE"

// Bytecodes that widen the operands of the next one (interpreter/bytecodes.h).
const (
	wide, extraWide           = 0, 1
	debugWide, debugExtraWide = 2, 3
)

// compiledNames are the names of the functions that frame j of a thread runs, whose code
// is c. owns tells that the frame pointer is the frame's own.
func (r *reader) compiledNames(c *code, u *process.Unwound, j int, owns bool) []stack.Name {
	f := &u.Stack.Frames[j]
	if c.optimised {
		return r.heap.names(r.calls(c, f.PC, f.Exact))
	}
	if !c.baseline && owns { // the interpreter, a copy for each function
		return r.interpretedNames(f.SP, f.FP)
	}
	if !owns || f.FP < frameSize || f.SP > f.FP+uint64(r.l.fpBytecodes) {
		return nil
	}
	return r.heap.names(r.baseline(c, f.PC, f.FP, f.Exact))
}

// baseline is the function that baseline code runs in the frame at fp, and where.
func (r *reader) baseline(c *code, pc, fp uint64, exact bool) []located {
	f := r.frameAt(fp)
	if f == nil || f.code == nil || c.bytecodes == nil || f.code.obj != c.bytecodes.obj {
		return nil
	}
	at := located{f.function, noPosition}
	if off, ok := r.bytecodeAt(c, int(pc-c.start), exact); ok {
		at.position = r.heap.position(f.code, off)
	}
	r.heap.place(at.function, at.position)
	return []located{at}
}

// bytecodeAt finds the bytecode that baseline code executes at an offset
// (baseline/bytecode-offset-iterator.h): its table tells for each bytecode, after the
// function's entry, of how many bytes its code is.
func (r *reader) bytecodeAt(c *code, offset int, exact bool) (int, bool) {
	s := r.bytecodeSizes()
	if s == nil || !r.heap.spend(len(c.positions)) {
		return 0, false
	}
	if !exact {
		offset--
	}
	n, used := unsigned(c.positions)
	if used == 0 || uint64(offset) < n {
		return 0, false // it is being entered
	}
	table := c.positions[used:]
	text := r.heap.text(c.bytecodes)
	for at := 0; ; {
		d, used := unsigned(table)
		if used == 0 || d > maxCode*16 {
			return 0, false
		}
		table = table[used:]
		if n += d; uint64(offset) < n {
			return at, at < len(text)
		}
		size := s.of(text, at)
		if size == 0 {
			return 0, false
		}
		at += size
	}
}

// of is the size of the bytecode at an offset, 0 where there is none.
func (s *sizes) of(text []byte, at int) int {
	if at >= len(text) {
		return 0
	}
	scale, prefix := 0, 0
	switch text[at] {
	case wide, debugWide:
		scale, prefix = 1, 1
	case extraWide, debugExtraWide:
		scale, prefix = 2, 1
	}
	if at += prefix; at >= len(text) || int(text[at]) >= len(s[scale]) {
		return 0
	}
	return prefix + int(s[scale][text[at]])
}

// bytecodeSizes reads the table of the sizes, nil where the file does not name it.
func (r *reader) bytecodeSizes() *sizes {
	if r.sizes != nil || r.nosize {
		return r.sizes
	}
	r.nosize = true
	link, ok := r.in.image.Variable(sizesSymbol, false)
	if !ok {
		link, ok = r.in.image.Variable(sizesSymbol, true)
	}
	if !ok {
		return nil
	}
	r.sizes = cutSizes(r.in.bytes(link, 3*256))
	return r.sizes
}

// maxSize is more than the size of any bytecode, in bytes.
const maxSize = 32

// cutSizes finds out of how many bytecodes a table of sizes is. Each bytecode is of one
// byte and of its operands, which are twice and four times as wide in the second and
// the third part.
func cutSizes(b []byte) *sizes {
	for n := 150; n <= 256 && 3*n <= len(b); n++ {
		s := &sizes{b[:n], b[n : 2*n], b[2*n : 3*n]}
		if s.fits() {
			return s
		}
	}
	return nil
}

func (s *sizes) fits() bool {
	for i, one := range s[0] {
		two, four := s[1][i], s[2][i]
		if one == 0 || one > maxSize || two < one || four < two || four-1 > 4*(one-1) || two-1 > 2*(one-1) || four-two != 2*(two-one) {
			return false
		}
	}
	return true
}
