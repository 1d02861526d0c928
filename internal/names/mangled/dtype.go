package mangled

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// argument reads an argument of a template.
func (p *dParser) argument() bool {
	switch {
	case p.take("T"):
		return p.typ()
	case p.take("S"):
		if strings.HasPrefix(p.s[p.pos:], "_D") {
			return p.mangled()
		}
		return p.qualified(false)
	case p.take("V"):
		kind := p.kind()
		n := len(p.out)
		if !p.typ() {
			return false
		}
		typ := string(p.out[n:])
		p.out = p.out[:n]
		return p.value(typ, kind)
	}
	return false // X: a name of another language
}

// kind is the first letter of a type, that which a back reference leads to.
func (p *dParser) kind() byte {
	from := p.pos
	defer func() { p.pos = from }()
	for range 8 {
		if p.peek() != 'Q' {
			break
		}
		target, ok := p.backReference()
		if !ok {
			return 0
		}
		p.pos = target
	}
	return p.peek()
}

// dSpace escapes what a string is spelled with on one line.
var dSpace = strings.NewReplacer("\n", `\n`, "\t", `\t`, "\r", `\r`, "\f", `\f`, "\v", `\v`)

// value reads a value of a type.
func (p *dParser) value(typ string, kind byte) bool {
	if !p.enter() {
		return false
	}
	defer p.leave()
	c := p.peek()
	switch {
	case p.take("n"):
		return p.put("null")
	case p.take("N"), p.take("i"), isDigit(c):
		if c == 'N' {
			p.put("-")
		}
		return p.integer(kind)
	case p.take("a"), p.take("w"), p.take("d"):
		n, ok := p.number()
		if !ok || !p.take("_") || n > (len(p.s)-p.pos)/2 {
			return false
		}
		text, err := hex.DecodeString(p.s[p.pos : p.pos+2*n])
		p.pos += 2 * n
		if err != nil {
			return false
		}
		p.put(`"` + dSpace.Replace(string(text)) + `"`)
		return c == 'a' || p.put(string(c))
	case p.take("f"):
		return p.mangled()
	case p.take("A"), p.take("S"):
		open, end := "[", "]"
		if c == 'S' {
			open, end = typ+"(", ")"
		} else if kind == 'H' {
			return false
		}
		n, ok := p.number()
		p.put(open)
		for i := 0; ok && i < n; i++ {
			if i > 0 {
				p.put(", ")
			}
			ok = p.value("", 0)
		}
		return ok && p.put(end)
	}
	return false // floating point
}

// integer reads a number of the type kind.
func (p *dParser) integer(kind byte) bool {
	from := p.pos
	for isDigit(p.peek()) {
		p.pos++
	}
	digits := p.s[from:p.pos]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return false
	}
	switch kind {
	case 'b':
		return n < 2 && p.put(strconv.FormatBool(n == 1))
	case 'a', 'u', 'w':
		if n >= ' ' && n < 0x7f {
			return p.put("'" + string(rune(n)) + "'")
		}
		width := map[byte]int{'a': 2, 'u': 4, 'w': 8}[kind]
		text := strconv.FormatUint(n, 16)
		return p.put(`'\` + map[byte]string{'a': "x", 'u': "u", 'w': "U"}[kind] + strings.Repeat("0", max(0, width-len(text))) + text + "'")
	}
	return p.put(digits + map[byte]string{'h': "u", 't': "u", 'k': "u", 'l': "L", 'm': "uL"}[kind])
}

var dBasic = [256]string{
	'v': "void", 'g': "byte", 'h': "ubyte", 's': "short", 't': "ushort", 'i': "int", 'k': "uint", 'l': "long", 'm': "ulong",
	'f': "float", 'd': "double", 'e': "real", 'o': "ifloat", 'p': "idouble", 'j': "ireal", 'q': "cfloat", 'r': "cdouble",
	'c': "creal", 'b': "bool", 'a': "char", 'u': "wchar", 'w': "dchar", 'n': "typeof(null)",
}

var dConvention = [256]string{'U': "extern(C) ", 'W': "extern(Windows) ", 'V': "extern(Pascal) ", 'R': "extern(C++) ", 'Y': "extern(Objective-C) "}

// typ reads a type.
func (p *dParser) typ() bool {
	if !p.enter() {
		return false
	}
	defer p.leave()
	c := p.peek()
	if text := dBasic[c]; text != "" {
		p.pos++
		return p.put(text)
	}
	switch {
	case c == 'Q':
		target, ok := p.backReference()
		return ok && p.at(target, p.typ)
	case isCall(c):
		return p.function("")
	case p.take("x"):
		return p.wrapped("const(", ")")
	case p.take("y"):
		return p.wrapped("immutable(", ")")
	case p.take("O"):
		return p.wrapped("shared(", ")")
	case p.take("Ng"):
		return p.wrapped("inout(", ")")
	case p.take("Nh"):
		return p.wrapped("__vector(", ")")
	case p.take("Nn"):
		return p.put("noreturn")
	case p.take("zi"):
		return p.put("cent")
	case p.take("zk"):
		return p.put("ucent")
	case p.take("A"):
		return p.wrapped("", "[]")
	case p.take("P"):
		if isCall(p.peek()) {
			return p.function("function")
		}
		return p.wrapped("", "*")
	case p.take("G"):
		n, ok := p.number()
		return ok && p.wrapped("", "["+strconv.Itoa(n)+"]")
	case p.take("C"), p.take("S"), p.take("E"), p.take("T"):
		return p.qualified(false)
	}
	return p.composed()
}

// composed reads a type made of several.
func (p *dParser) composed() bool {
	switch {
	case p.take("H"): // the key comes first
		n := len(p.out)
		if !p.typ() {
			return false
		}
		key := string(p.out[n:])
		p.out = p.out[:n]
		return p.wrapped("", "["+key+"]")
	case p.take("D"):
		n := len(p.out)
		for p.modifier() {
		}
		mods := string(p.out[n:])
		p.out = p.out[:n]
		if p.peek() == 'Q' {
			target, ok := p.backReference()
			return ok && p.at(target, func() bool { return p.function("delegate" + mods) })
		}
		return p.function("delegate" + mods)
	case p.take("B"):
		n, ok := p.number()
		p.put("Tuple!(")
		for i := 0; ok && i < n; i++ {
			if i > 0 {
				p.put(", ")
			}
			ok = p.typ()
		}
		return ok && p.put(")")
	}
	return false
}

func (p *dParser) wrapped(before, after string) bool {
	p.put(before)
	return p.typ() && p.put(after)
}

// function reads the type of a function: what it returns is shown first.
func (p *dParser) function(kind string) bool {
	convention := p.peek()
	if !isCall(convention) {
		return false
	}
	p.pos++
	p.put(dConvention[convention])
	n := len(p.out)
	attributes := p.attributes()
	if !p.parameters() {
		return false
	}
	params := string(p.out[n:])
	p.out = p.out[:n]
	if !p.typ() {
		return false
	}
	if kind != "" {
		kind = " " + kind
	}
	return p.put(params) && p.put(attributes) && p.put(kind)
}
