// Package escape makes text that a target has a hand in harmless to print: names,
// paths and messages must not be able to drive the user's terminal, nor make one
// line read as another one.
package escape

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// Name returns s with everything that could drive a terminal as \xNN, and a
// backslash doubled, so that the original can be read back. It escapes control
// characters, C1 ones and bytes that are not UTF-8 included, and characters that
// reorder text. It returns s itself where nothing has to be escaped.
func Name(s string) string {
	if Plain(s) {
		return s
	}
	return escaped(s)
}

// AppendName appends Name(s) to dst. It allocates nothing where nothing has to be
// escaped and dst is large enough.
func AppendName(dst []byte, s string) []byte {
	if Plain(s) {
		return append(dst, s...)
	}
	return append(dst, escaped(s)...)
}

// Text is Name for text that bt composed itself: backslashes stay, only what could
// drive a terminal is escaped.
func Text(s string) string {
	return strings.ReplaceAll(Name(s), `\\`, `\`)
}

// Plain reports whether s is printable ASCII without a backslash, which nothing has
// to be escaped of. It tests eight bytes at a time.
func Plain(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	bad := uint64(0)
	if len(b) < 8 {
		for _, c := range b {
			if c < 0x20 || c >= 0x7f || c == '\\' {
				return false
			}
		}
		return true
	}
	last := binary.LittleEndian.Uint64(b[len(b)-8:])
	for ; len(b) > 16; b = b[16:] {
		bad |= unprintable(binary.LittleEndian.Uint64(b)) | unprintable(binary.LittleEndian.Uint64(b[8:]))
	}
	if len(b) > 8 {
		bad |= unprintable(binary.LittleEndian.Uint64(b))
	}
	return (bad|unprintable(last))&(0x80*each) == 0
}

const each = 0x0101010101010101

// unprintable returns a value with the highest bit of a byte set if a byte of x is
// not printable ASCII, or is a backslash. In bytes below 0x80 no sum carries into
// the next byte.
func unprintable(x uint64) uint64 {
	above := x + 0x60*each                        // reaches 0x80 from 0x20 on
	other := (x ^ '\\'*each) + 0x7f*each          // does so but for a backslash
	return x | (x + 0x01*each) | ^(above & other) // 0x7f reaches it with one more
}

func escaped(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r < 0x20, r >= 0x7f && r < 0xa0, r == utf8.RuneError && n == 1, reorders(r):
			for i := range n {
				b.WriteString(`\x`)
				b.WriteByte(hex[s[i]>>4])
				b.WriteByte(hex[s[i]&15])
			}
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// reorders reports whether r reorders or splits the text around it.
func reorders(r rune) bool {
	return r == 0x061c || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029 || r == 0x200e || r == 0x200f
}
