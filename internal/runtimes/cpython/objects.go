package cpython

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"github.com/gatedso/bt/internal/process"
)

// errDamaged says that what was read does not fit together.
var errDamaged = errors.New("what its memory holds does not fit together")

// memory reads the objects of an interpreter. Nothing that it returns is certain to be
// true: whoever reads checks the types.
type memory struct {
	*process.Recorder
	l     *layout
	v     version
	order binary.ByteOrder

	asyncio *asyncioOffsets // from 3.14 on; nil where asyncio is not loaded

	coroAt uint64 // where in a task its coroutine is; 0: not known yet

	types  map[uint64]string // the names of types by their addresses
	places map[place]int     // where among the attributes of a class one is
	looks  int               // how many entries of dicts were looked at
}

func (m *memory) word(addr uint64) (uint64, bool) { return m.Word(addr, 8) }

func (m *memory) int32(addr uint64) (int32, bool) {
	v, ok := m.Word(addr, 4)
	return int32(v), ok
}

func (m *memory) byte(addr uint64) (byte, bool) {
	v, ok := m.Word(addr, 1)
	return byte(v), ok
}

// maxTypes bounds the types whose names are kept, and maxTypeName their length.
const (
	maxTypes    = 4096
	maxTypeName = 64
)

// typeOf returns the name of an object's type, as tp_name has it, and the type's
// address. An object that cannot be read has none.
func (m *memory) typeOf(obj uint64) (name string, typ uint64) {
	if obj == 0 || obj&7 != 0 {
		return "", 0
	}
	typ, ok := m.word(obj + m.l.objectType)
	if !ok || typ == 0 {
		return "", 0
	}
	name, known := m.types[typ]
	if !known {
		if p, ok := m.word(typ + m.l.typeName); ok {
			name = m.cString(p, maxTypeName)
		}
		if len(m.types) < maxTypes {
			m.types[typ] = name
		}
	}
	return name, typ
}

// is reports whether the object is one of the type with that name.
func (m *memory) is(obj uint64, name string) bool {
	got, _ := m.typeOf(obj)
	return got == name
}

// cString reads a string that ends in a zero byte, at most limit bytes of it.
func (m *memory) cString(addr uint64, limit int) string {
	b := make([]byte, limit)
	b = b[:m.Read(addr, b)]
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return ""
}

// maxString bounds a string, in characters. Of a longer one the start is shown.
const maxString = 4096

// str reads a str object.
func (m *memory) str(obj uint64) (string, bool) {
	if !m.is(obj, "str") {
		return "", false
	}
	length, ok1 := m.word(obj + m.l.strLength)
	state, ok2 := m.Word(obj+m.l.strState, 4)
	if !ok1 || !ok2 {
		return "", false
	}
	kind, compact, ascii, ok := strState(uint32(state))
	if !ok {
		return "", false
	}
	data := obj + m.l.strCompact
	switch {
	case compact && ascii:
		data = obj + m.l.strASCII
	case !compact:
		if data, ok = m.word(obj + m.l.strData); !ok {
			return "", false
		}
	}
	n := min(length, maxString)
	b := make([]byte, n*uint64(kind))
	if m.Read(data, b) < len(b) {
		return "", false
	}
	text := m.decode(b, kind)
	if n < length {
		text += "..."
	}
	return text, true
}

// strState takes apart struct state of a PyASCIIObject: the size of a character in
// bytes, whether it is compact, and whether it is all ASCII.
// How it is interned comes first: in two bits, or in a byte of a free-threaded build.
func strState(state uint32) (kind int, compact, ascii, ok bool) {
	for _, shift := range []int{2, 8} {
		kind = int(state >> shift & 7)
		compact, ascii = state>>(shift+3)&1 != 0, state>>(shift+4)&1 != 0
		if kind == 1 || !ascii && (kind == 2 || kind == 4) {
			return kind, compact, ascii, true
		}
	}
	return 0, false, false, false
}

// decode makes UTF-8 of characters of kind bytes each. What stands for a byte that was
// no UTF-8 (PEP 383) becomes that byte again.
func (m *memory) decode(b []byte, kind int) string {
	out := make([]byte, 0, len(b))
	for ; len(b) >= kind; b = b[kind:] {
		var c rune
		switch kind {
		case 1:
			c = rune(b[0])
		case 2:
			c = rune(m.order.Uint16(b))
		default:
			c = rune(m.order.Uint32(b) & 0x7fffffff)
		}
		if c >= 0xdc80 && c <= 0xdcff {
			out = append(out, byte(c-0xdc00))
			continue
		}
		out = utf8.AppendRune(out, c)
	}
	return string(out)
}

// bytes reads a bytes object of at most limit bytes.
func (m *memory) bytes(obj uint64, limit uint64) ([]byte, bool) {
	if !m.is(obj, "bytes") {
		return nil, false
	}
	n, ok := m.word(obj + m.l.bytesSize)
	if !ok || n > limit {
		return nil, false
	}
	b := make([]byte, n)
	return b, m.Read(obj+m.l.bytesData, b) == len(b)
}

// integer reads an int object that is not negative and fits into 64 bits.
func (m *memory) integer(obj uint64) (uint64, bool) {
	if name, _ := m.typeOf(obj); name != "int" {
		return 0, false
	}
	size, ok := m.word(obj + m.l.longSize)
	if m.v.atLeast(12) {
		if size&3 == 2 {
			return 0, false // negative
		}
		size >>= 3 // lv_tag: three bits of flags
	}
	const digitBits = 30
	if !ok || size > 3 {
		return 0, false
	}
	var v uint64
	for i := range size {
		digit, ok := m.Word(obj+m.l.longDigits+4*i, 4)
		shift := digitBits * i
		if !ok || digit>>digitBits != 0 || digit<<shift>>shift != digit {
			return 0, false
		}
		v |= digit << shift
	}
	return v, true
}
