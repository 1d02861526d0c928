package unwind_test

import (
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/unwind"
)

// Where the parts of a Go program lie, all in one fakeMem that begins at g0stack.
const (
	g0stack = 0x7f0000       // grows down from g0top
	g0top   = g0stack + 4096 // of the system stack
	gstack  = g0top          // the goroutine's, behind it
	gtop    = gstack + 4096
	gAt     = gtop // its g, that of the system stack, and their m
	g0At    = gtop + 0x200
	mAt     = gtop + 0x400
	gEnd    = gtop + 0x1000

	codeC        = 0x410000 // C code
	codeEntry    = 0x411000 // crosscall2
	codeCallback = 0x412000 // cgocallback
	codeMcall    = 0x413000
	codeMore     = 0x414000
	codeCgo      = 0x415000 // asmcgocall
	codeGo       = 0x416000 // plain Go, frames of 0x20 bytes
	codeBegin    = 0x417000 // outermost
)

// goProgram is a thread in which C has called Go: begin, C, crosscall2 and
// cgocallback on the system stack, and cgocallback and Go on the goroutine's.
func goProgram() (*fakeCode, *fakeMem) {
	var c fakeCode
	c.fn(codeC, byReg(a64, a64.SP, 0x20))
	// push %rbp; sub $0x18,%rsp; call; add $0x18,%rsp; pop %rbp; ret
	c.add(&fakeFunc{start: codeEntry, symbol: true, how: unwind.HowGoEntry,
		text: []byte{0x55, 0x48, 0x83, 0xec, 0x18, 0xe8, 0, 1, 0, 0, 0x48, 0x83, 0xc4, 0x18, 0x5d, 0xc3}})
	c.fn(codeCallback, byReg(a64, a64.SP, 0x28)).how = unwind.HowGoCallback
	c.fn(codeMcall, outermost(a64)).how = unwind.HowGoLeft
	c.fn(codeMore, outermost(a64)).how = unwind.HowGoGrows
	c.fn(codeCgo, byReg(a64, a64.SP, 0x10)).how = unwind.HowGoCgo
	c.fn(codeGo, byReg(a64, a64.SP, 0x20)).how = unwind.HowGo
	c.fn(codeBegin, outermost(a64))

	mem := newMem(g0stack, gEnd-g0stack)
	// g: stack, stack guards, panic, defer, m, sched
	mem.put(gAt, 8, gstack, gtop, 0, 0, 0, 0, mAt, gtop-0x100, codeGo+5)
	mem.put(g0At, 8, g0stack, g0top, 0, 0, 0, 0, mAt, g0top-0x200, 0)
	mem.put(mAt, 8, g0At)
	mem.put(mAt+0x90, 8, 0x1234, gAt+0x1000000, gAt) // numbers, and the goroutine
	// The system stack, from cgocallback on: what the scheduler has recorded.
	mem.put(g0top-0x200+0x20, 8, codeEntry+10) // from cgocallback
	mem.put(g0top-0x200+0x28+0x20, 8, codeC+5) // from crosscall2, behind rbp
	mem.put(g0top-0x200+0x50+0x18, 8, codeBegin+5)
	// The goroutine's stack: Go, and cgocallback with a caller that is none.
	mem.put(gtop-0x100+0x18, 8, codeCallback+5)
	mem.put(gtop-0x100+0x20+0x20, 8, codeGo+9)
	mem.put(gtop-0x100+0x20+0x28+0x18, 8, codeBegin+9)
	return &c, mem
}

var turnsToC = []uint64{codeGo + 5, codeCallback + 5, codeEntry + 10, codeC + 5, codeBegin + 5}

func walkGo(c *fakeCode, mem *fakeMem, pc, sp uint64, more map[arch.Reg]uint64) unwind.Stack {
	r := map[arch.Reg]uint64{a64.PC: pc, a64.SP: sp}
	for k, v := range more {
		r[k] = v
	}
	return unwind.New(a64, c).Walk(unwind.Start{Regs: regs(r)}, mem)
}

// Go code that C has called leads back to C: by the scheduler's record, which
// must fit together.
func TestGoCallback(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*fakeMem)
		g    uint64
		end  unwind.End
		at   uint64
	}{
		{"by the register", nil, gAt, unwind.EndOutermost, 0},
		{"no register", nil, 0, unwind.EndOtherStack, codeCallback + 5},
		{"another goroutine's stack", func(m *fakeMem) { m.put(gAt, 8, gtop, gtop+8) }, gAt, unwind.EndOtherStack, codeCallback + 5},
		{"an m with another g0", func(m *fakeMem) { m.put(g0At+6*8, 8, mAt+8) }, gAt, unwind.EndOtherStack, codeCallback + 5},
		{"a record that is none", func(m *fakeMem) { m.put(g0At+7*8, 8, 0x1234) }, gAt, unwind.EndOtherStack, codeCallback + 5},
		{"no call from C there", func(m *fakeMem) { m.put(g0top-0x200+0x20, 8, codeGo+5) }, gAt, unwind.EndOtherStack, codeCallback + 5},
		{"memory that is missing", nil, 0x1000, unwind.EndNoMemory, 0x1000 + 6*8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mem := goProgram()
			if tt.edit != nil {
				tt.edit(mem)
			}
			s := walkGo(c, mem, codeGo+5, gtop-0x100, map[arch.Reg]uint64{amd64.R14: tt.g})
			want := turnsToC
			if tt.end != unwind.EndOutermost {
				want = want[:2]
			}
			check(t, s, tt.end, tt.at, want...)
		})
	}
}

// The scheduler's functions lead to the goroutine that they have left only where
// it must be this thread's.
func TestGoLeft(t *testing.T) {
	parked := func(m *fakeMem) { m.put(gAt+6*8, 8, 0) }
	noC := func(m *fakeMem) { m.put(g0top-0x200+0x20, 8, codeGo+5) }
	both := func(m *fakeMem) { parked(m); noC(m) }
	for _, tt := range []struct {
		name string
		pc   uint64
		edit func(*fakeMem)
		want []uint64 // behind the first
		end  unwind.End
	}{
		{"mcall, parked, called by C", codeMcall, parked, turnsToC, unwind.EndOutermost},
		{"mcall, still running, called by C", codeMcall, nil, turnsToC, unwind.EndOutermost},
		{"mcall, still running", codeMcall, noC, turnsToC[:2], unwind.EndOtherStack},
		{"mcall, parked", codeMcall, both, nil, unwind.EndOutermost},
		{"mcall, no goroutine", codeMcall, func(m *fakeMem) { m.put(gAt+7*8, 8, 0x1234) }, nil, unwind.EndOtherStack},
		{"morestack", codeMore, nil, turnsToC, unwind.EndOutermost},
		{"morestack, parked, called by C", codeMore, parked, turnsToC, unwind.EndOutermost},
		{"morestack, parked", codeMore, both, nil, unwind.EndOutermost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mem := goProgram()
			if tt.edit != nil {
				tt.edit(mem)
			}
			const sp = g0top - 0x200 - 8
			mem.put(sp, 8, gAt) // mcall's argument
			// Some function of the scheduler's that they have called.
			mem.put(sp-8, 8, tt.pc+5)
			c.fn(codeH, byReg(a64, a64.SP, 8)).how = unwind.HowGo
			s := walkGo(c, mem, codeH+5, sp-8, map[arch.Reg]uint64{amd64.R14: g0At})
			want := append([]uint64{codeH + 5, tt.pc + 5}, tt.want...)
			at := uint64(0)
			if tt.end != unwind.EndOutermost {
				at = want[len(want)-1]
			}
			check(t, s, tt.end, at, want...)
		})
	}
}

// C code that Go has called leads back to where the goroutine's stack is now.
func TestGoCgo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		words []uint64 // that asmcgocall has left on the system stack
		ok    bool
	}{
		{"depth and goroutine", []uint64{0x110, gAt}, true},
		{"behind other words", []uint64{7, 0, 9, 0x110, gAt}, true},
		{"on the system stack", []uint64{g0top - 0x250 + 0x40, 0}, true},
		{"too deep", []uint64{0x10000, gAt}, false},
		{"no goroutine", []uint64{0x110, gAt + 8}, false},
		{"nothing", []uint64{0x110, 0x111}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, mem := goProgram()
			const sp = g0top - 0x250
			mem.put(sp+0x18, 8, codeCgo+5) // from C
			mem.put(sp+0x20, 8, tt.words...)
			mem.put(gtop-0x110+8, 8, codeGo+5)
			mem.put(sp+0x40+8, 8, codeBegin+5)
			s := walkGo(c, mem, codeC+5, sp, map[arch.Reg]uint64{amd64.R14: gAt})
			want := []uint64{codeC + 5, codeCgo + 5}
			switch {
			case !tt.ok:
				check(t, s, unwind.EndOtherStack, codeCgo+5, want...)
			case tt.words[len(tt.words)-1] == 0:
				check(t, s, unwind.EndOutermost, 0, append(want, codeBegin+5)...)
			default:
				check(t, s, unwind.EndOutermost, 0, append(want, turnsToC...)...)
			}
		})
	}
}
