package dwarf

import (
	"bytes"
	"encoding/binary"
)

// past is the position after a read beyond the end of b: whatever is read there
// fails as well.
func past(b []byte) int { return len(b) + 1 }

// uleb reads an unsigned LEB128 number (7.6). Bits beyond 64 are lost.
func uleb(b []byte, pos int) (v uint64, next int) {
	if uint(pos) < uint(len(b)) && b[pos] < 0x80 {
		return uint64(b[pos]), pos + 1
	}
	for shift := uint(0); uint(pos) < uint(len(b)); shift += 7 {
		c := b[pos]
		pos++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, pos
		}
	}
	return 0, past(b)
}

// sleb reads a signed LEB128 number.
func sleb(b []byte, pos int) (v int64, next int) {
	for shift := uint(0); uint(pos) < uint(len(b)); {
		c := b[pos]
		pos++
		v |= int64(c&0x7f) << shift
		shift += 7
		if c < 0x80 {
			if c&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v, pos
		}
	}
	return 0, past(b)
}

// skipLEB returns the position behind a LEB128 number.
func skipLEB(b []byte, pos int) int {
	for uint(pos) < uint(len(b)) {
		pos++
		if b[pos-1] < 0x80 {
			return pos
		}
	}
	return past(b)
}

// fixed reads a number of 1, 2, 3, 4 or 8 bytes.
func fixed(b []byte, pos, size int, big bool) (v uint64, next int) {
	next = pos + size
	if pos < 0 || next > len(b) {
		return 0, past(b)
	}
	p := b[pos:next]
	switch size {
	case 1:
		return uint64(p[0]), next
	case 2:
		if big {
			return uint64(binary.BigEndian.Uint16(p)), next
		}
		return uint64(binary.LittleEndian.Uint16(p)), next
	case 3:
		if big {
			return uint64(p[0])<<16 | uint64(p[1])<<8 | uint64(p[2]), next
		}
		return uint64(p[2])<<16 | uint64(p[1])<<8 | uint64(p[0]), next
	case 4:
		if big {
			return uint64(binary.BigEndian.Uint32(p)), next
		}
		return uint64(binary.LittleEndian.Uint32(p)), next
	case 8:
		if big {
			return binary.BigEndian.Uint64(p), next
		}
		return binary.LittleEndian.Uint64(p), next
	}
	return 0, past(b)
}

// maxString bounds a name or a path, in bytes.
const maxString = 64 << 10

// cstring returns the bytes at off up to a zero byte, nil if there is none.
func cstring(b []byte, off uint64) []byte {
	if off >= uint64(len(b)) {
		return nil
	}
	b = b[off:min(off+maxString, uint64(len(b)))]
	n := bytes.IndexByte(b, 0)
	if n < 0 {
		return nil
	}
	return b[:n:n]
}

// skipString returns the position behind a string.
func skipString(b []byte, pos int) int {
	if uint(pos) >= uint(len(b)) {
		return past(b)
	}
	// Most are short.
	for i, c := range b[pos:] {
		if c == 0 {
			return pos + i + 1
		}
		if i == 32 {
			break
		}
	}
	n := bytes.IndexByte(b[pos:], 0)
	if n < 0 {
		return past(b)
	}
	return pos + n + 1
}

// initialLength reads a unit's length (7.2.2), and the size of its offsets. end
// is where the unit ends; it is past(b) if that is beyond the bytes.
func initialLength(b []byte, pos int, big bool) (end, next, offSize int) {
	n, next := fixed(b, pos, 4, big)
	offSize = 4
	if n == 0xffffffff {
		offSize = 8
		n, next = fixed(b, next, 8, big)
	}
	if next > len(b) || n > uint64(len(b)-next) {
		return past(b), next, offSize
	}
	return next + int(n), next, offSize
}
