package unwind_test

import (
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/i386"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// walk unwinds from pc with the stack pointer at stack.
func walk(c *fakeCode, mem *fakeMem, pc uint64, max int) unwind.Stack {
	return unwind.New(a64, c).Walk(unwind.Start{
		Regs:      regs(map[arch.Reg]uint64{a64.PC: pc, a64.SP: stack}),
		MaxFrames: max,
	}, mem)
}

// A call through a null pointer or into memory that is not code has left the
// return address on top of the stack.
func TestLeaf(t *testing.T) {
	for _, tt := range []struct {
		name string
		pc   uint64
		top  uint64
		want []uint64
		end  unwind.End
		at   uint64
	}{
		{"null", 0, codeF + 5, []uint64{0, codeF + 5, codeH + 5}, unwind.EndOutermost, 0},
		{"unmapped", 0xdead0000, codeF + 5, []uint64{0xdead0000, codeF + 5, codeH + 5}, unwind.EndOutermost, 0},
		{"end of the addresses", ^uint64(0), codeF + 5, []uint64{^uint64(0), codeF + 5, codeH + 5}, unwind.EndOutermost, 0},
		{"into the stack", stack + 8, codeF + 5, []uint64{stack + 8, codeF + 5, codeH + 5}, unwind.EndOutermost, 0},
		{"by a jump: no return address there", 0, 0x1234, []uint64{0}, unwind.EndBadReturn, 0x1234},
		{"by a jump: code that no call precedes", 0, codeG + 5, []uint64{0}, unwind.EndNotCalled, codeG + 5},
		{"by a jump: zero", 0, 0, []uint64{0}, unwind.EndZeroReturn, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.fn(codeF, byReg(a64, a64.SP, 16))
			c.add(&fakeFunc{start: codeG, text: nops(256)})
			c.fn(codeH, outermost(a64))
			mem := newMem(stack, 0x100)
			mem.put(stack, 8, tt.top, 0, codeH+5)
			s := walk(&c, mem, tt.pc, 0)
			check(t, s, tt.end, tt.at, tt.want...)
			if len(s.Frames) > 1 && (s.Frames[1].How != unwind.HowLeaf || s.Frames[1].Exact || s.Frames[1].SP != stack+8) {
				t.Errorf("caller %+v", s.Frames[1])
			}
		})
	}

	// A return address is no such call: nothing tells where its frame ends.
	var c fakeCode
	c.fn(codeF, byReg(a64, a64.SP, 16))
	c.fn(codeH, outermost(a64))
	mem := newMem(stack, 0x100)
	mem.put(stack, 8, 0, 0xdead0000, codeH+5, codeH+5)
	check(t, walk(&c, mem, codeF+5, 0), unwind.EndBadReturn, 0xdead0000, codeF+5)
	mem.put(stack, 8, 0, 0, codeH+5, codeH+5)
	check(t, walk(&c, mem, codeF+5, 0), unwind.EndZeroReturn, codeF+5, codeF+5)
}

// A row that leads to a zero has found the outermost frame where the code says
// the same; otherwise it may be wrong, and the code is followed.
func TestZeroReturn(t *testing.T) {
	// sub $0x18,%rsp; call; add $0x18,%rsp; ret
	code := []byte{0x48, 0x83, 0xec, 0x18, 0xe8, 0, 1, 0, 0, 0x48, 0x83, 0xc4, 0x18, 0xc3}
	for _, tt := range []struct {
		name   string
		symbol bool
		size   int64 // of the frame, as the row has it
		slot   uint64
		end    unwind.End
		at     uint64
		want   []uint64
	}{
		{"row and code agree", true, 0x20, 0, unwind.EndOutermost, 0, []uint64{codeF + 4}},
		{"row and the code behind agree", false, 0x20, 0, unwind.EndOutermost, 0, []uint64{codeF + 4}},
		{"the code knows better", true, 0x28, codeH + 5, unwind.EndOutermost, 0, []uint64{codeF + 4, codeH + 5}},
		{"the code behind knows better", false, 0x28, codeH + 5, unwind.EndOutermost, 0, []uint64{codeF + 4, codeH + 5}},
		{"neither is plausible", true, 0x28, 0x1234, unwind.EndZeroReturn, codeF + 4, []uint64{codeF + 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.add(&fakeFunc{start: codeF, text: code, symbol: tt.symbol, row: byReg(a64, a64.SP, tt.size), how: unwind.HowCFI})
			c.fn(codeH, outermost(a64))
			mem := newMem(stack, 0x100)
			mem.put(stack+0x18, 8, tt.slot)
			check(t, walk(&c, mem, codeF+4, 0), tt.end, tt.at, tt.want...)
		})
	}
}

// Code that nothing describes is where a stack begins when its frame pointer is
// zero and it never returns, such as musl's clone.
func TestDeepest(t *testing.T) {
	endless := []byte{0xe8, 0, 0, 0, 0, 0x89, 0xc7, 0x0f, 0x05, 0xf4} // call; mov %eax,%edi; syscall; hlt
	for _, tt := range []struct {
		name string
		text []byte
		fp   uint64
		end  unwind.End
		at   uint64
	}{
		{"never returns", endless, 0, unwind.EndOutermost, 0},
		{"loops", append(append([]byte(nil), endless[:7]...), 0x74, 0xfc, 0xf4), 0, unwind.EndOutermost, 0},
		{"has a frame pointer", endless, 1, unwind.EndNoInfo, codeG + 5},
		{"goes on", append(append([]byte(nil), endless[:7]...), nops(64)...), 0, unwind.EndNoInfo, codeG + 5},
		{"goes somewhere", append(append([]byte(nil), endless[:7]...), 0xff, 0xe0), 0, unwind.EndNoInfo, codeG + 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.fn(codeF, byReg(a64, a64.SP, 8))
			c.add(&fakeFunc{start: codeG, text: tt.text})
			mem := newMem(stack, 0x100)
			mem.put(stack, 8, codeG+5)
			s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				a64.PC: codeF + 5, a64.SP: stack, a64.FP: tt.fp,
			})}, mem)
			check(t, s, tt.end, tt.at, codeF+5, codeG+5)
		})
	}
}

// A frame that called a function on another stack may lie below that one, where
// its row finds it by what was saved before, and it was called.
func TestOtherStack(t *testing.T) {
	const old = stack - 0x2000
	for _, tt := range []struct {
		name string
		row  *cfi.Row
		fp   uint64
		ret  uint64
		end  unwind.End
		at   uint64
	}{
		{"by the frame pointer", byReg(a64, a64.FP, 16), old, codeH + 5, unwind.EndOutermost, 0},
		{"by memory", func() *cfi.Row {
			r := byReg(a64, a64.SP, 0)
			r.CFA, r.Exprs = cfi.Rule{Kind: cfi.ValExpression}, [][]byte{{opBreg0 + byte(amd64.RSP), 0, opDeref}}
			return r
		}(), 0, codeH + 5, unwind.EndOutermost, 0},
		{"by the stack pointer", byReg(a64, a64.SP, -0x2000), 0, codeH + 5, unwind.EndNoAdvance, old + 8},
		{"not called", byReg(a64, a64.FP, 16), old, stack, unwind.EndNoAdvance, old + 16},
		{"not far enough", byReg(a64, a64.FP, 16), stack - 0x100, codeH + 5, unwind.EndNoAdvance, stack - 0x100 + 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.fn(codeF, byReg(a64, a64.SP, 8))
			c.fn(codeG, tt.row)
			c.fn(codeH, outermost(a64))
			mem := newMem(old, 0x3000)
			mem.put(stack, 8, codeG+5, old+16)
			mem.put(old, 8, 0, tt.ret, codeH+5)
			mem.put(stack-0x100+8, 8, tt.ret)
			s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				a64.PC: codeF + 5, a64.SP: stack, a64.FP: tt.fp,
			})}, mem)
			want := []uint64{codeF + 5, codeG + 5}
			if tt.end == unwind.EndOutermost {
				want = append(want, codeH+5)
			}
			check(t, s, tt.end, tt.at, want...)
		})
	}
}

// A call that never returns may be the last instruction of its function, and of
// all code: the row is that of the byte before the return address.
func TestCallAtEnd(t *testing.T) {
	for _, next := range []bool{true, false} {
		var c fakeCode
		c.fn(codeF, byReg(a64, a64.SP, 8))
		c.fn(codeG, byReg(a64, a64.SP, 0x20))
		if next {
			c.fn(codeG+256, byReg(a64, a64.SP, 0x40))
		}
		c.fn(codeH, outermost(a64))
		mem := newMem(stack, 0x100)
		mem.put(stack, 8, codeG+256)
		mem.put(stack+8+0x18, 8, codeH+256)
		mem.put(stack+0x38, 8, 0x1234)
		s := walk(&c, mem, codeF+5, 0)
		check(t, s, unwind.EndOutermost, 0, codeF+5, codeG+256, codeH+256)
		// Where execution is, the next function is meant.
		if next {
			check(t, walk(&c, mem, codeG+256, 0), unwind.EndBadReturn, 0x1234, codeG+256)
		}
	}
}

// Whoever wants N frames of a stack that has N gets a complete one.
func TestMaxFrames(t *testing.T) {
	const n = 10
	var c fakeCode
	c.fn(codeF, byReg(a64, a64.SP, 8))
	c.fn(codeH, outermost(a64))
	mem := newMem(stack, 0x100)
	for i := range uint64(n - 2) {
		mem.put(stack+8*i, 8, codeF+5)
	}
	mem.put(stack+8*(n-2), 8, codeH+5)
	for _, tt := range []struct {
		max, frames int
		end         unwind.End
		at          uint64
	}{
		{1, 1, unwind.EndMaxFrames, 1},
		{n - 1, n - 1, unwind.EndMaxFrames, n - 1},
		{n, n, unwind.EndOutermost, 0},
		{n + 1, n, unwind.EndOutermost, 0},
		{0, n, unwind.EndOutermost, 0},
	} {
		s := walk(&c, mem, codeF+5, tt.max)
		if len(s.Frames) != tt.frames || s.End != tt.end || s.At != tt.at {
			t.Errorf("at most %d: %d frames, end %d at %d", tt.max, len(s.Frames), s.End, s.At)
		}
	}
	// Nor is a stack cut that cannot be followed further.
	mem.put(stack+8*(n-2), 8, 0xdead0000)
	s := walk(&c, mem, codeF+5, n-1)
	if len(s.Frames) != n-1 || s.End != unwind.EndBadReturn {
		t.Errorf("%d frames, end %d", len(s.Frames), s.End)
	}
}

// A caller's frame never lies below its callee's, but for the innermost frame
// it may be the same: no frame was made yet.
func TestNoAdvance(t *testing.T) {
	mem := newMem(stack-0x100, 0x200)
	mem.put(stack-8, 8, codeG+5)
	mem.put(stack-0x20-8, 8, codeG+5)
	for _, tt := range []struct {
		name string
		f, g int64 // CFA above the stack pointer
		end  unwind.End
		at   uint64
		want []uint64
	}{
		{"below", -0x20, 0, unwind.EndNoAdvance, stack - 0x20, []uint64{codeF + 5}},
		{"the same, twice", 0, 0, unwind.EndNoAdvance, stack, []uint64{codeF + 5, codeG + 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.fn(codeF, byReg(a64, a64.SP, tt.f))
			c.fn(codeG, byReg(a64, a64.SP, tt.g))
			check(t, walk(&c, mem, codeF+5, 0), tt.end, tt.at, tt.want...)
		})
	}
}

// A table that finds callers without reading memory cannot go on for ever.
func TestEndlessWithoutMemory(t *testing.T) {
	var c fakeCode
	row := byReg(a64, a64.SP, 1)
	row.Regs[a64.PC] = cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.R12)}
	c.fn(codeF, row)
	mem := newMem(stack, 0x100)
	s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
		a64.PC: codeF + 5, a64.SP: stack, amd64.R12: codeF + 5,
	})}, mem)
	if s.End != unwind.EndNoMemory || len(s.Frames) > 100_000 {
		t.Errorf("%d frames, end %d at %#x", len(s.Frames), s.End, s.At)
	}
}

// Without tables the frame pointers form a chain, innermost first.
func TestFramePointers(t *testing.T) {
	bare := func(c *fakeCode, start uint64) { c.add(&fakeFunc{start: start, text: calls(256)}) }
	for _, tt := range []struct {
		name string
		fp   uint64
		mem  func(m *fakeMem)
		want []uint64
		end  unwind.End
		at   uint64
	}{
		{"chain", stack + 0x10, func(m *fakeMem) {
			m.put(stack+0x10, 8, stack+0x40, codeG+5)
			m.put(stack+0x40, 8, 0, codeG+9)
		}, []uint64{codeF + 5, codeG + 5, codeG + 9}, unwind.EndOutermost, 0},
		{"zero", 0, func(*fakeMem) {}, []uint64{codeF + 5}, unwind.EndNoInfo, codeF + 5},
		{"below the stack pointer", stack - 16, func(m *fakeMem) { m.put(stack-16, 8, stack+0x40, codeG+5) },
			[]uint64{codeF + 5}, unwind.EndNoInfo, codeF + 5},
		{"not aligned", stack + 0x14, func(m *fakeMem) { m.put(stack+0x14, 8, stack+0x40, codeG+5) },
			[]uint64{codeF + 5}, unwind.EndNoInfo, codeF + 5},
		{"some number", 0x123456789abcde0, func(*fakeMem) {}, []uint64{codeF + 5}, unwind.EndNoInfo, codeF + 5},
		{"behind the memory", stack + 0x8000, func(*fakeMem) {}, []uint64{codeF + 5}, unwind.EndNoMemory, stack + 0x8008},
		{"to no code", stack + 0x10, func(m *fakeMem) { m.put(stack+0x10, 8, stack+0x40, 0x1234) },
			[]uint64{codeF + 5}, unwind.EndBadReturn, 0x1234},
		{"to code that no call precedes", stack + 0x10, func(m *fakeMem) { m.put(stack+0x10, 8, 0x77, codeH+0x50) },
			[]uint64{codeF + 5}, unwind.EndNotCalled, codeH + 0x50},
		{"return address zero", stack + 0x10, func(m *fakeMem) { m.put(stack+0x10, 8, stack+0x40, 0) },
			[]uint64{codeF + 5}, unwind.EndZeroReturn, codeF + 5},
		{"an interpreter's frames", stack + 0x10, func(m *fakeMem) {
			m.put(stack+0x10, 8, stack+0x40, codeH+0x50)
			m.put(stack+0x40, 8, stack+0x80, codeG+9)
			m.put(stack+0x80, 8, 0, codeG+13)
		}, []uint64{codeF + 5, codeH + 0x50, codeG + 9, codeG + 13}, unwind.EndOutermost, 0},
		{"an interpreter's chain that goes back", stack + 0x10, func(m *fakeMem) {
			m.put(stack+0x10, 8, stack+0x40, codeH+0x50)
			m.put(stack+0x40, 8, stack+0x20, codeG+9)
		}, []uint64{codeF + 5}, unwind.EndNotCalled, codeH + 0x50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			bare(&c, codeF)
			bare(&c, codeG)
			c.add(&fakeFunc{start: codeH, text: nops(256)})
			mem := newMem(stack-0x100, 0x1000)
			tt.mem(mem)
			s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				a64.PC: codeF + 5, a64.SP: stack, a64.FP: tt.fp,
			})}, mem)
			check(t, s, tt.end, tt.at, tt.want...)
			for _, f := range s.Frames[1:] {
				if f.How != unwind.HowFramePointer || f.Exact {
					t.Errorf("frame %+v", f)
				}
			}
		})
	}

	// No frame pointer, no way.
	var c fakeCode
	bare(&c, codeF)
	check(t, walk(&c, newMem(stack, 0x100), codeF+5, 0), unwind.EndNoInfo, codeF+5, codeF+5)
}

// 32-bit frame pointers are four bytes, and so are the frames.
func TestFramePointers32(t *testing.T) {
	var c fakeCode
	c.add(&fakeFunc{start: codeF, text: calls(256)})
	mem := newMem(stack, 0x100)
	mem.put(stack+4, 4, stack+0xc, codeF+5)
	mem.put(stack+0xc, 4, 0, codeF+9)
	s := unwind.New(a32, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
		a32.PC: codeF + 7, a32.SP: stack, i386.EBP: stack + 4,
	})}, mem)
	check(t, s, unwind.EndOutermost, 0, codeF+7, codeF+5, codeF+9)
}

// Functions without a table, found by what their instructions do.
func TestAnalysis(t *testing.T) {
	// sub $0x18,%rsp; call; add $0x18,%rsp; ret
	frameless := []byte{0x48, 0x83, 0xec, 0x18, 0xe8, 0, 1, 0, 0, 0x48, 0x83, 0xc4, 0x18, 0xc3}
	// push %rbp; mov %rsp,%rbp; push %rbx; call; pop %rbx; pop %rbp; ret
	framed := []byte{0x55, 0x48, 0x89, 0xe5, 0x53, 0xe8, 0, 1, 0, 0, 0x5b, 0x5d, 0xc3}
	for _, tt := range []struct {
		name  string
		text  []byte
		at    uint64
		frame uint64 // from the stack pointer to the return address
	}{
		{"at the first instruction", frameless, 0, 0},
		{"in a frame", frameless, 4, 0x18},
		{"after the epilogue", frameless, 13, 0},
		{"before push", framed, 0, 0},
		{"after push", framed, 1, 8},
		{"after two pushes", framed, 5, 16},
		{"at the return", framed, 12, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, symbol := range []bool{true, false} {
				var c fakeCode
				c.add(&fakeFunc{start: codeF, text: tt.text, symbol: symbol})
				c.fn(codeH, outermost(a64))
				mem := newMem(stack, 0x100)
				mem.put(stack+tt.frame, 8, codeH+5)
				s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
					a64.PC: codeF + tt.at, a64.SP: stack, a64.FP: 0x77,
				})}, mem)
				if !symbol && s.End == unwind.EndNoInfo {
					continue // nobody can know
				}
				check(t, s, unwind.EndOutermost, 0, codeF+tt.at, codeH+5)
				if len(s.Frames) == 2 && (s.Frames[1].How != unwind.HowAnalysis || s.Frames[1].SP != stack+tt.frame+8) {
					t.Errorf("caller %+v", s.Frames[1])
				}
			}
		})
	}

	// The same behind a call, where the pc before it counts.
	var c fakeCode
	c.fn(codeG, byReg(a64, a64.SP, 8))
	c.add(&fakeFunc{start: codeF, text: frameless, symbol: true})
	c.fn(codeH, outermost(a64))
	mem := newMem(stack, 0x100)
	mem.put(stack, 8, codeF+9)
	mem.put(stack+8+0x18, 8, codeH+5)
	check(t, walk(&c, mem, codeG+5, 0), unwind.EndOutermost, 0, codeG+5, codeF+9, codeH+5)

	// What the instructions tell must look like a call, too.
	mem.put(stack+8+0x18, 8, stack)
	check(t, walk(&c, mem, codeG+5, 0), unwind.EndBadReturn, stack, codeG+5, codeF+9)
}

// Code that no symbol names: a function's first and last instructions tell.
func TestEdges(t *testing.T) {
	var c fakeCode
	text := append([]byte{0x55, 0x48, 0x89, 0xe5}, calls(60)...) // push %rbp; mov %rsp,%rbp
	c.add(&fakeFunc{start: codeF, text: append(text, 0x5d, 0xc3)})
	c.fn(codeH, outermost(a64))
	for at, frame := range map[uint64]uint64{0: 0, 1: 8, 64: 8, 65: 0} {
		mem := newMem(stack, 0x100)
		mem.put(stack+frame, 8, codeH+5)
		s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
			a64.PC: codeF + at, a64.SP: stack, a64.FP: stack + 0x40,
		})}, mem)
		check(t, s, unwind.EndOutermost, 0, codeF+at, codeH+5)
	}
}

// A return address at the start of a function, or of code that never returns,
// with no call before it was put there by who made the stack.
func TestCoroutine(t *testing.T) {
	endless := []byte{0x31, 0xff, 0x0f, 0x05, 0xf4} // xor %edi,%edi; syscall; hlt
	for _, tt := range []struct {
		name  string
		fn    *fakeFunc
		at    uint64
		call  bool // a call lies before it
		size  int64
		found bool
	}{
		{"code that never returns", &fakeFunc{text: endless}, 0, false, 8, true},
		{"the same, by a row that is wrong", &fakeFunc{text: endless}, 0, false, 16, false},
		{"the same, called", &fakeFunc{text: endless}, 0, true, 8, false},
		{"a function", &fakeFunc{text: nops(16), symbol: true, row: byReg(a64, a64.SP, 8), how: unwind.HowCFI}, 0, false, 8, true},
		{"a function's middle", &fakeFunc{text: nops(16), symbol: true, row: byReg(a64, a64.SP, 8), how: unwind.HowCFI}, 4, false, 8, false},
		{"code that goes on", &fakeFunc{text: nops(16)}, 0, false, 8, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.fn(codeF, byReg(a64, a64.SP, tt.size)).text = []byte{0xc3, 0x90, 0x90, 0x90, 0x90, 0xc3, 0x90}
			before := nops(16)
			if tt.call {
				before[11] = 0xe8
			}
			c.add(&fakeFunc{start: codeG - 16, text: before})
			tt.fn.start = codeG
			c.add(tt.fn)
			mem := newMem(stack, 0x100)
			mem.put(stack, 8, 0x1234, 0x1234, 0x1234)
			mem.put(stack+uint64(tt.size)-8, 8, codeG+tt.at)
			s := walk(&c, mem, codeF+5, 0)
			if tt.found {
				check(t, s, unwind.EndCoroutine, codeG+tt.at, codeF+5)
			} else if s.End == unwind.EndCoroutine || s.End == unwind.EndOutermost {
				t.Errorf("%d frames, end %d", len(s.Frames), s.End)
			}
		})
	}
}

// Code whose bytes are gone, as in a core without its program: whether the
// innermost function has made its frame cannot be known, nor what was called.
func TestCodeGone(t *testing.T) {
	var c fakeCode
	c.add(&fakeFunc{start: codeF, text: calls(256), gone: true})
	c.fn(codeG, byReg(a64, a64.SP, 8))
	mem := newMem(stack, 0x100)
	mem.put(stack, 8, codeF+5)
	mem.put(stack+0x10, 8, stack+0x40, codeF+9)
	mem.put(stack+0x40, 8, 0, 0)
	start := regs(map[arch.Reg]uint64{a64.PC: codeF + 7, a64.SP: stack, a64.FP: stack + 0x10})
	check(t, unwind.New(a64, &c).Walk(unwind.Start{Regs: start}, mem), unwind.EndNoInfo, codeF+7, codeF+7)
	start.Set(a64.PC, codeG+5)
	check(t, unwind.New(a64, &c).Walk(unwind.Start{Regs: start}, mem), unwind.EndNoInfo, codeF+9, codeG+5, codeF+5)
}
