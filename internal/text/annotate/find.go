package annotate

import "bytes"

// class tells of each character what it can be part of.
var class = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c >= '0' && c <= '9':
			t[c] = hexChar | wordChar
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			t[c] = hexChar | wordChar
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
			t[c] = wordChar
		}
	}
	return t
}()

const (
	hexChar  = 1 << iota
	wordChar // a letter, a digit or '_'
)

func isHex(c byte) bool   { return class[c]&hexChar != 0 }
func isWord(c byte) bool  { return class[c]&wordChar != 0 }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// minBare is the number of digits that an address without 0x has at least.
const minBare = 6

// finder finds where in a text there may be addresses, fast where there are
// none.
type finder struct {
	data []byte
	x    int // the first "0x" at or after the position last asked for
}

// next returns the position of the next possible address at or after pos, or
// the length of the text.
func (f *finder) next(pos int) int {
	if f.x < pos {
		f.x = f.nextPrefix(pos)
	}
	// Where every sixth character is no digit there are no six in a row.
	d := f.data[:f.x]
	for i := pos + minBare - 1; i < len(d); i += minBare {
		if class[d[i]]&hexChar == 0 {
			continue
		}
		start := i
		for start > pos && class[d[start-1]]&hexChar != 0 {
			start--
		}
		end := i + 1
		for end < len(d) && class[d[end]]&hexChar != 0 {
			end++
		}
		if end-start >= minBare && f.bare(start, end) {
			return start
		}
		i = end
	}
	return f.x
}

// nextPrefix returns the position of the first "0x" at or after pos.
func (f *finder) nextPrefix(pos int) int {
	// An x is much rarer than a 0.
	for i := pos; ; i++ {
		x := bytes.IndexByte(f.data[i:], 'x')
		if x < 0 {
			return len(f.data)
		}
		if i += x; i > pos && f.data[i-1] == '0' {
			return i - 1
		}
	}
}

// bare reports whether data[start:end], digits without 0x, can be an address
// by their number and by what is before them.
func (f *finder) bare(start, end int) bool {
	d := f.data
	switch n := end - start; {
	case n > 16:
		return false
	case n >= 12 || n == 8:
		return start == 0 || !isWord(d[start-1]) || ansiEnd(d[:start])
	default:
		// "ip:401136" of the kernel, and lines of perf, are recognised forms.
		return start > 1 && (d[start-1] == ':' || isBlank(d[start-1]) && isBlank(d[start-2]) || ansiEnd(d[:start]))
	}
}

// ansiEnd reports whether b ends in an ECMA-48 control sequence.
func ansiEnd(b []byte) bool {
	n := len(b)
	if n < 3 || b[n-1] < 0x40 || b[n-2] != '[' && !isDigit(b[n-2]) && b[n-2] != ';' {
		return false
	}
	for i := n - 2; i > 0 && i >= n-maxAnsi; i-- {
		if b[i-1] == 0x1b {
			return ansiLen(b[i-1:]) == n-i+1
		}
	}
	return false
}

const maxAnsi = 32 // longer sequences are taken for text

// ansiLen returns the length of the control sequence that b begins with, 0 if
// it begins with none: ESC [, parameters, one final character.
func ansiLen(b []byte) int {
	if len(b) < 3 || b[0] != 0x1b || b[1] != '[' {
		return 0
	}
	for i := 2; i < min(len(b), maxAnsi); i++ {
		if c := b[i]; c >= 0x40 && c < 0x7f {
			return i + 1
		} else if c < 0x20 || c >= 0x7f {
			break
		}
	}
	return 0
}

// token is a hexadecimal number in a line.
type token struct {
	start, end int // with its prefix
	value      uint64
	prefix     bool // 0x
}

func (t *token) digits() int {
	if t.prefix {
		return t.end - t.start - 2
	}
	return t.end - t.start
}

// token returns the first number of the line at or after pos.
func (f *finder) token(pos int) (t token, ok bool) {
	line := f.data
	for pos < len(line) {
		start := f.next(pos)
		if start == len(line) {
			break
		}
		digits := start
		t = token{prefix: start == f.x}
		if t.prefix {
			digits += 2
		} else {
			for start > 0 && isHex(line[start-1]) { // pos was amid digits
				start--
				digits--
			}
		}
		end := digits
		for end < len(line) && isHex(line[end]) {
			if end-digits < 16 {
				t.value = t.value<<4 | uint64(hexValue(line[end]))
			}
			end++
		}
		t.start, t.end = start, end
		n := end - digits
		if n > 0 && n <= 16 && standsAlone(line, &t) {
			return t, true
		}
		pos = max(end, pos+1)
	}
	return token{}, false
}

func hexValue(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// standsAlone reports whether nothing touches t that makes it a part of
// something else; a '+' before it is let through, as it makes an offset.
func standsAlone(line []byte, t *token) bool {
	if t.start > 0 {
		switch c := line[t.start-1]; {
		case isWord(c):
			if !ansiEnd(line[:t.start]) {
				return false
			}
		case c == '-':
			return false
		case c == '.', c == '/', c == '\\', c == '%', c == '$', c == '@', c == '+':
			if !t.prefix || c == '.' {
				return false
			}
		}
	}
	if t.end < len(line) {
		follows := t.end+1 < len(line) && isWord(line[t.end+1])
		switch c := line[t.end]; {
		case isWord(c), c == '+':
			return false
		case c == '.', c == '-':
			return !follows
		case c == '/', c == '\\', c == '%', c == '$', c == '@':
			return t.prefix
		}
	}
	return true
}
