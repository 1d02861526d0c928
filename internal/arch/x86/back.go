package x86

import "github.com/gatedso/bt/internal/arch"

// maxBack bounds how far before a pc its function's start is looked for.
const maxBack = 2048

// back finds the frame at index pc of code from what looks like the start of
// its function: an aligned place behind the end of another function and
// padding. Loops are aligned too, so the nearest such place that gives a
// stack as it must be at a call is taken; called says that there was one.
func (m *Mode) back(code []byte, pc int, called bool) (arch.Layout, bool) {
	if !called {
		return arch.Layout{}, false // nothing to tell right from wrong by
	}
	for start := pc &^ 15; start > 0 && pc-start < maxBack; start -= 16 {
		if !m.endsBefore(code[:start]) {
			continue
		}
		l, ok := m.Analyze(code[start:], 0, uint64(pc-1-start))
		if ok && !l.Indirect && (l.Base != m.DWARF[sp] || l.Offset%16 == 0) {
			return l, true
		}
	}
	return arch.Layout{}, false
}

// endsBefore reports whether a function ends at the end of code, or before
// the padding there: with a return, a jump, or a call that does not return.
func (m *Mode) endsBefore(code []byte) bool {
	for n := 0; n <= min(len(code)-5, 15); n++ {
		if !m.allPadding(code[len(code)-n:]) {
			continue
		}
		body := code[:len(code)-n]
		if body[len(body)-1] == 0xc3 || body[len(body)-2] == 0xeb || body[len(body)-5] == 0xe9 || body[len(body)-5] == 0xe8 {
			return true
		}
	}
	return false
}

func (m *Mode) allPadding(code []byte) bool {
	for len(code) > 0 {
		var in inst
		if !m.decode(code, &in) || !in.isPadding() && in.op != 0xcc {
			return false
		}
		code = code[in.size:]
	}
	return true
}
