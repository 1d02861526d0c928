package unwind_test

import (
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Registers of linkArch.
const (
	linkFP arch.Reg = iota
	linkLR
	linkSP
	linkPC
)

// signature is what linkArch's return addresses are signed with.
const signature = 0x5a << 56

// linkArch is a CPU whose calls leave the return address in a register, and whose
// functions sign it before they save it.
func linkArch() *arch.Arch {
	inLR := arch.Return{InReg: true, Reg: linkLR}
	return &arch.Arch{
		PtrSize: 8, NumRegs: 4, PC: linkPC, SP: linkSP, FP: linkFP,
		Entry: arch.Layout{Base: linkSP, Return: inLR},
		Chain: arch.Layout{Base: linkFP, Offset: 16, Return: arch.Return{Offset: -8},
			Saved: []arch.SavedReg{{Reg: linkFP, Offset: -16}, {Reg: linkLR, Offset: -8}}},
		StripPAC: func(ra, mask uint64) uint64 {
			if mask == 0 {
				mask = 0xff << 56
			}
			return ra &^ mask
		},
		MaxCall:   4,
		AfterCall: func(code []byte) bool { return code[0] == 0xe8 },
		Analyze:   func([]byte, uint64, uint64) (arch.Layout, bool) { return arch.Layout{}, false },
		Edge:      func(_, _ []byte) (arch.Layout, bool) { return arch.Layout{}, false },
		Ahead:     func([]byte, int, bool) (arch.Layout, bool) { return arch.Layout{}, false },
	}
}

// linkRow is a row of linkArch: the CFA is sp+n, and the return address where ra
// says.
func linkRow(n int64, ra cfi.Rule, signed bool) *cfi.Row {
	row := &cfi.Row{RA: uint8(linkLR), RASigned: signed, CFA: cfi.Rule{Kind: cfi.Register, Reg: uint8(linkSP), N: n}}
	row.Regs[linkLR] = ra
	return row
}

func TestLinkRegister(t *testing.T) {
	a := linkArch()
	var c fakeCode
	c.fn(codeF, linkRow(0, cfi.Rule{}, false)) // a leaf: the address is in the register
	c.fn(codeG, linkRow(32, off(-8), true))
	c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
	mem := newMem(stack, 0x100)
	mem.put(stack+24, 8, signature|(codeH+9))
	for _, tt := range []struct {
		name string
		pc   uint64
		want []uint64
	}{
		{"a leaf", codeF + 4, []uint64{codeF + 4, codeG + 8, codeH + 9}},
		{"a call to nowhere", 0x10, []uint64{0x10, codeG + 8, codeH + 9}},
		{"a null call", 0, []uint64{0, codeG + 8, codeH + 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := unwind.New(a, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				linkPC: tt.pc, linkSP: stack, linkLR: codeG + 8,
			})}, mem)
			check(t, s, unwind.EndOutermost, 0, tt.want...)
		})
	}
	// Without the register a leaf has no caller.
	s := unwind.New(a, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{linkPC: 0x10, linkSP: stack})}, mem)
	check(t, s, unwind.EndNoRegister, uint64(linkLR), 0x10)
}

// A signed return address is one only where the row says so; which of its bits
// the signature takes, the thread's mask tells.
func TestSignedReturnAddress(t *testing.T) {
	const other = 0x3 << 50
	for _, tt := range []struct {
		name   string
		signed bool
		mask   uint64
		ra     uint64
		end    unwind.End
		at     uint64
		want   []uint64
	}{
		{"signed", true, 0, signature | (codeH + 9), unwind.EndOutermost, 0, []uint64{codeG + 8, codeH + 9}},
		{"by the mask", true, other, other | (codeH + 9), unwind.EndOutermost, 0, []uint64{codeG + 8, codeH + 9}},
		{"outside of the mask", true, other, signature | (codeH + 9), unwind.EndBadReturn, signature | (codeH + 9), []uint64{codeG + 8}},
		{"not signed", false, 0, signature | (codeH + 9), unwind.EndBadReturn, signature | (codeH + 9), []uint64{codeG + 8}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.fn(codeG, linkRow(32, off(-8), tt.signed))
			c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
			mem := newMem(stack, 0x100)
			mem.put(stack+24, 8, tt.ra)
			s := unwind.New(linkArch(), &c).Walk(unwind.Start{
				Regs:    regs(map[arch.Reg]uint64{linkPC: codeG + 8, linkSP: stack}),
				PACMask: tt.mask,
			}, mem)
			check(t, s, tt.end, tt.at, tt.want...)
		})
	}
}

// A program may keep tags in the bits of addresses that the CPU ignores.
func TestTaggedAddress(t *testing.T) {
	a := linkArch()
	a.Tag = 0xff << 56
	var c fakeCode
	row := linkRow(32, off(-8), false)
	row.CFA.Reg = uint8(linkFP)
	c.fn(codeG, row)
	c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
	mem := newMem(stack, 0x100)
	mem.put(stack+24, 8, codeH+9)
	s := unwind.New(a, &c).Walk(unwind.Start{
		Regs: regs(map[arch.Reg]uint64{linkPC: codeG + 8, linkSP: stack, linkFP: 0x3<<56 | stack}),
	}, mem)
	check(t, s, unwind.EndOutermost, 0, codeG+8, codeH+9)
	if sp := s.Frames[1].SP; sp != stack+32 {
		t.Errorf("the caller's stack pointer is %#x, want %#x", sp, stack+32)
	}
}

// A row that leads nowhere, as longjmp's, whose frame is the buffer: the instructions
// tell that the return address is in the link register.
func TestWrongRowOfLeaf(t *testing.T) {
	a := linkArch()
	a.Analyze = func([]byte, uint64, uint64) (arch.Layout, bool) { return a.Entry, true }
	var c fakeCode
	row := linkRow(0, off(8), false)
	row.CFA.Reg = uint8(linkFP)
	c.add(&fakeFunc{start: codeF, row: row, how: unwind.HowCFI, text: calls(256), symbol: true})
	c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
	mem := newMem(stack, 0x100)
	s := unwind.New(a, &c).Walk(unwind.Start{
		Regs: regs(map[arch.Reg]uint64{linkPC: codeF + 8, linkSP: stack + 0x80, linkFP: stack, linkLR: codeH + 9}),
	}, mem)
	check(t, s, unwind.EndOutermost, 0, codeF+8, codeH+9)
}

// Code that nothing describes: by the chain of frame pointers, whose return
// addresses may be signed.
func TestSignedChain(t *testing.T) {
	var c fakeCode
	c.add(&fakeFunc{start: codeG, text: calls(256)})
	c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
	mem := newMem(stack, 0x100)
	mem.put(stack+16, 8, stack+48, signature|(codeG+9)) // G's frame, which G called
	mem.put(stack+48, 8, stack+64, codeH+9)
	s := unwind.New(linkArch(), &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
		linkPC: codeG + 20, linkSP: stack, linkFP: stack + 16, linkLR: codeG + 9,
	})}, mem)
	check(t, s, unwind.EndOutermost, 0, codeG+20, codeG+9, codeH+9)
}

// On a CPU whose frames keep the frame record anywhere, the chain does not tell the
// caller's stack pointer: a row that needs it is not believed with a wrong one.
func TestChainLosesSP(t *testing.T) {
	record := func() *cfi.Row {
		row := linkRow(48, off(-40), false)
		row.Regs[linkFP] = off(-48)
		return row
	}
	for _, tt := range []struct {
		name string
		row  *cfi.Row
		end  unwind.End
		at   uint64
		want []uint64
		how  unwind.How
	}{
		{"a frame record", record(), unwind.EndOutermost, 0, []uint64{codeG + 20, codeF + 9, codeH + 9}, unwind.HowFramePointer},
		{"no frame record", linkRow(48, off(-40), false), unwind.EndNoRegister, uint64(linkSP), []uint64{codeG + 20, codeF + 9}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := linkArch()
			a.Chain.Least = true
			var c fakeCode
			c.add(&fakeFunc{start: codeG, text: calls(256)})
			c.fn(codeF, tt.row)
			c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
			mem := newMem(stack, 0x100)
			mem.put(stack+16, 8, stack+96, codeF+9) // G's record, in a frame of 80 bytes
			mem.put(stack+96, 8, 0, codeH+9)        // F's
			s := unwind.New(a, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				linkPC: codeG + 20, linkSP: stack, linkFP: stack + 16, linkLR: codeF + 9,
			})}, mem)
			check(t, s, tt.end, tt.at, tt.want...)
			if n := len(s.Frames); n > 2 && s.Frames[n-1].How != tt.how {
				t.Errorf("found by %v, want %v", s.Frames[n-1].How, tt.how)
			}
			// F's record is at the bottom of its frame of 48 bytes.
			if n := len(s.Frames); n > 2 && s.Frames[n-1].SP != stack+96+48 {
				t.Errorf("its stack pointer is %#x, want %#x", s.Frames[n-1].SP, stack+96+48)
			}
		})
	}
}

// The link register is a frame's own only where no call has been made since.
func TestLinkRegisterAfterCall(t *testing.T) {
	var c fakeCode
	c.fn(codeF, linkRow(32, off(-8), false))
	c.fn(codeG, linkRow(16, cfi.Rule{}, false)) // says that nothing has been saved
	mem := newMem(stack, 0x100)
	mem.put(stack+24, 8, codeG+9)
	s := unwind.New(linkArch(), &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{linkPC: codeF + 4, linkSP: stack})}, mem)
	check(t, s, unwind.EndBadRow, codeG+9, codeF+4, codeG+9)
}

// An interrupted function that nothing describes may be a leaf, or not have made its
// frame record yet: the chain of frame pointers would pass over its caller.
func TestInterruptedWithoutRow(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lr      uint64
		symbols bool
		end     unwind.End
		at      uint64
		want    []uint64
	}{
		{"a leaf", codeF + 9, true, unwind.EndOutermost, 0, []uint64{codeG + 20, codeF + 9, codeH + 9}},
		{"with its own record", codeH + 9, false, unwind.EndOutermost, 0, []uint64{codeG + 20, codeH + 9}},
		{"after a call of its own", codeG + 9, true, unwind.EndOutermost, 0, []uint64{codeG + 20, codeH + 9}},
		{"nobody knows", codeF + 9, false, unwind.EndNoInfo, codeG + 20, []uint64{codeG + 20}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := linkArch()
			a.Chain.Least = true
			var c fakeCode
			c.add(&fakeFunc{start: codeF, text: calls(256), symbol: tt.symbols})
			c.add(&fakeFunc{start: codeG, text: calls(256), symbol: tt.symbols})
			c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
			mem := newMem(stack, 0x100)
			mem.put(stack+32, 8, 0, codeH+9)
			s := unwind.New(a, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				linkPC: codeG + 20, linkSP: stack, linkFP: stack + 32, linkLR: tt.lr,
			})}, mem)
			check(t, s, tt.end, tt.at, tt.want...)
		})
	}
}

// glibc's resolver is entered with 16 bytes on the stack that its row knows nothing of,
// in which the return address lies: the caller's stack pointer is above them.
func TestRowForgetsWhatWasPushed(t *testing.T) {
	var c fakeCode
	c.fn(codeF, linkRow(32, off(8), false))
	c.fn(codeG, linkRow(32, off(-8), false))
	c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
	mem := newMem(stack, 0x100)
	mem.put(stack+40, 8, codeG+9)
	mem.put(stack+48+24, 8, codeH+9)
	s := unwind.New(linkArch(), &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{linkPC: codeF + 4, linkSP: stack})}, mem)
	check(t, s, unwind.EndOutermost, 0, codeF+4, codeG+9, codeH+9)
	if sp := s.Frames[1].SP; sp != stack+48 {
		t.Errorf("the caller's stack pointer is %#x, want %#x", sp, stack+48)
	}
}

// A goroutine that waits for a larger stack has called the runtime, which has kept its
// link register: the goroutine has no frame yet.
func TestKeptLinkRegister(t *testing.T) {
	const linkG arch.Reg = 4
	a := linkArch()
	a.NumRegs = 5
	a.Go.G = linkG
	var c fakeCode
	c.fn(codeF, linkRow(0, cfi.Rule{}, false)).how = unwind.HowGo
	c.fn(codeG, linkRow(16, off(-16), false)).how = unwind.HowGo
	c.fn(codeH, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false))
	c.fn(codeMore, linkRow(0, cfi.Rule{Kind: cfi.Undefined}, false)).how = unwind.HowGoGrows
	c.fn(codeEntry, linkRow(0, cfi.Rule{}, false)).how = unwind.HowGoEntry
	mem := newMem(g0stack, gEnd-g0stack)
	mem.put(gtop-0x100, 8, codeH+9)        // below it, G's frame
	mem.put(g0top-0x200+8, 8, codeEntry+9) // C has called Go
	mem.put(g0At, 8, g0stack, g0top, 0, 0, 0, 0, mAt)
	mem.put(mAt, 8, g0At, 0, 0, gAt)
	for _, tt := range []struct {
		name string
		rest []uint64 // behind sched.pc: sched.g, sched.ctxt, …
		end  unwind.End
		want []uint64
	}{
		{"Go 1.26", []uint64{gAt, 0, codeG + 9, gtop - 8}, unwind.EndOutermost, []uint64{codeMore + 4, codeF + 4, codeG + 9, codeH + 9}},
		{"Go 1.18", []uint64{gAt, 0, 0, codeG + 9, gtop - 8}, unwind.EndOutermost, []uint64{codeMore + 4, codeF + 4, codeG + 9, codeH + 9}},
		{"no such register", []uint64{gAt, 0, 0, 0, 0}, unwind.EndBadRow, []uint64{codeMore + 4, codeF + 4}},
	} {
		mem.put(gAt, 8, gstack, gtop, 0, 0, 0, 0, mAt, gtop-0x100, codeF+4)
		mem.put(gAt+9*8, 8, tt.rest...)
		s := unwind.New(a, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{linkPC: codeMore + 4, linkSP: g0top - 0x200, linkG: g0At})}, mem)
		at := uint64(0)
		if tt.end != unwind.EndOutermost {
			at = codeF + 4
		}
		check(t, s, tt.end, at, tt.want...)
	}

	// The same of a goroutine that no thread runs.
	start := map[arch.Reg]uint64{linkPC: codeF + 4, linkSP: gtop - 0x100, linkLR: codeG + 9}
	s := unwind.New(a, &c).Walk(unwind.Start{Called: true, Regs: regs(start)}, mem)
	check(t, s, unwind.EndOutermost, 0, codeF+4, codeG+9, codeH+9)
	delete(start, linkLR)
	s = unwind.New(a, &c).Walk(unwind.Start{Called: true, Regs: regs(start)}, mem)
	check(t, s, unwind.EndBadRow, codeF+4, codeF+4)
}

// Without call frame information a program begins where a frame record of zeros is, and
// a thread where the CPU's code says so.
func TestBeginsWithoutRow(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fp, lr uint64
		starts bool
		end    unwind.End
		at     uint64
	}{
		{"a record of zeros", 0, 0, false, unwind.EndOutermost, 0},
		{"a return address of zero alone", stack + 64, 0, false, unwind.EndZeroReturn, codeG + 9},
		{"a thread", stack + 64, codeF + 9, true, unwind.EndOutermost, 0},
		{"no thread", stack + 64, 0x10, false, unwind.EndBadReturn, 0x10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := linkArch()
			a.Chain.Least = true
			a.StartsThread = func([]byte, []byte) bool { return tt.starts }
			a.Analyze = func([]byte, uint64, uint64) (arch.Layout, bool) {
				return arch.Layout{Base: linkSP, Offset: 32, Return: arch.Return{Offset: -24},
					Saved: []arch.SavedReg{{Reg: linkFP, Offset: -32}, {Reg: linkLR, Offset: arch.NoOffset}}}, true
			}
			var c fakeCode
			c.fn(codeF, linkRow(16, off(-8), false))
			c.add(&fakeFunc{start: codeG, text: calls(256), symbol: true})
			mem := newMem(stack, 0x100)
			mem.put(stack+8, 8, codeG+9)
			mem.put(stack+16, 8, tt.fp, tt.lr)
			s := unwind.New(a, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{linkPC: codeF + 4, linkSP: stack})}, mem)
			check(t, s, tt.end, tt.at, codeF+4, codeG+9)
		})
	}
}
