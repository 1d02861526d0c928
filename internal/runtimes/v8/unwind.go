package v8

import (
	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Code implements runtimes.Unwinder.
func (r *reader) Code(next unwind.Code, _ *process.Recorder) unwind.Code {
	if r.heap == nil {
		return next
	}
	r.wrap = jitted{Code: next, r: r}
	return &r.wrap
}

// jitted is the code of a process with what V8 has compiled.
type jitted struct {
	unwind.Code
	r *reader
}

// Row implements unwind.Code. Compiled code that has called something has a frame
// pointer; an interrupted instruction may be before that is made, or behind it: those are
// followed first. V8's builtins, which are compiled with it, are alike, and the only code
// in its module that no call frame information tells of.
func (j *jitted) Row(pc uint64, exact bool) (*cfi.Row, unwind.How) {
	if c := j.r.codeAt(pc, true); c != nil {
		if exact && !j.r.framed(c, pc) {
			return nil, 0
		}
		return j.r.row(c.start, c.end), unwind.HowRuntime
	}
	row, how := j.Code.Row(pc, exact)
	if row == nil && j.r.isEngine(pc) && (!exact || j.r.framedBuiltin(j.Code, pc)) {
		return j.r.row(pc, pc+1), unwind.HowRuntime
	}
	return row, how
}

const (
	entryBytes = 128 // within which a JavaScript function makes its frame
	maxBuiltin = 64 << 10
)

// framed reports whether it is certain that the instruction at pc, which was interrupted,
// is one for which the code has made its frame. Baseline code calls a builtin for that;
// its table tells where the function begins then.
func (r *reader) framed(c *code, pc uint64) bool {
	cpu := r.arch.V8
	if cpu == nil || pc-c.start > maxCode {
		return false
	}
	b := make([]byte, pc-c.start)
	if r.heap.Read(c.start, b) < len(b) || cpu.Leaves(b) {
		return false
	}
	if c.baseline {
		n, used := unsigned(c.positions)
		return used > 0 && uint64(len(b)) >= n
	}
	return cpu.Enters(b, entryBytes)
}

// leaveFrame is the builtin that takes down the frame of baseline code, which jumps there.
const leaveFrame = "Builtins_BaselineLeaveFrame"

// framedBuiltin is framed for a builtin. One that makes its frame first has it everywhere.
func (r *reader) framedBuiltin(code unwind.Code, pc uint64) bool {
	cpu := r.arch.V8
	start, ok := code.FuncStart(pc)
	if cpu == nil || !ok || pc < start || pc-start > maxBuiltin {
		return false
	}
	b := make([]byte, pc-start)
	if code.Text(start, b) < len(b) || cpu.Leaves(b) {
		return false
	}
	p := r.space.Locate(pc)
	if p.Image == nil {
		return false
	}
	if s, ok := p.Image.Lookup(p.Link(pc)); ok && s.Name == leaveFrame {
		return true
	}
	const first = 8
	return cpu.Enters(b, min(first, len(b)))
}

// FuncStart implements unwind.Code.
func (j *jitted) FuncStart(pc uint64) (uint64, bool) {
	if c := j.r.codeAt(pc, true); c != nil {
		return c.start, true
	}
	return j.Code.FuncStart(pc)
}

// LastRow implements unwind.LastResort.
func (j *jitted) LastRow(pc uint64) (*cfi.Row, unwind.How) {
	if c := j.r.codeAt(pc, true); c != nil {
		return j.r.row(c.start, c.end), unwind.HowRuntime
	}
	if last, ok := j.Code.(unwind.LastResort); ok {
		return last.LastRow(pc)
	}
	return nil, 0
}

// row is the row of code with a frame pointer: above what that leads to is the return
// address, on each CPU that V8 compiles for here.
func (r *reader) row(start, end uint64) *cfi.Row {
	ra := r.arch.PC
	if ret := r.arch.Entry.Return; ret.InReg {
		ra = ret.Reg
	}
	row := &cfi.Row{Start: start, End: end, Func: start, FuncEnd: end, RA: uint8(ra)}
	row.CFA = cfi.Rule{Kind: cfi.Register, Reg: uint8(r.arch.FP), N: 16}
	row.Regs[ra] = cfi.Rule{Kind: cfi.Offset, N: -8}
	row.Regs[r.arch.FP] = cfi.Rule{Kind: cfi.Offset, N: -16}
	return row
}
