package mangled

import (
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Rust decodes a name of Rust's legacy scheme, without the hash at its end:
// _ZN, identifiers with their lengths before them, "17h" and 16 hexadecimal
// digits, "E". What LLVM appended to it, such as ".llvm.123", is left out.
//
// ianlancetaylor/demangle knows the scheme, too. But it takes an underscore at
// the start of an identifier for the separator that the newer scheme has there,
// and knows the escapes of ASCII characters alone.
//
// Source: rustc, compiler/rustc_symbol_mangling/src/legacy.rs.
func Rust(raw string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(raw, "_ZN")
	if !ok {
		return "", false
	}
	if end := strings.LastIndex(rest, "E."); end >= 0 {
		rest = rest[:end+1]
	}
	const hash = len("17h0123456789abcdefE")
	if len(rest) <= hash || !isRustHash(rest[len(rest)-hash:]) {
		return "", false
	}
	rest = rest[:len(rest)-hash]
	out := make([]byte, 0, len(rest)+8)
	for rest != "" {
		id, after, ok := lengthPrefixed(rest)
		if !ok {
			return "", false
		}
		if len(out) > 0 {
			out = append(out, "::"...)
		}
		if out, ok = appendRustIdent(out, id); !ok {
			return "", false
		}
		rest = after
	}
	return string(out), true
}

// isRustHash reports whether s is the last part of a legacy name. A C++ name
// could end alike; 16 digits by chance are hardly ever of fewer than five kinds.
func isRustHash(s string) bool {
	digits, ok := strings.CutPrefix(s, "17h")
	if !ok || digits[len(digits)-1] != 'E' {
		return false
	}
	seen := uint16(0)
	for _, c := range []byte(digits[:len(digits)-1]) {
		switch {
		case isDigit(c):
			seen |= 1 << (c - '0')
		case c >= 'a' && c <= 'f':
			seen |= 1 << (c - 'a' + 10)
		default:
			return false
		}
	}
	return bits.OnesCount16(seen) >= 5
}

// lengthPrefixed splits "3foobar" into "foo" and "bar".
func lengthPrefixed(s string) (id, rest string, ok bool) {
	n, i := 0, 0
	for i < len(s) && isDigit(s[i]) {
		if n = n*10 + int(s[i]-'0'); n > len(s) {
			return "", "", false
		}
		i++
	}
	if i == 0 || n == 0 || s[0] == '0' || n > len(s)-i {
		return "", "", false
	}
	return s[i : i+n], s[i+n:], true
}

// rustEscapes are the escapes that have a name; $u with a hexadecimal number
// stands for all other characters.
var rustEscapes = map[string]byte{
	"SP": '@', "BP": '*', "RF": '&', "LT": '<', "GT": '>', "LP": '(', "RP": ')', "C": ',',
}

// appendRustIdent decodes an identifier. It takes what is no escape as it is,
// as rustc's own demangler does.
func appendRustIdent(out []byte, id string) ([]byte, bool) {
	if !utf8.ValidString(id) {
		return out, false
	}
	// An identifier may not begin with an escape: rustc puts this before it.
	if strings.HasPrefix(id, "_$") {
		id = id[1:]
	}
	for id != "" {
		switch {
		case strings.HasPrefix(id, ".."):
			out, id = append(out, "::"...), id[2:]
		case id[0] == '$':
			end := strings.IndexByte(id[1:], '$')
			r, ok := rune(0), false
			if end > 0 {
				r, ok = rustEscape(id[1 : 1+end])
			}
			if !ok {
				return append(out, id...), true
			}
			out, id = utf8.AppendRune(out, r), id[end+2:]
		default:
			out, id = append(out, id[0]), id[1:]
		}
	}
	return out, true
}

func rustEscape(code string) (rune, bool) {
	if c, ok := rustEscapes[code]; ok {
		return rune(c), true
	}
	hex, ok := strings.CutPrefix(code, "u")
	if !ok || strings.ToLower(hex) != hex {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil || n > unicode.MaxRune || !utf8.ValidRune(rune(n)) || unicode.IsControl(rune(n)) {
		return 0, false
	}
	return rune(n), true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
