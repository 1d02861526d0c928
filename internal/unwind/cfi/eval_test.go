package cfi

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// mapEnv has register n = 0x1000*n for n < 40, and a memory of one word.
type mapEnv struct{}

func (mapEnv) Reg(n uint64) (uint64, bool) { return 0x1000 * n, n < 40 }

func (mapEnv) Mem(addr uint64, size int) (uint64, bool) {
	return 0x8877665544332211, addr == 0x7008
}

func TestEval(t *testing.T) {
	const m1 = 0xffffffffffffffff
	le := binary.LittleEndian
	u16 := func(v int) []byte { return le.AppendUint16(nil, uint16(v)) }
	u32 := func(v uint32) []byte { return le.AppendUint32(nil, v) }
	u64 := func(v uint64) []byte { return le.AppendUint64(nil, v) }
	lit := func(n int) int { return dwLit0 + n }
	for _, c := range []struct {
		name    string
		expr    []byte
		initial []uint64
		want    uint64 // with 8-byte addresses
		want32  uint64
		err     string
	}{
		{"initial value", nil, []uint64{5}, 5, 5, ""},
		{"nothing", nil, nil, 0, 0, "stack is empty"},
		{"lit31", cat(lit(31)), nil, 31, 31, ""},
		{"const1u", cat(dwConst1u, 0xff), nil, 255, 255, ""},
		{"const1s", cat(dwConst1s, 0xff), nil, m1, 0xffffffff, ""},
		{"const2u", cat(dwConst2u, u16(0xfffe)), nil, 0xfffe, 0xfffe, ""},
		{"const2s", cat(dwConst2s, u16(-2)), nil, m1 - 1, 0xfffffffe, ""},
		{"const4u", cat(dwConst4u, u32(0xfffffffe)), nil, 0xfffffffe, 0xfffffffe, ""},
		{"const4s", cat(dwConst4s, u32(0xfffffffe)), nil, m1 - 1, 0xfffffffe, ""},
		{"const8u", cat(dwConst8u, u64(1<<40+1)), nil, 1<<40 + 1, 1, ""},
		{"const8s", cat(dwConst8s, u64(m1)), nil, m1, 0xffffffff, ""},
		{"constu", cat(dwConstu, uleb(300)), nil, 300, 300, ""},
		{"consts", cat(dwConsts, sleb(-300)), nil, ^uint64(299), 0xfffffed4, ""},
		{"reg3", cat(dwReg0 + 3), nil, 0x3000, 0x3000, ""},
		{"breg7", cat(dwBreg0+7, sleb(-8)), nil, 0x6ff8, 0x6ff8, ""},
		{"regx", cat(dwRegx, 33), nil, 0x21000, 0x21000, ""},
		{"bregx", cat(dwBregx, 33, 4), nil, 0x21004, 0x21004, ""},
		{"unknown register", cat(dwBregx, 40, 4), nil, 0, 0, "register is not known"},
		{"deref", cat(dwBreg0+7, 8, dwDeref), nil, 0x8877665544332211, 0x44332211, ""},
		{"deref_size", cat(dwBreg0+7, 8, dwDerefSize, 2), nil, 0x2211, 0x2211, ""},
		{"deref_size 3", cat(dwBreg0+7, 8, dwDerefSize, 3), nil, 0, 0, "size is not"},
		{"deref of nothing", cat(lit(0), dwDeref), nil, 0, 0, "memory cannot be read"},
		{"call_frame_cfa", cat(dwCallCFA), nil, 0xcfa, 0xcfa, ""},

		{"dup", cat(lit(3), dwDup, dwPlus), nil, 6, 6, ""},
		{"drop", cat(lit(3), lit(4), dwDrop), nil, 3, 3, ""},
		{"over", cat(lit(3), lit(4), dwOver), nil, 3, 3, ""},
		{"pick", cat(lit(3), lit(4), lit(5), dwPick, 2), nil, 3, 3, ""},
		{"pick too deep", cat(lit(3), dwPick, 1), nil, 0, 0, "stack is empty"},
		{"swap", cat(lit(3), lit(4), dwSwap, dwMinus), nil, 1, 1, ""},
		// 1 2 3 becomes 3 1 2.
		{"rot, top", cat(lit(1), lit(2), lit(3), dwRot), nil, 2, 2, ""},
		{"rot, second", cat(lit(1), lit(2), lit(3), dwRot, dwDrop), nil, 1, 1, ""},
		{"rot, third", cat(lit(1), lit(2), lit(3), dwRot, dwDrop, dwDrop), nil, 3, 3, ""},

		{"abs", cat(dwConst1s, 0xfb, dwAbs), nil, 5, 5, ""},
		{"abs of positive", cat(lit(5), dwAbs), nil, 5, 5, ""},
		{"and", cat(lit(12), lit(10), dwAnd), nil, 8, 8, ""},
		{"div", cat(dwConst1s, 0xf8, lit(3), dwDiv), nil, m1 - 1, 0xfffffffe, ""},
		{"div by zero", cat(lit(1), lit(0), dwDiv), nil, 0, 0, "division by zero"},
		{"div of the least", cat(lit(1), dwConst1u, 63, dwShl, dwConst1s, 0xff, dwDiv), nil, 1 << 63, 0, ""},
		{"mod", cat(lit(17), lit(5), dwMod), nil, 2, 2, ""},
		{"mod by zero", cat(lit(1), lit(0), dwMod), nil, 0, 0, "division by zero"},
		{"minus", cat(lit(3), lit(4), dwMinus), nil, m1, 0xffffffff, ""},
		{"mul", cat(lit(3), lit(4), dwMul), nil, 12, 12, ""},
		{"neg", cat(lit(1), dwNeg), nil, m1, 0xffffffff, ""},
		{"not", cat(lit(0), dwNot), nil, m1, 0xffffffff, ""},
		{"or", cat(lit(12), lit(10), dwOr), nil, 14, 14, ""},
		{"plus_uconst", cat(lit(1), dwPlusUconst, uleb(1000)), nil, 1001, 1001, ""},
		{"shl", cat(lit(1), lit(4), dwShl), nil, 16, 16, ""},
		{"shl by 32", cat(lit(1), dwConst1u, 32, dwShl), nil, 1 << 32, 0, ""},
		{"shl by a lot", cat(lit(1), dwConst1s, 0xff, dwShl), nil, 0, 0, ""},
		{"shr", cat(dwConst1s, 0xff, lit(28), dwShr), nil, 0xfffffffff, 0xf, ""},
		{"shra", cat(dwConst1s, 0xf0, lit(2), dwShra), nil, m1 - 3, 0xfffffffc, ""},
		{"shra by a lot", cat(dwConst1s, 0xf0, dwConst1u, 200, dwShra), nil, m1, 0xffffffff, ""},
		{"xor", cat(lit(12), lit(10), dwXor), nil, 6, 6, ""},
		{"wraps", cat(dwConst4u, u32(0xffffffff), lit(2), dwPlus), nil, 1<<32 + 1, 1, ""},

		{"eq", cat(lit(1), lit(1), dwEq), nil, 1, 1, ""},
		{"ne", cat(lit(1), lit(1), dwNe), nil, 0, 0, ""},
		{"-1 < 0", cat(dwConst4s, u32(0xffffffff), lit(0), dwLt), nil, 1, 1, ""},
		{"unsigned -1 < 0", cat(dwConst4u, u32(0xffffffff), lit(0), dwLt), nil, 0, 1, ""},
		{"ge", cat(lit(2), lit(1), dwGe), nil, 1, 1, ""},
		{"gt", cat(lit(2), lit(2), dwGt), nil, 0, 0, ""},
		{"le", cat(lit(2), lit(2), dwLe), nil, 1, 1, ""},

		{"skip", cat(lit(1), dwSkip, u16(1), lit(2), dwNop), nil, 1, 1, ""},
		{"skip to the end", cat(lit(1), dwSkip, u16(0)), nil, 1, 1, ""},
		{"bra, taken", cat(lit(1), lit(1), dwBra, u16(1), lit(2)), nil, 1, 1, ""},
		{"bra, not taken", cat(lit(1), lit(0), dwBra, u16(1), lit(2)), nil, 2, 2, ""},
		{"loop", cat(lit(5), lit(1), dwMinus, dwDup, dwBra, u16(-6), dwConst1u, 7), nil, 7, 7, ""},
		{"endless", cat(lit(1), dwDrop, dwSkip, u16(-5)), nil, 0, 0, "too many steps"},
		{"skip before", cat(dwSkip, u16(-4)), nil, 0, 0, "branch leads out"},
		{"skip behind", cat(dwSkip, u16(1)), nil, 0, 0, "branch leads out"},
		{"overflow", cat(lit(1), dwSkip, u16(-4)), nil, 0, 0, "stack overflow"},
		{"cut short", cat(lit(1), dwConst4u, 0), nil, 0, 0, "operand is cut short"},
		{"unknown", cat(lit(1), 0xff), nil, 0, 0, "unknown operation"},
		{"object address", cat(0x97), nil, 0, 0, "unknown operation"},
		{"empty stack", cat(lit(1), dwPlus), nil, 0, 0, "stack is empty"},

		// The rule of every PLT: rsp+8, and 8 more behind the push. Here
		// the pc (register 16) is at 0x10000, before it.
		{"PLT", cat(dwBreg0+7, 8, dwBreg0+16, 0, lit(15), dwAnd, lit(11), dwGe, lit(3), dwShl, dwPlus), nil, 0x7008, 0x7008, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{8, 4} {
				ctx := Context{Env: mapEnv{}, PtrSize: size, Order: le, CFA: 0xcfa, HasCFA: true}
				want := c.want
				if size == 4 {
					want = c.want32
				}
				got, err := Eval(c.expr, &ctx, c.initial...)
				var exprErr *ExprError
				switch {
				case c.err != "":
					if !errors.As(err, &exprErr) || !strings.Contains(err.Error(), c.err) {
						t.Errorf("%d bytes: error %v, want %q", size, err, c.err)
					}
				case err != nil || got != want:
					t.Errorf("%d bytes: %#x %v, want %#x", size, got, err, want)
				}
			}
		})
	}
}

func TestEvalAddr(t *testing.T) {
	big := Context{Env: mapEnv{}, PtrSize: 4, Order: binary.BigEndian, Bias: 0x10000}
	if v, err := Eval(cat(dwAddr, 0, 0, 0x12, 0x34), &big); err != nil || v != 0x11234 {
		t.Errorf("%#x %v", v, err)
	}
	if v, err := Eval(cat(dwCallCFA), &big); err == nil {
		t.Errorf("a CFA from nowhere: %#x", v)
	}
	if v, err := Eval(nil, &big, make([]uint64, maxExprStack+1)...); err == nil {
		t.Errorf("more values than the stack holds: %#x", v)
	}
}

func TestEvalAllocs(t *testing.T) {
	expr := cat(dwBreg0+7, 8, dwDeref)
	ctx := Context{Env: mapEnv{}, PtrSize: 8}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Eval(expr, &ctx, 1); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
