package x86

import (
	"bytes"
	"encoding/binary"

	"github.com/gatedso/bt/internal/arch"
)

// maxBack bounds how far before a pc its function's start is looked for.
const maxBack = 2048

// back finds the frame at index pc of code from what looks like the start of
// its function: an aligned place behind the end of another function and
// padding, or a stack probe. Loops are aligned too, so the nearest such place
// that gives a stack as it must be at a call is taken; called says that there
// was one.
func (m *Mode) back(code []byte, pc int, called bool) (arch.Layout, bool) {
	if !called {
		return m.fromProbe(code, pc, pc)
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
	return m.fromProbe(code, pc, pc-1)
}

// fromProbe finds the frame at index pc from the nearest stack probe before:
// mov %eax,-N(%rsp) far below the stack pointer, and push %rbp. That is how
// HotSpot's compiled methods begin, and nothing else; at is where to look, pc
// or the call before it.
func (m *Mode) fromProbe(code []byte, pc, at int) (arch.Layout, bool) {
	const page = 4096
	for start := pc - 8; start >= 0 && pc-start < 4*maxBack; start-- {
		b := code[start:]
		if !bytes.HasPrefix(b, []byte{0x89, 0x84, 0x24}) || b[7] != 0x55 {
			continue
		}
		if int32(binary.LittleEndian.Uint32(b[3:])) > -page {
			continue
		}
		l, ok := m.Analyze(b, 0, uint64(at-start))
		return l, ok && !l.Indirect && (pc == at || l.Base != m.DWARF[sp] || l.Offset%16 == 0)
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
