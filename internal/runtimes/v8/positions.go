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

// walk goes through the entries of a table of positions
// (codegen/source-position-table.cc). Each tells by how much code offset and position
// grow; the lowest bits of the first number tell more of the entry.
type walk struct {
	table []byte
	flags uint // bits

	at  int64 // the entry's offset; before the first one, -1
	pos position
}

// next goes to the next entry.
func (w *walk) next() bool {
	d, n1 := unsigned(w.table)
	v, n2 := signed(w.table[min(n1, len(w.table)):])
	if n1 == 0 || n2 == 0 {
		return false
	}
	w.table = w.table[n1+n2:]
	w.at += int64(d >> w.flags)
	w.pos += position(v)
	return true
}

// findPosition finds the last entry of a table that is not behind an offset of code.
func findPosition(table []byte, offset int, flags uint) (found position, ok bool) {
	for w := (walk{table: table, at: -1, flags: flags}); w.next() && w.at <= int64(offset); {
		found, ok = w.pos, true
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
