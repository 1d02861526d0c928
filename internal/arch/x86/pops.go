package x86

import "github.com/gatedso/bt/internal/arch/follow"

// pops guesses whether the call before offset next has taken 4 bytes off the
// stack, as 32-bit functions that return a structure do. Compilers align the
// stack pointer to 16 bytes at calls, save for those to PC thunks; so a call
// that was aligned has done it where the next one, or the return, would not
// have the alignment that it must have.
func (a *analysis) pops(next int) bool {
	sum := int64(0)
	for range 200 {
		nd := a.Node(next)
		if nd == nil {
			return false
		}
		next += nd.Size
		switch nd.Flow {
		case follow.Call:
			if nd.In.op != 0xe8 || nd.In.imm != 0 {
				return sum&15 == 12
			}
			sum -= 4
		case follow.Return:
			return sum&15 == 8 // the return address is in place of the 4 bytes
		case follow.Jump:
			if !a.Inside(nd) {
				return sum&15 == 8 // a tail call
			}
			next = nd.Target
		case follow.Next:
			n, ok := delta(&nd.In)
			if !ok {
				return false
			}
			sum += n
		case follow.Indirect, follow.Stop:
			return false
		}
	}
	return false
}

// delta returns what the 32-bit instruction in adds to the stack pointer. It
// reports false when that is not a constant.
func delta(in *inst) (int64, bool) {
	if in.m != mapOne || in.vex {
		return 0, true
	}
	op := in.op
	switch {
	case op >= 0x50 && op < 0x58, op == 0x68, op == 0x6a, op == 0x9c,
		op == 0xff && in.reg == 6:
		return -4, true
	case op == 0x5c, op == 0xc8, op == 0xc9, op == 0x94:
		return 0, false
	case op >= 0x58 && op < 0x60, op == 0x8f, op == 0x9d:
		return 4, true
	case (op == 0x81 || op == 0x83) && in.mod == 3 && in.rm == sp:
		switch in.reg {
		case 0:
			return in.imm, true
		case 5:
			return -in.imm, true
		}
		return 0, in.reg == 7
	case op == 0x8d && in.reg == sp:
		return in.disp, in.base == sp && in.index == noReg
	case op == 0x8b && in.reg == sp, op == 0x89 && in.mod == 3 && in.rm == sp:
		return 0, false
	}
	return 0, true
}
