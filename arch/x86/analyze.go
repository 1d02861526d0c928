package x86

import "github.com/gatedso/bt/arch"

// Analyze finds the frame at pc; see arch.Arch.Analyze.
func (m *Mode) Analyze(code []byte, start, pc uint64) (arch.Layout, bool) {
	if pc != start {
		return arch.Layout{}, false
	}
	return arch.Layout{Base: m.DWARF[sp], Offset: int64(m.PtrSize)}, true
}
