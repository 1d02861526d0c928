package x86

import "github.com/gatedso/bt/internal/arch/follow"

// Forked implements arch.Arch.Forked.
func (m *Mode) Forked(code []byte, pc int) (int, bool) {
	const maxBack = 16
	for at := pc; at >= max(2, pc-maxBack); at-- {
		isCall := code[at-2] == 0x0f && code[at-1] == 0x05 || code[at-2] == 0xcd && code[at-1] == 0x80
		if !isCall {
			continue
		}
		if to, ok := m.zeroLeads(code, at, pc); ok {
			return to, true
		}
	}
	return 0, false
}

// zeroLeads follows the tests and branches from index at on, with a zero in the
// accumulator, to the first other instruction. It reports whether pc is on the
// way and there was a branch.
func (m *Mode) zeroLeads(code []byte, at, pc int) (to int, ok bool) {
	const taken = 1<<1 | 1<<3 | 1<<4 | 1<<6 | 1<<9 | 1<<10 | 1<<13 | 1<<14 // jno jae je jbe jns jp jge jle, after a test of zero
	passed, branched := false, false
	for range 8 {
		passed = passed || at == pc
		var in inst
		if at < 0 || at >= len(code) || !m.decode(code[at:], &in) {
			return 0, false
		}
		isTest := in.m == mapOne && !in.vex && (in.op == 0x85 && in.mod == 3 && in.reg == ax && in.rm == ax ||
			in.op == 0x83 && in.mod == 3 && in.reg&7 == 7 && in.rm == ax && in.imm == 0 || in.op == 0x3d && in.imm == 0)
		if in.flow() != follow.Branch || in.m == mapOne && in.op >= 0xe0 || in.op&0xf0 != 0x70 && in.op&0xf0 != 0x80 {
			if !isTest {
				return at, passed && branched
			}
			at += in.size
			continue
		}
		branched = true
		at += in.size
		if taken>>(in.op&0xf)&1 != 0 {
			at += int(in.imm)
		}
	}
	return 0, false
}
