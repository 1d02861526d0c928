package v8

// position is an entry of V8's tables of positions in the source (codegen/source-position.h):
// bit 0 tells that it is one of V8's own source, the position, counted from 1, is in the
// 30 bits above, and in the 16 bits above that which inlined call it is in, counted from 1.
type position uint64

func (p position) offset() int {
	if p&1 != 0 {
		return noPosition
	}
	return int(p>>1&(1<<30-1)) - 1
}

// inlined is the number of the inlined call, from 1; 0 for none.
func (p position) inlined() int { return int(p >> 31 & 0xffff) }

// findPosition finds the last entry of a table that is not behind an offset of code
// (codegen/source-position-table.cc). Each entry tells by how much code offset and
// position grow; the lowest bits of the first number tell more of the entry.
func findPosition(table []byte, offset int, flags uint) (found position, ok bool) {
	var at, pos int64 = -1, 0
	for len(table) > 0 {
		d, n1 := unsigned(table)
		v, n2 := signed(table[min(n1, len(table)):])
		if n1 == 0 || n2 == 0 {
			return 0, false
		}
		table = table[n1+n2:]
		at += int64(d >> flags)
		pos += v
		if at > int64(offset) {
			break
		}
		found, ok = position(pos), true
	}
	return found, ok
}

// signed reads a number of seven bits a byte, the lowest first, whose lowest bit is the
// sign (base/vlq.h), and returns of how many bytes it is; 0 for none.
func signed(b []byte) (int64, int) {
	v, n := unsigned(b)
	return int64(v>>1) ^ -int64(v&1), n
}

func unsigned(b []byte) (v uint64, n int) {
	for i := range min(len(b), 10) {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}
