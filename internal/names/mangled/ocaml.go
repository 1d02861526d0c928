package mangled

import (
	"strconv"
	"strings"
)

// OCaml decodes the name of a function, as ocamlopt makes it: "caml", the module
// with "__" between its parts, "__" or (from OCaml 5.1 on) a point, the function,
// and a number that tells functions of one name apart, which stays. Characters that
// assemblers do not take are "$" and two hexadecimal digits.
//
// Source: OCaml, asmcomp/cmm_helpers.ml and asmcomp/emitaux.ml, emit_symbol.
func OCaml(raw string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(raw, "caml")
	if !ok || rest == "" || rest[0] < 'A' || rest[0] > 'Z' {
		return "", false // caml_alloc is C's
	}
	at, width := strings.LastIndexByte(rest, '.'), 1
	if at < 0 {
		at, width = endOfModule(rest), 2
	}
	if at < 0 || at+width >= len(rest) {
		return "", false
	}
	module, function := rest[:at], rest[at+width:]
	if !numbered(function) && function != "entry" || strings.ContainsAny(module, ".$") {
		return "", false
	}
	if function, ok = unescapeOCaml(function); !ok {
		return "", false
	}
	return strings.ReplaceAll(module, "__", ".") + "." + function, true
}

// endOfModule returns where the "__" behind the module is, -1 if there is none. The
// function may have underscores, too. The module's parts begin with capitals, but
// for "exe" in what dune makes: Dune__exe__Main.
func endOfModule(s string) int {
	last := 0
	for i := 0; i+2 < len(s); i++ {
		if s[i:i+2] == "__" && s[i+2] >= 'A' && s[i+2] <= 'Z' {
			last = i + 2
		}
	}
	if i := strings.Index(s[last:], "__"); i >= 0 {
		return last + i
	}
	return strings.Index(s, "__")
}

// numbered reports whether s ends in an underscore and digits.
func numbered(s string) bool {
	i := strings.LastIndexByte(s, '_')
	if i <= 0 || i+1 == len(s) {
		return false
	}
	for _, c := range []byte(s[i+1:]) {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

func unescapeOCaml(s string) (string, bool) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			b.WriteString(s)
			return b.String(), true
		}
		b.WriteString(s[:i])
		if i+3 > len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil || c < 0x20 || c > 0x7e {
			return "", false
		}
		b.WriteByte(byte(c))
		s = s[i+3:]
	}
}
