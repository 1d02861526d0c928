package v8

import (
	"encoding/binary"
	"unicode/utf16"
)

// How a string is represented: bits of its type (objects/instance-type.h).
const (
	representation = 7
	sequential     = 0
	cons           = 1
	external       = 2
	sliced         = 3
	thin           = 5
	oneByte        = 8
	uncached       = 16 // an external string that does not tell where its text is
)

// text is where the characters of a string are.
type text struct {
	obj    uint64 // the object that has them
	addr   uint64
	length int // in characters
	wide   bool
	inHeap bool // they are V8's, and not the program's
}

// Bounds of strings.
const (
	maxString = 1024 // characters of a name
	maxDepth  = 16   // strings that lead to strings
)

// flat finds the characters of a string that has all of them in one place.
func (h *heap) flat(obj uint64) (t text, ok bool) {
	from, length := 0, -1
	for range maxDepth {
		kind, ok := h.typeOf(obj)
		if !ok || kind >= h.l.firstNonstring {
			return t, false
		}
		v, ok := h.Word(obj-1+h.l.stringLength, 4)
		n := int(int32(v))
		if !ok || n < 0 {
			return t, false
		}
		if length < 0 {
			length = n
		}
		switch kind & representation {
		case thin:
			obj, ok = h.field(obj, h.l.thinActual)
		case sliced:
			var off int
			if off, ok = h.smiField(obj, h.l.slicedOffset); off < 0 || off > 1<<30 || from > 1<<30 {
				return t, false
			}
			from += off
			if ok {
				obj, ok = h.field(obj, h.l.slicedParent)
			}
		case cons:
			second, ok2 := h.field(obj, h.l.consSecond)
			if !ok2 || !h.isEmpty(second) {
				return t, false
			}
			obj, ok = h.field(obj, h.l.consFirst)
		case sequential, external:
			if from > n || length > n-from {
				return t, false
			}
			return h.chars(obj, kind, from, length)
		default:
			return t, false
		}
		if !ok {
			return t, false
		}
	}
	return t, false
}

// chars is where part of the characters of a sequential or external string are.
func (h *heap) chars(obj uint64, kind uint16, from, length int) (t text, ok bool) {
	t = text{obj: obj, addr: obj - 1 + h.l.stringChars, length: length, wide: kind&oneByte == 0, inHeap: true}
	if kind&representation == external {
		if kind&uncached != 0 {
			return t, false
		}
		t.inHeap = false
		if t.addr, ok = h.field(obj, h.l.externalData); !ok {
			return t, false
		}
	}
	t.addr += uint64(t.size(from))
	return t, true
}

// size is how many bytes n characters take.
func (t *text) size(n int) int {
	if t.wide {
		return 2 * n
	}
	return n
}

func (h *heap) isEmpty(obj uint64) bool {
	t, ok := h.typeOf(obj)
	n, ok2 := h.Word(obj-1+h.l.stringLength, 4)
	return ok && ok2 && t < h.l.firstNonstring && n == 0
}

// str reads a string, as far as names are long.
func (h *heap) str(obj uint64) (string, bool) {
	left := maxString
	b, ok := h.appendString(nil, obj, maxDepth, &left)
	if left < -1 {
		b = append(b, "..."...)
	}
	return string(b), ok
}

// appendString adds the text of a string to b. left becomes negative where there is more.
func (h *heap) appendString(b []byte, obj uint64, depth int, left *int) ([]byte, bool) {
	if depth == 0 {
		return b, false
	}
	if *left--; *left < 0 { // each part counts as one more, so that empty ones end, too
		return b, true
	}
	if t, ok := h.flat(obj); ok {
		n := min(t.length, *left+1)
		raw := make([]byte, t.size(n))
		if h.Read(t.addr, raw) < len(raw) {
			return b, false
		}
		*left -= t.length
		return t.decode(b, raw), true
	}
	kind, ok := h.typeOf(obj)
	if !ok || kind >= h.l.firstNonstring || kind&representation != cons {
		return b, false
	}
	first, ok1 := h.field(obj, h.l.consFirst)
	second, ok2 := h.field(obj, h.l.consSecond)
	if !ok1 || !ok2 {
		return b, false
	}
	if b, ok = h.appendString(b, first, depth-1, left); !ok {
		return b, false
	}
	return h.appendString(b, second, depth-1, left)
}

// decode adds characters to b: Latin-1, or UTF-16.
func (t *text) decode(b, raw []byte) []byte {
	if !t.wide {
		for _, c := range raw {
			b = appendRune(b, rune(c))
		}
		return b
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return append(b, string(utf16.Decode(units))...)
}

func appendRune(b []byte, r rune) []byte {
	if r < 0x80 {
		return append(b, byte(r))
	}
	return append(b, string(r)...)
}
