package unwind_test

import (
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/amd64"
	"github.com/gatedso/bt/internal/arch/i386"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// DWARF operations, DWARF 5 section 7.7.1.
const (
	opDeref      = 0x06
	opMinus      = 0x1c
	opPlusUconst = 0x23
	opLit0       = 0x30
	opBreg0      = 0x70
)

// Every kind of rule, for a register that the caller's caller is found by: its
// stack pointer shows the value. f is where execution is, and again behind a
// call of e, as that makes a difference for some rules.
func TestRegisterRules(t *testing.T) {
	const r = amd64.RBX
	const cfa = stack + 0x20 // of f
	const lost = 0
	tests := []struct {
		name  string
		rule  cfi.Rule
		exprs [][]byte
		want  uint64 // the caller's value, or lost
		outer uint64 // the same where f has made a call, if not want
	}{
		{"unspecified", cfi.Rule{}, nil, stack + 0x100, 0},
		{"same value", cfi.Rule{Kind: cfi.SameValue}, nil, stack + 0x100, 0},
		{"undefined", cfi.Rule{Kind: cfi.Undefined}, nil, lost, 0},
		{"offset", off(-16), nil, stack + 0x200, 0},
		{"offset that is not in memory", off(0x100000), nil, lost, 0},
		{"val_offset", cfi.Rule{Kind: cfi.ValOffset, N: 0x60}, nil, cfa + 0x60, 0},
		{"register", cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.R12)}, nil, stack + 0x180, 0},
		{"register that is lost", cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.R13)}, nil, lost, 0},
		{"register that does not exist", cfi.Rule{Kind: cfi.Register, Reg: 255}, nil, lost, 0},
		{"expression", cfi.Rule{Kind: cfi.Expression, N: 1}, [][]byte{{}, {opLit0 + 16, opMinus}}, stack + 0x200, 0},
		{"expression behind the frame", cfi.Rule{Kind: cfi.Expression}, [][]byte{{opPlusUconst, 0x20}}, stack + 0x100, stack + 0x300},
		{"expression that is not in memory", cfi.Rule{Kind: cfi.Expression}, [][]byte{{opLit0}}, stack + 0x100, lost},
		{"val_expression", cfi.Rule{Kind: cfi.ValExpression}, [][]byte{{opPlusUconst, 0x40}}, cfa + 0x40, 0},
		{"val_expression of a register", cfi.Rule{Kind: cfi.ValExpression}, [][]byte{{opBreg0 + byte(amd64.R12), 8}}, stack + 0x188, 0},
		{"val_expression of memory", cfi.Rule{Kind: cfi.ValExpression}, [][]byte{{opLit0 + 16, opMinus, opDeref}}, stack + 0x200, 0},
		{"val_expression of a lost register", cfi.Rule{Kind: cfi.ValExpression}, [][]byte{{opBreg0 + byte(amd64.R13), 0}}, lost, 0},
		{"val_expression that underflows", cfi.Rule{Kind: cfi.ValExpression}, [][]byte{{opMinus}}, lost, 0},
		{"expression that does not exist", cfi.Rule{Kind: cfi.ValExpression, N: 1}, [][]byte{{}}, lost, 0},
		{"expression of a negative number", cfi.Rule{Kind: cfi.Expression, N: -1}, [][]byte{{}}, lost, 0},
	}
	const codeE = 0x400000
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			row := byReg(a64, a64.SP, 0x20)
			row.Regs[r], row.Exprs = tt.rule, tt.exprs
			c.fn(codeE, byReg(a64, a64.SP, 8))
			c.fn(codeF, row)
			c.fn(codeG, byReg(a64, r, 0))
			c.fn(codeH, outermost(a64))

			mem := newMem(stack-8, 0x1000)
			mem.put(stack-8, 8, codeF+5)      // e's caller
			mem.put(cfa-8, 8, codeG+5)        // f's caller
			mem.put(cfa-16, 8, stack+0x200)   // where rules save the register
			mem.put(cfa+0x20, 8, stack+0x300) // what else lies behind the frame
			for _, v := range []uint64{stack + 0x100, stack + 0x200, cfa + 0x60, stack + 0x180, stack + 0x300, cfa + 0x40, stack + 0x188} {
				mem.put(v-8, 8, codeH+5)
			}
			start := regs(map[arch.Reg]uint64{r: stack + 0x100, amd64.R12: stack + 0x180})
			for _, called := range []bool{false, true} {
				want := tt.want
				chain := []uint64{codeF + 5, codeG + 5}
				start.Set(a64.PC, codeF+5)
				start.Set(a64.SP, stack)
				if called {
					if tt.want != tt.outer && tt.outer != 0 || tt.name == "expression that is not in memory" {
						want = tt.outer
					}
					chain = append([]uint64{codeE + 5}, chain...)
					start.Set(a64.PC, codeE+5)
					start.Set(a64.SP, stack-8)
				}
				s := unwind.New(a64, &c).Walk(unwind.Start{Regs: start}, mem)
				if want == lost {
					check(t, s, unwind.EndNoRegister, uint64(r), chain...)
					continue
				}
				check(t, s, unwind.EndOutermost, 0, append(chain, codeH+5)...)
				if last := s.Frames[len(s.Frames)-1]; last.SP != want {
					t.Errorf("called %v: the register was %#x, want %#x", called, last.SP, want)
				}
			}
		})
	}
}

// The rules for the return address and the CFA, of which a frame needs both.
func TestReturnAddressRules(t *testing.T) {
	const cfa = stack + 0x20
	row := func(edit func(*cfi.Row)) *cfi.Row {
		r := byReg(a64, a64.SP, 0x20)
		edit(r)
		return r
	}
	ra := func(rule cfi.Rule, exprs ...[]byte) *cfi.Row {
		return row(func(r *cfi.Row) { r.Regs[a64.PC], r.Exprs = rule, exprs })
	}
	cfaRule := func(rule cfi.Rule, exprs ...[]byte) *cfi.Row {
		return row(func(r *cfi.Row) { r.CFA, r.Exprs = rule, exprs })
	}
	const found = unwind.EndOutermost
	tests := []struct {
		name string
		row  *cfi.Row
		end  unwind.End
		at   uint64
		sp   uint64 // of the caller; 0: there is none
	}{
		{"in memory", ra(off(-8)), found, 0, cfa},
		{"undefined", ra(cfi.Rule{Kind: cfi.Undefined}), unwind.EndOutermost, 0, 0},
		{"unspecified", ra(cfi.Rule{}), unwind.EndBadRow, codeF + 5, 0},
		{"not in memory", ra(off(0x100000)), unwind.EndNoMemory, cfa + 0x100000, 0},
		{"in a register", ra(cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.R11)}), found, 0, cfa},
		{"in a register, no frame", row(func(r *cfi.Row) {
			r.CFA.N = 0
			r.Regs[a64.PC] = cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.R11)}
		}), found, 0, stack},
		{"in a lost register", ra(cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.R13)}), unwind.EndNoRegister, uint64(a64.PC), 0},
		{"expression", ra(cfi.Rule{Kind: cfi.Expression}, []byte{opLit0 + 8, opMinus}), found, 0, cfa},
		{"expression not in memory", ra(cfi.Rule{Kind: cfi.Expression}, []byte{opLit0}), unwind.EndNoMemory, 0, 0},
		{"val_expression", ra(cfi.Rule{Kind: cfi.ValExpression}, []byte{opBreg0 + byte(amd64.R11), 0}), found, 0, cfa},
		{"bad expression", ra(cfi.Rule{Kind: cfi.ValExpression}, []byte{opMinus}), unwind.EndBadRow, codeF + 5, 0},
		{"val_offset to nowhere", ra(cfi.Rule{Kind: cfi.ValOffset, N: 0x40}), unwind.EndBadReturn, cfa + 0x40, 0},
		{"another column", row(func(r *cfi.Row) {
			r.RA = uint8(amd64.R10)
			r.Regs[amd64.R10], r.Regs[a64.PC] = off(-8), cfi.Rule{}
		}), found, 0, cfa},
		{"another column that is silent", row(func(r *cfi.Row) {
			r.RA, r.Regs[a64.PC] = uint8(amd64.R11), cfi.Rule{}
		}), found, 0, cfa},
		{"a column that the CPU has not", row(func(r *cfi.Row) {
			r.RA = 30
			r.Regs[30] = off(-8)
		}), unwind.EndNoRegister, 30, 0},
		{"a column beyond all", row(func(r *cfi.Row) { r.RA = 200 }), unwind.EndBadRow, codeF + 5, 0},

		{"no CFA", cfaRule(cfi.Rule{}), unwind.EndBadRow, codeF + 5, 0},
		{"CFA of a lost register", cfaRule(cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.R13)}), unwind.EndNoRegister, uint64(amd64.R13), 0},
		{"CFA expression", cfaRule(cfi.Rule{Kind: cfi.ValExpression}, []byte{opBreg0 + byte(amd64.RSP), 0x20}), found, 0, cfa},
		{"CFA expression of memory", cfaRule(cfi.Rule{Kind: cfi.ValExpression}, []byte{opBreg0 + byte(amd64.RSP), 0x08, opDeref}), found, 0, cfa},
		{"CFA expression not in memory", cfaRule(cfi.Rule{Kind: cfi.ValExpression}, []byte{opLit0 + 1, opDeref}), unwind.EndNoMemory, 1, 0},
		{"bad CFA expression", cfaRule(cfi.Rule{Kind: cfi.ValExpression}, []byte{0xff}), unwind.EndBadRow, codeF + 5, 0},
		{"CFA expression that is not there", cfaRule(cfi.Rule{Kind: cfi.ValExpression, N: 7}), unwind.EndBadRow, codeF + 5, 0},

		{"stack pointer saved", row(func(r *cfi.Row) { r.Regs[a64.SP] = off(-16) }), found, 0, stack + 0x80},
		{"stack pointer computed", row(func(r *cfi.Row) { r.Regs[a64.SP] = cfi.Rule{Kind: cfi.ValOffset, N: 0x10} }), found, 0, cfa + 0x10},
		{"stack pointer not changed", row(func(r *cfi.Row) { r.Regs[a64.SP] = cfi.Rule{Kind: cfi.SameValue} }), found, 0, stack},
		{"stack pointer not in memory", row(func(r *cfi.Row) { r.Regs[a64.SP] = off(0x100000) }), unwind.EndNoMemory, cfa + 0x100000, 0},
		{"stack pointer lost", row(func(r *cfi.Row) { r.Regs[a64.SP] = cfi.Rule{Kind: cfi.Undefined} }), unwind.EndNoRegister, uint64(a64.SP), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c fakeCode
			c.fn(codeF, tt.row)
			c.fn(codeH, outermost(a64))
			mem := newMem(stack, 0x1000)
			mem.put(stack+8, 8, cfa)
			mem.put(cfa-16, 8, stack+0x80, codeH+5)
			s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
				a64.PC: codeF + 5, a64.SP: stack, amd64.R11: codeH + 5,
			})}, mem)
			if tt.sp == 0 {
				check(t, s, tt.end, tt.at, codeF+5)
				return
			}
			check(t, s, tt.end, tt.at, codeF+5, codeH+5)
			if s.Frames[1].SP != tt.sp {
				t.Errorf("the caller's stack pointer is %#x, want %#x", s.Frames[1].SP, tt.sp)
			}
		})
	}
}

// glibc's vfork and its like keep the return address in a register for a
// while: such a step must lose no other register.
func TestReturnAddressInRegisterKeepsAll(t *testing.T) {
	for r := range arch.Reg(a64.NumRegs) {
		if r == a64.PC || r == a64.SP {
			continue
		}
		var c fakeCode
		row := byReg(a64, a64.SP, 0)
		row.Regs[a64.PC] = cfi.Rule{Kind: cfi.Register, Reg: uint8(amd64.RDI)}
		c.fn(codeF, row)
		c.fn(codeG, byReg(a64, r, 0))
		c.fn(codeH, outermost(a64))
		mem := newMem(stack, 0x1000)
		start := regs(map[arch.Reg]uint64{a64.PC: codeF, a64.SP: stack})
		for i := range arch.Reg(a64.NumRegs) {
			if i != a64.PC && i != a64.SP {
				start.Set(i, stack+0x100)
			}
		}
		mem.put(stack+0xf8, 8, codeH+5)
		start.Set(amd64.RDI, codeG+5)
		want := uint64(stack + 0x100)
		if r == amd64.RDI {
			want = codeG + 5 // no stack there
		}
		s := unwind.New(a64, &c).Walk(unwind.Start{Regs: start}, mem)
		if r == amd64.RDI {
			check(t, s, unwind.EndNoMemory, want-8, codeF, codeG+5)
			continue
		}
		check(t, s, unwind.EndOutermost, 0, codeF, codeG+5, codeH+5)
		if len(s.Frames) == 3 && s.Frames[2].SP != want {
			t.Errorf("%s was %#x in the caller, want %#x", a64.Names[r], s.Frames[2].SP, want)
		}
	}
}

// Addresses of a 32-bit process wrap around at 2^32.
func TestWrapAround(t *testing.T) {
	const top = 0xfffff000
	var c fakeCode
	f := byReg(a32, i386.EBX, -0x20) // from ebx = 0x10 to 0xfffffff0
	f.Regs[i386.ESI] = cfi.Rule{Kind: cfi.ValOffset, N: 0x18}
	f.Regs[i386.EDI] = cfi.Rule{Kind: cfi.ValExpression}
	f.Exprs = [][]byte{{opPlusUconst, 0x14}}
	c.fn(codeF, f)
	g := byReg(a32, a32.SP, 8)
	c.fn(codeG, g)
	c.fn(codeH, outermost(a32))
	mem := newMem(top, 0x1000)
	mem.put(0xffffffec, 4, codeG+5)
	mem.put(0xfffffff4, 4, codeH+5)
	s := unwind.New(a32, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
		a32.PC: codeF + 5, a32.SP: top, i386.EBX: 0x10,
	})}, mem)
	check(t, s, unwind.EndOutermost, 0, codeF+5, codeG+5, codeH+5)

	// The same registers beyond 32 bits: only the low half counts.
	s = unwind.New(a32, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
		a32.PC: 1<<40 + codeF + 5, a32.SP: 1<<40 + top, i386.EBX: 1<<40 + 0x10,
	})}, mem)
	check(t, s, unwind.EndOutermost, 0, codeF+5, codeG+5, codeH+5)
	if s.Frames[0].SP != top || s.Frames[1].SP != 0xfffffff0 {
		t.Errorf("stack pointers %#x, %#x", s.Frames[0].SP, s.Frames[1].SP)
	}

	// What a rule computes beyond 2^32 begins again at 0: 8 from esi, 4 from edi.
	for reg, want := range map[arch.Reg]uint64{i386.ESI: 8, i386.EDI: 4} {
		g.CFA.Reg, g.CFA.N = uint8(reg), -0x20
		mem.put(0xffffffe0, 4, codeH+5, codeH+5)
		s = unwind.New(a32, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{
			a32.PC: codeF + 5, a32.SP: top, i386.EBX: 0x10,
		})}, mem)
		at := (want - 0x20) & (1<<32 - 1)
		check(t, s, unwind.EndNoAdvance, at, codeF+5, codeG+5)
	}
}

// A walk reads what it needs and no more of it: missing memory ends it there.
func TestMissingMemory(t *testing.T) {
	var c fakeCode
	c.fn(codeF, byReg(a64, a64.SP, 16))
	mem := newMem(stack, 64)
	for i := range uint64(4) {
		mem.put(stack+16*i+8, 8, codeF+5)
	}
	s := unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: codeF + 5, a64.SP: stack})}, mem)
	check(t, s, unwind.EndNoMemory, stack+64+8, codeF+5, codeF+5, codeF+5, codeF+5, codeF+5)

	// Half of the word is there.
	mem.b = mem.b[:60]
	s = unwind.New(a64, &c).Walk(unwind.Start{Regs: regs(map[arch.Reg]uint64{a64.PC: codeF + 5, a64.SP: stack})}, mem)
	check(t, s, unwind.EndNoMemory, stack+48+8, codeF+5, codeF+5, codeF+5, codeF+5)

	// No registers at all.
	s = unwind.New(a64, &c).Walk(unwind.Start{}, mem)
	check(t, s, unwind.EndNoRegister, uint64(a64.PC))
}
