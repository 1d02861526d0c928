package cfi

import (
	"encoding/binary"
	"fmt"
)

// Env is the frame in which an expression is evaluated.
type Env interface {
	// Reg returns the value of DWARF register n in the frame.
	Reg(n uint64) (uint64, bool)
	// Mem reads a word of size bytes (1, 2, 4 or 8) at a run-time address.
	Mem(addr uint64, size int) (uint64, bool)
}

// Context is what an expression depends on.
type Context struct {
	Env     Env
	PtrSize int              // bytes in an address, 4 or 8; other values are taken as 8
	Order   binary.ByteOrder // of the expression's own operands; nil is little-endian

	CFA    uint64 // for DW_OP_call_frame_cfa
	HasCFA bool

	Bias uint64 // run-time minus link-time address, added to the operand of DW_OP_addr
}

// ExprError is an expression that has no value: malformed, without end, or
// asking for a register or a memory word that is not known.
type ExprError struct {
	Offset int // of the operation in the expression
	Op     byte
	Msg    string
}

func (e *ExprError) Error() string {
	return fmt.Sprintf("cfi: expression at %#x: operation %#02x: %s", e.Offset, e.Op, e.Msg)
}

// Bounds of an evaluation. gcc's unwinder has the same stack; its expressions
// have no loops in practice.
const (
	maxExprStack = 64
	maxExprSteps = 10000
)

// DWARF 5 section 2.5.1 and table 7.9.
const (
	dwAddr       = 0x03
	dwDeref      = 0x06
	dwConst1u    = 0x08
	dwConst1s    = 0x09
	dwConst2u    = 0x0a
	dwConst2s    = 0x0b
	dwConst4u    = 0x0c
	dwConst4s    = 0x0d
	dwConst8u    = 0x0e
	dwConst8s    = 0x0f
	dwConstu     = 0x10
	dwConsts     = 0x11
	dwDup        = 0x12
	dwDrop       = 0x13
	dwOver       = 0x14
	dwPick       = 0x15
	dwSwap       = 0x16
	dwRot        = 0x17
	dwAbs        = 0x19
	dwAnd        = 0x1a
	dwDiv        = 0x1b
	dwMinus      = 0x1c
	dwMod        = 0x1d
	dwMul        = 0x1e
	dwNeg        = 0x1f
	dwNot        = 0x20
	dwOr         = 0x21
	dwPlus       = 0x22
	dwPlusUconst = 0x23
	dwShl        = 0x24
	dwShr        = 0x25
	dwShra       = 0x26
	dwXor        = 0x27
	dwBra        = 0x28
	dwEq         = 0x29
	dwGe         = 0x2a
	dwGt         = 0x2b
	dwLe         = 0x2c
	dwLt         = 0x2d
	dwNe         = 0x2e
	dwSkip       = 0x2f
	dwLit0       = 0x30
	dwLit31      = 0x4f
	dwReg0       = 0x50
	dwReg31      = 0x6f
	dwBreg0      = 0x70
	dwBreg31     = 0x8f
	dwRegx       = 0x90
	dwBregx      = 0x92
	dwDerefSize  = 0x94
	dwNop        = 0x96
	dwCallCFA    = 0x9c
)

// evaluator is the stack machine. A failed operation sets msg; every method is
// then harmless.
type evaluator struct {
	ctx     *Context
	r       reader
	ptrSize int
	mask    uint64
	sp      int
	msg     string
	stack   [maxExprStack]uint64
}

// Eval evaluates expr, which begins with the values initial on its stack, and
// returns the value on top of the stack at its end. Call frame rules Expression
// and ValExpression start with the CFA as the only initial value, the CFA rule
// itself with none. Values are of the size of an address and wrap around. The
// error is an *ExprError.
func Eval(expr []byte, ctx *Context, initial ...uint64) (uint64, error) {
	e := evaluator{ctx: ctx, r: reader{data: expr, big: isBig(ctx.Order)}, ptrSize: addrSize(ctx.PtrSize)}
	e.mask = addrMask(e.ptrSize)
	for _, v := range initial {
		e.push(v)
	}
	var op byte
	var at int
	for steps := 0; e.msg == "" && e.r.off < len(expr); steps++ {
		at = e.r.off
		op = e.r.u8()
		if steps == maxExprSteps {
			e.msg = "too many steps"
			break
		}
		e.step(op)
		if e.r.failed {
			e.msg = "operand is cut short"
		}
	}
	v := e.pop()
	if e.msg != "" {
		return 0, &ExprError{at, op, e.msg}
	}
	return v, nil
}

func (e *evaluator) push(v uint64) {
	if e.sp == len(e.stack) {
		e.msg = "stack overflow"
		return
	}
	e.stack[e.sp] = v & e.mask
	e.sp++
}

func (e *evaluator) pop() uint64 {
	if e.sp == 0 {
		if e.msg == "" {
			e.msg = "stack is empty"
		}
		return 0
	}
	e.sp--
	return e.stack[e.sp]
}

// pick pushes a copy of the entry n below the top.
func (e *evaluator) pick(n int) {
	if n >= e.sp {
		e.msg = "stack is empty"
		return
	}
	e.push(e.stack[e.sp-1-n])
}

func (e *evaluator) reg(n uint64, offset int64) {
	v, ok := e.ctx.Env.Reg(n)
	if !ok {
		e.msg = "register is not known"
		return
	}
	e.push(v + uint64(offset))
}

func (e *evaluator) deref(size int) {
	addr := e.pop()
	if e.msg != "" {
		return
	}
	v, ok := e.ctx.Env.Mem(addr, size)
	if !ok {
		e.msg = "memory cannot be read"
		return
	}
	e.push(v & addrMask(size))
}

func (e *evaluator) jump(offset int16) {
	to := e.r.off + int(offset)
	if to < 0 || to > len(e.r.data) {
		e.msg = "branch leads out of the expression"
		return
	}
	e.r.off = to
}

// signed is v as a signed number of the size of an address.
func (e *evaluator) signed(v uint64) int64 { return int64(signExtend(v, e.ptrSize)) }

// step performs one operation (DWARF 5 section 2.5.1).
func (e *evaluator) step(op byte) {
	switch {
	case op >= dwLit0 && op <= dwLit31:
		e.push(uint64(op - dwLit0))
	case op >= dwReg0 && op <= dwReg31:
		// A register as a location makes no sense here; gcc's unwinder
		// takes its value, so that is what it has come to mean.
		e.reg(uint64(op-dwReg0), 0)
	case op >= dwBreg0 && op <= dwBreg31:
		e.reg(uint64(op-dwBreg0), e.r.sleb())
	case op >= dwDup && op <= dwRot:
		e.shuffle(op)
	case op < dwDup, op > dwBreg31 && op != dwNop:
		e.fetch(op)
	default:
		e.operate(op)
	}
}

// fetch pushes a constant, or what a register, the memory or the frame holds.
func (e *evaluator) fetch(op byte) {
	switch op {
	case dwAddr:
		e.push(e.r.uint(e.ptrSize) + e.ctx.Bias)
	case dwConst1u, dwConst2u, dwConst4u, dwConst8u:
		e.push(e.r.uint(1 << ((op - dwConst1u) / 2)))
	case dwConst1s, dwConst2s, dwConst4s, dwConst8s:
		size := 1 << ((op - dwConst1s) / 2)
		e.push(signExtend(e.r.uint(size), size))
	case dwConstu:
		e.push(e.r.uleb())
	case dwConsts:
		e.push(uint64(e.r.sleb()))
	case dwRegx:
		e.reg(e.r.uleb(), 0)
	case dwBregx:
		n := e.r.uleb()
		e.reg(n, e.r.sleb())
	case dwDeref:
		e.deref(e.ptrSize)
	case dwDerefSize:
		size := int(e.r.u8())
		if size != 1 && size != 2 && size != 4 && size != 8 || size > e.ptrSize {
			e.msg = "size is not 1, 2, 4 or 8, or greater than an address"
			return
		}
		e.deref(size)
	case dwCallCFA:
		if !e.ctx.HasCFA {
			e.msg = "CFA is not known"
			return
		}
		e.push(e.ctx.CFA)
	default:
		e.msg = "unknown operation"
	}
}

// shuffle changes the order of the stack's entries.
func (e *evaluator) shuffle(op byte) {
	switch op {
	case dwDup:
		e.pick(0)
	case dwDrop:
		e.pop()
	case dwOver:
		e.pick(1)
	case dwPick:
		e.pick(int(e.r.u8()))
	case dwSwap:
		a, b := e.pop(), e.pop()
		e.push(a)
		e.push(b)
	case dwRot: // the top goes below the two others
		a, b, c := e.pop(), e.pop(), e.pop()
		e.push(a)
		e.push(c)
		e.push(b)
	}
}

// operate performs an operation on one entry, or a branch; all others are left to
// binary.
func (e *evaluator) operate(op byte) {
	switch op {
	case dwAbs:
		if v := e.signed(e.pop()); v < 0 {
			e.push(uint64(-v))
		} else {
			e.push(uint64(v))
		}
	case dwNeg:
		e.push(-e.pop())
	case dwNot:
		e.push(^e.pop())
	case dwPlusUconst:
		n := e.r.uleb()
		e.push(e.pop() + n)
	case dwSkip:
		e.jump(int16(e.r.uint(2)))
	case dwBra:
		offset := int16(e.r.uint(2))
		if e.pop() != 0 {
			e.jump(offset)
		}
	case dwNop:
	default:
		e.binary(op)
	}
}

// binary performs an operation on the two topmost entries, of which the lower
// one is the left operand.
func (e *evaluator) binary(op byte) {
	if op < dwAnd || op > dwNe {
		e.msg = "unknown operation"
		return
	}
	b := e.pop()
	a := e.pop()
	width := uint64(8 * e.ptrSize)
	sa, sb := e.signed(a), e.signed(b)
	truth := false
	switch op {
	case dwAnd:
		e.push(a & b)
		return
	case dwDiv, dwMod:
		if b == 0 {
			if e.msg == "" {
				e.msg = "division by zero"
			}
			return
		}
		if op == dwDiv {
			e.push(uint64(sa / sb))
		} else { // of the generic type, which has no sign
			e.push(a % b)
		}
		return
	case dwMinus:
		e.push(a - b)
		return
	case dwMul:
		e.push(a * b)
		return
	case dwOr:
		e.push(a | b)
		return
	case dwPlus:
		e.push(a + b)
		return
	case dwShl:
		if b >= width {
			a = 0
		}
		e.push(a << b)
		return
	case dwShr:
		e.push(a >> b)
		return
	case dwShra:
		e.push(uint64(sa >> min(b, width-1)))
		return
	case dwXor:
		e.push(a ^ b)
		return
	case dwEq:
		truth = sa == sb
	case dwGe:
		truth = sa >= sb
	case dwGt:
		truth = sa > sb
	case dwLe:
		truth = sa <= sb
	case dwLt:
		truth = sa < sb
	case dwNe:
		truth = sa != sb
	default:
		e.msg = "unknown operation"
		return
	}
	if truth {
		e.push(1)
	} else {
		e.push(0)
	}
}
