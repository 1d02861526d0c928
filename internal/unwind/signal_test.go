package unwind_test

import (
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/unwind"
)

const (
	codeTramp   = 0x404000 // where trampolines are put
	interrupted = codeG + 0x20
)

// frameOf writes a signal frame at base, where the stack pointer is at the
// trampoline's first byte, and returns the value of each register in it.
func frameOf(mem *fakeMem, a *arch.Arch, tr *arch.Trampoline, base, sp uint64) map[arch.Reg]uint64 {
	values := make(map[arch.Reg]uint64)
	for i, s := range tr.Regs {
		v := sp + 0x100 + uint64(i)*0x20
		switch s.Reg {
		case a.PC:
			v = interrupted
		case a.SP:
			v = sp
		}
		values[s.Reg] = v
		mem.put(base+uint64(s.Offset), a.PtrSize, v)
	}
	return values
}

// Every trampoline of both CPUs, at each place where a thread can be in it and
// as what a handler returns to, known by its code and by a row: the interrupted
// frame is exact and has all of its registers.
func TestSignalFrames(t *testing.T) {
	for _, a := range []*arch.Arch{a64, a32} {
		for i := range a.Trampolines {
			tr := &a.Trampolines[i]
			for _, at := range tr.At {
				for _, how := range []string{"code", "row", "handler", "handler, page", "handler, page, row", "handler, adjacent"} {
					if at.Offset != 0 && how[0] == 'h' {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s%d+%d/%s", a.Name, tr.Name, i, at.Offset, how), func(t *testing.T) {
						testSignalFrame(t, a, tr, at, how)
					})
				}
			}
		}
	}
}

func testSignalFrame(t *testing.T, a *arch.Arch, tr *arch.Trampoline, at arch.TrampolinePoint, how string) {
	ptr := uint64(a.PtrSize)
	for _, saved := range tr.Regs {
		r := saved.Reg
		if r == a.PC || r == a.SP {
			continue
		}
		var c fakeCode
		tramp := &fakeFunc{start: codeTramp, text: append(append([]byte{}, tr.Code...), nops(16)...), how: unwind.HowCFI}
		if how == "row" || how == "handler, page, row" {
			// What libc's and the vDSO's tables hold: expressions that find the
			// registers in the frame.
			row := byReg(a, a.SP, 8)
			row.Signal = true
			for _, s := range tr.Regs {
				d := uint64(s.Offset) - uint64(at.Popped) - 8
				row.Regs[s.Reg] = off(int64(d))
			}
			tramp.row = row
		}
		c.add(tramp)
		handler := byReg(a, a.SP, int64(ptr))
		c.fn(codeF, handler)
		switch how {
		case "handler":
			// A function that ends right before the trampoline, and whose
			// table covers the byte before it: it must not be taken for
			// the one that was called.
			c.fn(codeTramp-256, byReg(a, a.SP, 0x400))
		case "handler, adjacent":
			c.fn(codeTramp-256, byReg(a, a.SP, 0x400))
			tramp.row = byReg(a, a.SP, 0x500)
			tramp.row.Func = codeTramp
			tramp.row.FuncEnd = codeTramp + 32
		}
		c.fn(codeG, byReg(a, r, 0))
		c.fn(codeH, outermost(a))

		mem := newMem(stack-64, 0x2000)
		base := uint64(stack)
		sp := base - ptr
		chain := []uint64{codeF + 5, codeTramp}
		start := regs(map[arch.Reg]uint64{a.PC: codeF + 5, a.SP: sp})
		if how[0] == 'h' {
			mem.put(sp, a.PtrSize, codeTramp)
		} else {
			start = regs(map[arch.Reg]uint64{a.PC: codeTramp + uint64(at.Offset), a.SP: base + uint64(at.Popped)})
			chain = []uint64{codeTramp + uint64(at.Offset)}
		}
		values := frameOf(mem, a, tr, base, stack+0x800)
		mem.put(values[r]-ptr, a.PtrSize, codeH+5)

		s := unwind.New(a, &c).Walk(unwind.Start{Regs: start}, mem)
		check(t, s, unwind.EndOutermost, 0, append(chain, interrupted, codeH+5)...)
		if t.Failed() {
			return
		}
		n := len(s.Frames)
		tf, in, out := s.Frames[n-3], s.Frames[n-2], s.Frames[n-1]
		if !tf.Signal || !tf.Exact {
			t.Errorf("the trampoline's frame: %+v", tf)
		}
		if in.Signal || !in.Exact || in.How != unwind.HowSignal || in.SP != stack+0x800 || in.Lookup() != interrupted {
			t.Errorf("the interrupted frame: %+v", in)
		}
		if out.Exact || out.SP != values[r] {
			t.Errorf("%s was %#x where the signal came, want %#x", a.Names[r], out.SP, values[r])
		}
	}
}

// A signal may come anywhere: between a function's first instructions, at a
// place that is not code, or below the handler's stack.
func TestInterruptedAnywhere(t *testing.T) {
	tr := &a64.Trampolines[0]
	for _, tt := range []struct {
		name   string
		pc, sp uint64
		rows   bool
		want   []uint64
	}{
		{"at a null pointer", 0, stack + 0x800, true, []uint64{0, codeG + 5, codeH + 5}},
		{"at unmapped memory", 0xdead0000, stack + 0x800, true, []uint64{0xdead0000, codeG + 5, codeH + 5}},
		{"on a stack below", codeF + 9, stack - 0x800, true, []uint64{codeF + 9, codeG + 5, codeH + 5}},
		{"at the first byte of a function", codeF, stack + 0x800, true, []uint64{codeF, codeG + 5, codeH + 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.add(&fakeFunc{start: codeTramp, text: tr.Code})
			c.fn(codeF, byReg(a64, a64.SP, 8))
			// The function before: exact means that it is not asked.
			c.fn(codeF-256, byReg(a64, a64.SP, 0x100))
			c.fn(codeG, byReg(a64, a64.SP, 16))
			c.fn(codeH, outermost(a64))
			mem := newMem(stack-0x1000, 0x3000)
			frameOf(mem, a64, tr, stack, tt.sp)
			mem.put(stack+40+128, 8, tt.pc)
			mem.put(tt.sp, 8, codeG+5)
			mem.put(tt.sp+16, 8, codeH+5)
			s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: codeTramp, a64.SP: stack})}, mem)
			check(t, s, unwind.EndOutermost, 0, append([]uint64{codeTramp}, tt.want...)...)
			if len(s.Frames) > 2 && (!s.Frames[1].Exact || s.Frames[2].Exact) {
				t.Errorf("exact: %+v", s.Frames)
			}
		})
	}
}

// Without the frame there is no going on.
func TestSignalFrameNotInMemory(t *testing.T) {
	tr := &a64.Trampolines[0]
	var c fakeCode
	c.add(&fakeFunc{start: codeTramp, text: tr.Code})
	c.fn(codeG, byReg(a64, amd64.RBX, 0))
	c.fn(codeH, outermost(a64))
	start := unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: codeTramp, a64.SP: stack})}

	mem := newMem(stack, 40+128) // up to the saved pc
	frameOf(newMem(stack, 0x1000), a64, tr, stack, stack+0x800)
	check(t, unwind.New(a64, &c).Walk(start, mem), unwind.EndNoMemory, stack+40+120+8, codeTramp)

	start.Regs.Clear(a64.SP)
	check(t, unwind.New(a64, &c).Walk(start, mem), unwind.EndNoRegister, uint64(a64.SP), codeTramp)
}

// Which signal it was. The kernel writes a siginfo only for handlers that ask
// for one (SA_SIGINFO); for others it is what lay there before.
func TestSigno(t *testing.T) {
	type info struct {
		signo, errno uint32
		code         int32
	}
	mask := func(signals ...int) (m uint64) {
		for _, s := range signals {
			m |= 1 << (s - 1)
		}
		return m
	}
	const usr1, segv, rt = 10, 11, 40
	rt64, rt32, plain32 := &a64.Trampolines[0], &a32.Trampolines[1], &a32.Trampolines[0]
	for _, tt := range []struct {
		name    string
		arch    *arch.Arch
		tr      *arch.Trampoline
		info    info
		signo   uint32 // of frames that have it
		blocked uint64
		known   bool // blocked is known
		saved   uint64
		want    uint8
	}{
		{"siginfo", a64, rt64, info{usr1, 0, 0}, 0, mask(usr1), true, 0, usr1},
		{"siginfo, from tgkill", a64, rt64, info{usr1, 0, -6}, 0, mask(usr1), true, 0, usr1},
		{"siginfo, from the kernel", a64, rt64, info{segv, 0, 1}, 0, mask(segv), true, 0, segv},
		{"siginfo, from anywhere in the kernel", a64, rt64, info{segv, 0, 0x80}, 0, mask(segv), true, 0, segv},
		{"siginfo, a realtime signal", a64, rt64, info{rt, 0, -1}, 0, mask(rt), true, 0, rt},
		{"siginfo, the last signal", a64, rt64, info{64, 0, -1}, 0, 1 << 63, true, 0, 64},
		{"siginfo, more blocked", a64, rt64, info{usr1, 0, 0}, 0, mask(usr1, segv), true, mask(segv), usr1},
		{"siginfo, masks not known", a64, rt64, info{usr1, 0, 0}, 0, 0, false, 0, usr1},
		{"SA_NODEFER", a64, rt64, info{usr1, 0, 0}, 0, mask(segv), true, mask(segv), usr1},
		{"SA_NODEFER, nothing blocked", a64, rt64, info{usr1, 0, 0}, 0, 0, true, 0, usr1},
		{"stale, of another signal", a64, rt64, info{usr1, 0, 0}, 0, mask(segv), true, 0, 0},
		{"stale, an errno", a64, rt64, info{usr1, 7, 0}, 0, mask(usr1), true, 0, 0},
		{"stale, no code", a64, rt64, info{usr1, 0, 0x7f00}, 0, mask(usr1), true, 0, 0},
		{"no signal", a64, rt64, info{0, 0, 0}, 0, 0, true, 0, 0},
		{"beyond the last signal", a64, rt64, info{65, 0, 0}, 0, ^uint64(0), true, 0, 0},
		{"32-bit siginfo", a32, rt32, info{usr1, 0, 0}, usr1, mask(usr1), true, 0, usr1},
		{"32-bit, no siginfo", a32, rt32, info{usr1, 9, 0x7f00}, segv, mask(segv), true, 0, segv},
		{"32-bit without SA_SIGINFO", a32, plain32, info{}, usr1, mask(usr1), true, 0, usr1},
		{"32-bit without SA_SIGINFO, mask not known", a32, plain32, info{}, usr1, 0, false, 0, usr1},
		{"32-bit, damaged", a32, plain32, info{}, 99, mask(usr1), true, 0, 0},
	} {
		for _, byRow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, byRow), func(t *testing.T) {
				a, sig := tt.arch, tt.tr.Signal
				var c fakeCode
				f := &fakeFunc{start: codeTramp, text: tt.tr.Code}
				if byRow {
					row := outermost(a)
					row.Signal = true
					f.row, f.how = row, unwind.HowCFI
				}
				c.add(f)
				mem := newMem(stack, 0x2000)
				frameOf(mem, a, tt.tr, stack, stack+0x800)
				if sig.Siginfo != arch.NoOffset {
					mem.put(stack+uint64(sig.Siginfo), 4, uint64(tt.info.signo), uint64(tt.info.errno), uint64(uint32(tt.info.code)))
				}
				if sig.Signo != arch.NoOffset {
					mem.put(stack+uint64(sig.Signo), 4, uint64(tt.signo))
				}
				if sig.Mask != arch.NoOffset {
					mem.put(stack+uint64(sig.Mask), 8, tt.saved)
				}
				s := unwind.New(a, &c).Walk(unwind.Start{
					Regs:    regs(map[arch.Reg]uint64{a.PC: codeTramp, a.SP: stack}),
					Blocked: tt.blocked, HasBlocked: tt.known,
				}, mem)
				if got := s.Frames[0]; got.Signo != tt.want || !got.Signal {
					t.Errorf("signal %d (%v), want %d", got.Signo, got.Signal, tt.want)
				}
			})
		}
	}
}

// In nested handlers the mask of the outer one is that which the inner frame
// saved, not the thread's: SIGUSR2 came while SIGUSR1's handler ran.
func TestNestedSignals(t *testing.T) {
	const usr1, usr2 = 10, 12
	for _, tt := range []struct {
		name  string
		saved uint64 // by the inner frame
		info  uint64 // of the outer frame
		want  uint8
	}{
		{"both have a siginfo", 1 << (usr1 - 1), usr1, usr1},
		{"stale in the outer frame", 1 << (usr1 - 1), usr2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := &a64.Trampolines[0]
			var c fakeCode
			c.add(&fakeFunc{start: codeTramp, text: tr.Code})
			handler := c.fn(codeF, byReg(a64, a64.SP, 8))
			c.fn(codeH, outermost(a64))
			mem := newMem(stack, 0x4000)
			const outer = stack + 0x1000
			// Inner frame: interrupted the handler of the outer one.
			frameOf(mem, a64, tr, stack, outer-8)
			mem.put(stack+40+128, 8, handler.start+9)
			mem.put(stack+uint64(tr.Signal.Siginfo), 4, usr2, 0, 0)
			mem.put(stack+uint64(tr.Signal.Mask), 8, tt.saved)
			mem.put(outer-8, 8, codeTramp)
			frameOf(mem, a64, tr, outer, outer+0x800)
			mem.put(outer+40+128, 8, codeH+9)
			mem.put(outer+uint64(tr.Signal.Siginfo), 4, tt.info, 0, 0)
			s := unwind.New(a64, &c).Walk(unwind.Start{
				Regs:    regs(map[arch.Reg]uint64{a64.PC: codeTramp, a64.SP: stack}),
				Blocked: 1<<(usr1-1) | 1<<(usr2-1), HasBlocked: true,
			}, mem)
			check(t, s, unwind.EndOutermost, 0, codeTramp, codeF+9, codeTramp, codeH+9)
			if a, b := s.Frames[0].Signo, s.Frames[2].Signo; a != usr2 || b != tt.want {
				t.Errorf("signals %d and %d, want %d and %d", a, b, usr2, tt.want)
			}
		})
	}
}

// A damaged stack on which signal frames lead to each other ends.
func TestSignalLoop(t *testing.T) {
	tr := &a64.Trampolines[0]
	var c fakeCode
	c.add(&fakeFunc{start: codeTramp, text: tr.Code})
	handler := c.fn(codeF, byReg(a64, a64.SP, 8))
	mem := newMem(stack-8, 0x1000)
	for name, pc := range map[string]uint64{"to itself": codeTramp, "through a handler": handler.start} {
		t.Run(name, func(t *testing.T) {
			sp := uint64(stack)
			if pc != codeTramp {
				sp -= 8
			}
			frameOf(mem, a64, tr, stack, sp)
			mem.put(stack+40+128, 8, pc)
			mem.put(stack-8, 8, codeTramp)
			s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: codeTramp, a64.SP: stack})}, mem)
			if s.End != unwind.EndLoop || len(s.Frames) > 5000 {
				t.Errorf("%d frames, end %d", len(s.Frames), s.End)
			}
		})
	}
}

// Handlers that are interrupted in turn, on one stack, are no loop.
func TestManyNestedSignals(t *testing.T) {
	const n, size = 3000, 0x240
	tr := &a64.Trampolines[0]
	var c fakeCode
	c.add(&fakeFunc{start: codeTramp, text: tr.Code})
	c.fn(codeF, byReg(a64, a64.SP, 8))
	c.fn(codeH, outermost(a64))
	mem := newMem(stack, (n+1)*size)
	for i := range uint64(n) {
		sp := stack + i*size
		mem.put(sp, 8, codeTramp)
		frameOf(mem, a64, tr, sp+8, sp+size)
		mem.put(sp+8+40+128, 8, codeF+7)
	}
	mem.put(stack+n*size, 8, codeH+5)
	s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: codeF + 5, a64.SP: stack})}, mem)
	if len(s.Frames) != 2*n+2 || s.End != unwind.EndOutermost {
		t.Errorf("%d frames, want %d; end %d at %#x", len(s.Frames), 2*n+2, s.End, s.At)
	}
}

// Code that merely looks like a trampoline, in a function with a table, is none.
func TestTrampolineBytesInAFunction(t *testing.T) {
	tr := &a64.Trampolines[0]
	var c fakeCode
	f := c.fn(codeF, byReg(a64, a64.SP, 16))
	copy(f.text[5:], tr.Code) // a call of syscall(SYS_rt_sigreturn)
	c.fn(codeH, outermost(a64))
	mem := newMem(stack, 0x1000)
	mem.put(stack+8, 8, codeH+5)
	for _, pc := range []uint64{codeF + 5, codeF + 5 + uint64(tr.At[1].Offset)} {
		s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: pc, a64.SP: stack})}, mem)
		check(t, s, unwind.EndOutermost, 0, pc, codeH+5)
		if s.Frames[0].Signal {
			t.Error("taken for a signal frame")
		}
	}
}
