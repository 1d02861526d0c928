package hotspot

import (
	"sort"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// inHeaps reports whether an address lies in the code cache.
func (r *reader) inHeaps(addr uint64) bool {
	for i := range r.heaps {
		if addr >= r.heaps[i].low && addr < r.heaps[i].high {
			return true
		}
	}
	return false
}

// blobOf returns the blob whose code has pc, nil where none was read.
func (r *reader) blobOf(pc uint64) *blob {
	if b := r.known(pc); b != nil || r.memory == nil || !r.inHeaps(pc) || len(r.blobs) >= maxWords {
		return b
	}
	b, ok := r.l.blobAt(r.memory, r.heaps, pc)
	if !ok {
		return nil
	}
	r.add(b)
	return r.known(pc)
}

func (r *reader) known(pc uint64) *blob {
	i := sort.Search(len(r.blobs), func(i int) bool { return r.blobs[i].begin > pc }) - 1
	if i >= 0 && pc <= r.blobs[i].end {
		return &r.blobs[i]
	}
	return nil
}

func (r *reader) add(b blob) {
	i := sort.Search(len(r.blobs), func(i int) bool { return r.blobs[i].begin > b.begin })
	r.blobs = append(r.blobs, blob{})
	copy(r.blobs[i+1:], r.blobs[i:])
	r.blobs[i] = b
}

// Code implements runtimes.Unwinder.
func (r *reader) Code(next unwind.Code, _ *process.Recorder) unwind.Code {
	if r.arch == nil || len(r.heaps) == 0 {
		return next
	}
	r.code = code{Code: next, r: r}
	return &r.code
}

// code is the code of a process with that of the code cache.
type code struct {
	unwind.Code
	r *reader
}

// Row implements unwind.Code. When compiled code has called something, its frame has the
// size that its blob tells; an interrupted instruction may be before the frame was made,
// or behind it: those are followed first.
func (c *code) Row(pc uint64, exact bool) (*cfi.Row, unwind.How) {
	b := c.r.blobOf(pc)
	switch {
	case b == nil:
		return c.Code.Row(pc, exact)
	case b.kind == interpreter:
		return c.r.interpreterRow(b), unwind.HowRuntime
	case exact || b.frame == 0:
		return nil, 0
	}
	return c.r.row(b), unwind.HowRuntime
}

// FuncStart implements unwind.Code.
func (c *code) FuncStart(pc uint64) (uint64, bool) {
	if b := c.r.blobOf(pc); b != nil && (b.kind == compiled || b.kind == native) {
		return b.begin, true
	}
	return c.Code.FuncStart(pc)
}

// LastRow implements unwind.LastResort.
func (c *code) LastRow(pc uint64) (*cfi.Row, unwind.How) {
	if b := c.r.blobOf(pc); b != nil && b.frame != 0 && b.complete != 0 && pc >= b.complete {
		return c.r.row(b), unwind.HowRuntime
	}
	return nil, 0
}

// row is the row of a blob's code: below the caller's frame lie the return address and
// the caller's frame pointer, on each CPU that HotSpot compiles for here.
func (r *reader) row(b *blob) *cfi.Row {
	row := r.frame(b)
	row.CFA = cfi.Rule{Kind: cfi.Register, Reg: uint8(r.arch.SP), N: int64(b.frame)}
	return row
}

func (r *reader) frame(b *blob) *cfi.Row {
	row := &cfi.Row{Start: b.begin, End: b.end, Func: b.begin, FuncEnd: b.end, RA: uint8(r.returnColumn())}
	row.Regs[row.RA] = cfi.Rule{Kind: cfi.Offset, N: -8}
	row.Regs[r.arch.FP] = cfi.Rule{Kind: cfi.Offset, N: -16}
	return row
}

func (r *reader) returnColumn() arch.Reg {
	if ret := r.arch.Entry.Return; ret.InReg {
		return ret.Reg
	}
	return r.arch.PC
}

// interpreterRow is the row of the interpreter: its frames have a frame pointer, and the
// caller's stack pointer, which the arguments have moved, in the word below.
func (r *reader) interpreterRow(b *blob) *cfi.Row {
	row := r.frame(b)
	row.CFA = cfi.Rule{Kind: cfi.Register, Reg: uint8(r.arch.FP), N: 16}
	const opBreg0, opDeref, minus8 = 0x70, 0x06, 0x78 // DWARF 5, section 7.7.1
	row.Exprs = [][]byte{{opBreg0 + byte(r.arch.FP), minus8, opDeref}}
	row.Regs[r.arch.SP] = cfi.Rule{Kind: cfi.ValExpression, N: 0}
	return row
}
