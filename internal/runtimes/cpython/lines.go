package cpython

// lnotab finds the line of an instruction in co_lnotab, as CPython has it until 3.9:
// pairs of bytes, how far the next line's code is and how far its number
// (Objects/lnotab_notes.txt). at is the offset of the instruction in bytes.
func lnotab(table []byte, first, at int) int {
	line, addr := first, 0
	for ; len(table) >= 2; table = table[2:] {
		if addr += int(table[0]); addr > at {
			break
		}
		line += int(int8(table[1]))
	}
	return line
}

// lineTable finds the line of an instruction in co_linetable of CPython 3.10 (PEP 626):
// pairs of bytes, the length of a stretch of code and how its line differs; -128 is no
// line. It returns 0 where there is none.
func lineTable(table []byte, first, at int) int {
	if at < 0 {
		return first
	}
	line, end := first, 0
	for ; len(table) >= 2; table = table[2:] {
		start, delta := end, int(int8(table[1]))
		end += int(table[0])
		has := delta != -128
		if has {
			line += delta
		}
		if start <= at && at < end {
			if !has {
				return 0
			}
			return line
		}
	}
	return 0
}

// The forms of an entry in a location table, Objects/locations.md; from 10 to 12 the
// line is one of the next three.
const (
	formOneLine0 = 10
	formOneLine2 = 12
	formNoColumn = 13
	formLong     = 14
	formNone     = 15
)

// locations finds the line of an instruction in co_linetable as it is from CPython 3.11
// on. Each entry begins with a byte whose highest bit is set. It returns 0 where there
// is none.
func locations(table []byte, first, at int) int {
	if at < 0 {
		return first
	}
	line, end := first, 0
	for len(table) > 0 {
		head := table[0]
		if head&0x80 == 0 {
			return 0
		}
		rest := table[1:]
		n := 0
		for n < len(rest) && rest[n]&0x80 == 0 {
			n++
		}
		form := head >> 3 & 15
		switch {
		case form == formNoColumn || form == formLong:
			line += signedVarint(rest[:n])
		case form >= formOneLine0 && form <= formOneLine2:
			line += int(form - formOneLine0)
		}
		end += (int(head&7) + 1) * 2
		if at < end {
			if form == formNone {
				return 0
			}
			return line
		}
		table = rest[n:]
	}
	return 0
}

// signedVarint reads a number of groups of six bits, the lowest first; bit 6 tells
// that another one follows. The lowest bit of all is the sign.
func signedVarint(b []byte) int {
	var v uint64
	for i, c := range b {
		if i < 10 {
			v |= uint64(c&63) << (6 * i)
		}
		if c&64 == 0 {
			break
		}
	}
	n := int(int32(v >> 1))
	if v&1 != 0 {
		return -n
	}
	return n
}
