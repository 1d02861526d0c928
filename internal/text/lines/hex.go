package lines

// hexDigit maps a character to its value as a hexadecimal digit, 0xff for none.
var hexDigit = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

// hexPrefix reads the hexadecimal digits that b begins with, at most 17 of
// them, and returns their value and number. More than 16 are no address.
func hexPrefix(b []byte) (v uint64, n int) {
	if len(b) > 17 {
		b = b[:17]
	}
	for i, c := range b {
		d := hexDigit[c]
		if d > 15 {
			return v, i
		}
		v = v<<4 | uint64(d)
	}
	return v, len(b)
}

// hexField reads an address at the start of b that a blank or the end of b
// follows. It returns its value and width, width 0 if there is none.
func hexField(b []byte) (v uint64, width int) {
	if has0x(b) {
		width = 2
	}
	v, n := hexPrefix(b[width:])
	width += n
	if n == 0 || n > 16 || width < len(b) && !isBlank(b[width]) {
		return 0, 0
	}
	return v, width
}

func has0x(b []byte) bool {
	return len(b) > 2 && b[0] == '0' && b[1]|0x20 == 'x'
}
