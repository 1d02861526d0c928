package x86

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// Extent implements arch.Arch.Extent.
func (m *Mode) Extent(code []byte, addr uint64) ([]arch.Span, bool) {
	return follow.Reader(m.read).Extent(code, addr, 16)
}

// NoReturn implements arch.Arch.NoReturn.
func (m *Mode) NoReturn(code []byte) bool { return follow.Reader(m.read).NoReturn(code) }

// read implements follow.Reader.
func (m *Mode) read(code []byte, at int) (follow.Insn, bool) {
	var in inst
	if !m.decode(code[at:], &in) {
		return follow.Insn{}, false
	}
	next := at + in.size
	return follow.Insn{Size: in.size, Flow: in.flow(), Target: next + int(in.imm), Slot: in.fixedSlot()}, true
}

// fixedSlot reports whether a jump takes its target from a place of its own, as
// jumps to other functions do: not from a table, nor from a register.
func (in *inst) fixedSlot() bool {
	return in.memory() && in.base == noReg && in.index == noReg && !in.segment
}
