package x86

import (
	"bytes"

	"github.com/gatedso/bt/internal/arch"
)

// The instructions at a function's edges.
var (
	endbr   = [][]byte{{0xf3, 0x0f, 0x1e, 0xfa}, {0xf3, 0x0f, 0x1e, 0xfb}} // endbr64, endbr32
	pushFP  = []byte{0x55}
	popFP   = []byte{0x5d}
	movSPFP = [][]byte{{0x89, 0xe5}, {0x8b, 0xec}} // behind REX.W in 64-bit code
	rets    = [][]byte{{0xc3}, {0xf3, 0xc3}, {0xf2, 0xc3}, {0xc2}}
)

// Edge implements arch.Arch.Edge.
func (m *Mode) Edge(before, code []byte) (arch.Layout, bool) {
	size := int64(m.PtrSize)
	entered := m.Entry()
	pushed := arch.Layout{
		Base: m.DWARF[sp], Offset: 2 * size, Return: m.onStack(),
		Saved: []arch.SavedReg{{Reg: m.DWARF[bp], Offset: -2 * size}},
	}
	at, isEndbr := cutAny(code, endbr)
	switch {
	case bytes.HasPrefix(at, pushFP) && m.movSPFP(at[1:]):
		return entered, true
	case isEndbr && m.jmpMem(at):
		return entered, true
	case bytes.HasSuffix(before, pushFP) && m.movSPFP(code):
		return pushed, true
	case hasAny(code, rets):
		return entered, true
	case bytes.HasPrefix(code, popFP) && hasAny(code[1:], rets):
		return pushed, true
	case m.jmpMem(code):
		return entered, true
	case isThunk(code):
		return entered, true
	}
	return arch.Layout{}, false
}

// movSPFP reports whether code begins with mov %rsp,%rbp.
func (m *Mode) movSPFP(code []byte) bool {
	if m.PtrSize == 8 {
		if len(code) == 0 || code[0] != 0x48 {
			return false
		}
		code = code[1:]
	}
	return hasAny(code, movSPFP)
}

// jmpMem reports whether code begins with jmp *ADDRESS, the whole of a PLT
// stub: through a fixed slot, never a jump table's entry.
func (m *Mode) jmpMem(code []byte) bool {
	code = bytes.TrimPrefix(code, []byte{0xf2}) // bnd
	return bytes.HasPrefix(code, []byte{0xff, 0x25})
}

// isThunk reports whether code is a PC thunk: mov (%esp),%REG; ret. That of the
// vDSO has neither a symbol nor call frame information.
func isThunk(code []byte) bool {
	return len(code) >= 4 && code[0] == 0x8b && code[1]&0xc7 == 0x04 && code[2] == 0x24 && code[3] == 0xc3
}

func hasAny(code []byte, forms [][]byte) bool {
	for _, f := range forms {
		if bytes.HasPrefix(code, f) {
			return true
		}
	}
	return false
}

// cutAny cuts off the first of forms that code begins with.
func cutAny(code []byte, forms [][]byte) ([]byte, bool) {
	for _, f := range forms {
		if rest, ok := bytes.CutPrefix(code, f); ok {
			return rest, true
		}
	}
	return code, false
}
