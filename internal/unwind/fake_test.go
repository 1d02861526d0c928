package unwind_test

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/i386"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// fakeCode is code made by hand: functions with their rows and bytes.
type fakeCode struct {
	funcs []*fakeFunc
	rows  int // how often Row was asked
}

type fakeFunc struct {
	start  uint64
	text   []byte
	row    *cfi.Row // for the whole function; nil: nothing describes it
	how    unwind.How
	symbol bool // FuncStart knows it
	gone   bool // its bytes cannot be read
}

// calls is code of which every place is one that a call instruction precedes:
// opcode e8, whose 32-bit operand may be anything.
func calls(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xe8
	}
	return b
}

// nops is code that no call precedes.
func nops(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0x90
	}
	return b
}

// fn adds a function of 256 bytes that makes calls only.
func (c *fakeCode) fn(start uint64, row *cfi.Row) *fakeFunc {
	return c.add(&fakeFunc{start: start, text: calls(256), row: row, how: unwind.HowCFI})
}

func (c *fakeCode) add(f *fakeFunc) *fakeFunc {
	if f.row != nil {
		f.row.Func, f.row.FuncEnd = f.start, f.start+uint64(len(f.text))
	}
	c.funcs = append(c.funcs, f)
	return f
}

func (c *fakeCode) at(pc uint64) *fakeFunc {
	for _, f := range c.funcs {
		if pc-f.start < uint64(len(f.text)) {
			return f
		}
	}
	return nil
}

func (c *fakeCode) Row(pc uint64, _ bool) (*cfi.Row, unwind.How) {
	c.rows++
	if f := c.at(pc); f != nil && (f.row != nil || f.how != 0) {
		return f.row, f.how
	}
	return nil, 0
}

func (c *fakeCode) Executable(pc uint64) bool { return c.at(pc) != nil }

func (c *fakeCode) Text(addr uint64, b []byte) int {
	n := 0
	for n < len(b) {
		f := c.at(addr + uint64(n))
		if f == nil || f.gone {
			break
		}
		n += copy(b[n:], f.text[addr+uint64(n)-f.start:])
	}
	return n
}

func (c *fakeCode) FuncStart(pc uint64) (uint64, bool) {
	if f := c.at(pc); f != nil && f.symbol {
		return f.start, true
	}
	return 0, false
}

// fakeMem is memory that begins at base.
type fakeMem struct {
	base uint64
	b    []byte
}

func newMem(base uint64, size int) *fakeMem { return &fakeMem{base, make([]byte, size)} }

func (m *fakeMem) Word(addr uint64, size int) (uint64, bool) {
	off := addr - m.base
	if off >= uint64(len(m.b)) || uint64(size) > uint64(len(m.b))-off {
		return 0, false
	}
	var w [8]byte
	copy(w[:], m.b[off:off+uint64(size)])
	return binary.LittleEndian.Uint64(w[:]), true
}

// put writes words of size bytes from addr onwards.
func (m *fakeMem) put(addr uint64, size int, words ...uint64) {
	for _, v := range words {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], v)
		copy(m.b[addr-m.base:], w[:size])
		addr += uint64(size)
	}
}

func off(n int64) cfi.Rule { return cfi.Rule{Kind: cfi.Offset, N: n} }

// byReg is a row whose CFA is reg+n, with the return address below it.
func byReg(a *arch.Arch, reg arch.Reg, n int64) *cfi.Row {
	row := &cfi.Row{RA: uint8(a.PC), CFA: cfi.Rule{Kind: cfi.Register, Reg: uint8(reg), N: n}}
	row.Regs[a.PC] = off(-int64(a.PtrSize))
	return row
}

// outermost is the row of a function that nobody called.
func outermost(a *arch.Arch) *cfi.Row {
	row := byReg(a, a.SP, 0)
	row.Regs[a.PC] = cfi.Rule{Kind: cfi.Undefined}
	return row
}

func regs(pairs map[arch.Reg]uint64) (r arch.Regs) {
	for k, v := range pairs {
		r.Set(k, v)
	}
	return r
}

// pcs lists the program counters of a stack.
func pcs(s unwind.Stack) []uint64 {
	var list []uint64
	for _, f := range s.Frames {
		list = append(list, f.PC)
	}
	return list
}

// check compares the whole of a stack's chain and end.
func check(t *testing.T, s unwind.Stack, end unwind.End, at uint64, want ...uint64) {
	t.Helper()
	got := pcs(s)
	same := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		same = same && got[i] == want[i]
	}
	if !same {
		t.Errorf("frames %x, want %x", got, want)
	}
	if s.End != end || s.At != at {
		t.Errorf("ends with %d at %#x, want %d at %#x", s.End, s.At, end, at)
	}
}

var (
	a64 = amd64.Arch
	a32 = i386.Arch
)

// Where the functions and the stack of most tests lie.
const (
	codeF = 0x401000
	codeG = 0x402000
	codeH = 0x403000
	stack = 0x7ff000
)
