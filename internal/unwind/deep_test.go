package unwind_test

import (
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// deep is a recursion of n frames through a few functions of each kind: found
// by a table, by analysis and by frame pointers.
func deep(n int) (*fakeCode, *fakeMem, unwind.Start) {
	var c fakeCode
	// A usual frame: two registers saved, and 48 bytes in all.
	row := byReg(a64, a64.SP, 48)
	row.Regs[amd64.RBX], row.Regs[a64.FP] = off(-24), off(-16)
	c.fn(codeF, row)
	c.fn(codeH, outermost(a64))
	mem := newMem(stack, n*48)
	for i := range uint64(n - 1) {
		ret := codeF + 5 + i%200
		if i == uint64(n-2) {
			ret = codeH + 5
		}
		mem.put(stack+48*i+24, 8, i, stack+48*i+80, ret)
	}
	return &c, mem, unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: codeF + 5, a64.SP: stack})}
}

func TestDeepRecursion(t *testing.T) {
	const n = 100_000
	c, mem, start := deep(n)
	w := unwind.New(a64, c)
	s := w.Walk(start, mem)
	if len(s.Frames) != n || s.End != unwind.EndOutermost || s.Frames[n-1].PC != codeH+5 {
		t.Fatalf("%d frames, end %d", len(s.Frames), s.End)
	}
	// What a pc's row is was asked once.
	if c.rows > 2000 {
		t.Errorf("%d rows for %d frames of 200 pcs", c.rows, n)
	}
	start.MaxFrames = 256
	if s = w.Walk(start, mem); len(s.Frames) != 256 || s.End != unwind.EndMaxFrames {
		t.Errorf("%d frames, end %d", len(s.Frames), s.End)
	}
}

// The buffer that WalkInto gets is used from its start, and no longer a stack
// than it holds is lost.
func TestWalkIntoBuffer(t *testing.T) {
	c, mem, start := deep(100)
	w := unwind.New(a64, c)
	want := w.Walk(start, mem)
	buf := make([]unwind.Frame, 7, 200)
	got := w.WalkInto(buf, start, mem)
	if &got.Frames[0] != &buf[0] || len(got.Frames) != 100 {
		t.Errorf("%d frames, not in the buffer", len(got.Frames))
	}
	short := w.WalkInto(make([]unwind.Frame, 3), start, mem)
	for i := range want.Frames {
		if got.Frames[i] != want.Frames[i] || short.Frames[i] != want.Frames[i] {
			t.Fatalf("frame %d: %+v, %+v, want %+v", i, got.Frames[i], short.Frames[i], want.Frames[i])
		}
	}
}

// Once the pcs are known a frame costs no allocation.
func TestWalkAllocs(t *testing.T) {
	const n = 1000
	c, mem, start := deep(n)
	w := unwind.New(a64, c)
	buf := w.Walk(start, mem).Frames
	allocs := testing.AllocsPerRun(10, func() { buf = w.WalkInto(buf, start, mem).Frames })
	if len(buf) != n || allocs > 1 {
		t.Errorf("%v allocations for %d frames", allocs, len(buf))
	}
}

func BenchmarkDeepRecursion(b *testing.B) {
	const n = 100_000
	c, mem, start := deep(n)
	w := unwind.New(a64, c)
	var buf []unwind.Frame
	for b.Loop() {
		buf = w.WalkInto(buf, start, mem).Frames
	}
	if len(buf) != n {
		b.Fatal(len(buf))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/frame")
}

// fuzzed takes what a test is made of from a fuzzer's bytes.
type fuzzed struct{ b []byte }

func (f *fuzzed) byte() byte {
	if len(f.b) == 0 {
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fuzzed) bytes(n int) []byte {
	n = min(n, len(f.b))
	v := f.b[:n]
	f.b = f.b[n:]
	return v
}

// value is a number of those that may lead somewhere.
func (f *fuzzed) value() uint64 {
	n := uint64(f.byte())
	switch f.byte() % 6 {
	case 0:
		return stack + n*8
	case 1:
		return codeF + n
	case 2:
		return codeG + n
	case 3:
		return codeTramp + n%16
	case 4:
		return -n
	}
	return n << (f.byte() % 64)
}

func (f *fuzzed) rule() cfi.Rule {
	return cfi.Rule{Kind: cfi.RuleKind(f.byte() % 9), Reg: f.byte() % 40, N: int64(int8(f.byte()))}
}

func (f *fuzzed) row(a *arch.Arch) *cfi.Row {
	row := &cfi.Row{CFA: f.rule(), RA: uint8(a.PC), Signal: f.byte()%8 == 0}
	row.Regs[a.PC] = f.rule()
	for range f.byte() % 6 {
		row.Regs[f.byte()%arch.MaxRegs] = f.rule()
	}
	if b := f.byte(); b%16 == 0 {
		row.RA = b / 4
	}
	for range f.byte() % 3 {
		row.Exprs = append(row.Exprs, f.bytes(int(f.byte()%8)))
	}
	return row
}

func FuzzWalk(f *testing.F) {
	for _, a := range []byte{0, 1} {
		f.Add([]byte{a})
		f.Add(append([]byte{a, 0, 0, 1, 7, 16, 0, 2, 0, 0xf8, 0}, make([]byte, 300)...))
		b := []byte{a}
		for i := range 400 {
			b = append(b, byte(i*7), byte(i>>3))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := fuzzed{data}
		flags := in.byte()
		a := a64
		if flags&1 != 0 {
			a = a32
		}
		var c fakeCode
		for _, start := range []uint64{codeF, codeF + 128, codeG} {
			fn := &fakeFunc{start: start, text: calls(128), symbol: in.byte()&1 != 0}
			switch b := in.byte() % 4; b {
			case 0, 1:
				fn.row, fn.how = in.row(a), unwind.How(1+in.byte()%3)
			case 2:
				copy(fn.text, in.bytes(int(in.byte())))
			}
			c.add(fn)
		}
		tr := &a.Trampolines[int(in.byte())%len(a.Trampolines)]
		c.add(&fakeFunc{start: codeTramp, text: tr.Code})

		var start unwind.Start
		start.Regs.Set(a.PC, in.value())
		start.Regs.Set(a.SP, in.value())
		start.Regs.Set(a.FP, in.value())
		for range in.byte() % 8 {
			start.Regs.Set(arch.Reg(in.byte()), in.value())
		}
		start.HasBlocked, start.Blocked = flags&2 != 0, in.value()
		if flags&4 != 0 {
			start.MaxFrames = 1 + int(in.byte())
		}

		mem := newMem(stack, 0x800)
		for i := 0; i < len(mem.b) && len(in.b) > 0; i += a.PtrSize {
			mem.put(stack+uint64(i), a.PtrSize, in.value())
		}
		w := unwind.New(a, &c)
		s := w.Walk(start, mem)
		// A frame for each byte of the stack and for what may be passed
		// behind it before that is noticed, as often as the stack can be
		// switched.
		limit := 1025 * (len(mem.b) + 4096)
		if start.MaxFrames > 0 {
			limit = start.MaxFrames
		}
		if len(s.Frames) > limit || len(s.Frames) == 0 {
			t.Fatalf("%d frames", len(s.Frames))
		}
		if s.End > unwind.EndZeroReturn {
			t.Fatalf("ends with %d", s.End)
		}
		mask := ^uint64(0) >> (64 - 8*a.PtrSize)
		for i, f := range s.Frames {
			if f.PC&^mask != 0 || f.SP&^mask != 0 {
				t.Fatalf("frame %d: %+v beyond the addresses of %s", i, f, a.Name)
			}
		}
		// A second walk, of pcs that are known now, sees the same.
		again := w.Walk(start, mem)
		if len(again.Frames) != len(s.Frames) || again.End != s.End || again.At != s.At {
			t.Fatalf("then %d frames, end %d at %#x; now %d, %d, %#x", len(s.Frames), s.End, s.At, len(again.Frames), again.End, again.At)
		}
	})
}
