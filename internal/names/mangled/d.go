package mangled

import (
	"strconv"
	"strings"
)

// D decodes a name of D's: _D, identifiers with their lengths before them, template
// instances with their arguments, then the type, which is only shown as the
// parameters, if these are wanted. The spelling is that of binutils' c++filt.
//
// Source: https://dlang.org/spec/abi.html#name_mangling.
func D(raw string, params bool) (name string, ok bool) {
	if len(raw) < 4 || !strings.HasPrefix(raw, "_D") {
		return "", false
	}
	p := &dParser{s: raw, params: params, steps: maxDSteps}
	if !p.mangled() || p.pos != len(p.s) {
		return "", false
	}
	return string(p.out), true
}

// Limits of one name: a back reference can stand for another one, again and again.
const (
	maxDSteps = 1 << 12
	maxDDepth = 100
	maxDBytes = 1 << 15
)

// dParser reads s from pos on and appends to out. Its methods report whether what
// they read was what they expect; where it was not, all is given up.
type dParser struct {
	s      string
	pos    int
	out    []byte
	params bool
	steps  int // left
	depth  int
}

func (p *dParser) peek() byte {
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

func (p *dParser) take(prefix string) bool {
	if !strings.HasPrefix(p.s[p.pos:], prefix) {
		return false
	}
	p.pos += len(prefix)
	return true
}

func (p *dParser) put(s string) bool {
	p.out = append(p.out, s...)
	return true
}

// enter counts a step of a recursion; leave ends it.
func (p *dParser) enter() bool {
	p.steps--
	p.depth++
	return p.steps > 0 && p.depth < maxDDepth && len(p.out) < maxDBytes
}

func (p *dParser) leave() { p.depth-- }

// silent runs f and drops what it has put.
func (p *dParser) silent(f func() bool) bool {
	n := len(p.out)
	ok := f()
	p.out = p.out[:n]
	return ok
}

func (p *dParser) number() (n int, ok bool) {
	from := p.pos
	for isDigit(p.peek()) {
		p.pos++
	}
	n, err := strconv.Atoi(p.s[from:p.pos])
	return n, err == nil
}

// backReference reads Q and how far before it that begins which it stands for, in
// base 26, with the last digit in lower case.
func (p *dParser) backReference() (target int, ok bool) {
	at, n := p.pos, 0
	for p.pos++; n < len(p.s); p.pos++ {
		switch c := p.peek(); {
		case c >= 'A' && c <= 'Z':
			n = n*26 + int(c-'A')
			continue
		case c >= 'a' && c <= 'z':
			p.pos++
			n = n*26 + int(c-'a')
			return at - n, n > 0 && n <= at-2
		}
		break
	}
	return 0, false
}

// at runs f at another place, earlier in the name.
func (p *dParser) at(target int, f func() bool) bool {
	after := p.pos
	p.pos = target
	ok := f()
	p.pos = after
	return ok
}

// mangled reads a whole name, with its type.
func (p *dParser) mangled() bool {
	return p.enter() && p.take("_D") && p.qualified(true) &&
		(p.take("Z") || p.silent(p.typ)) && p.done()
}

func (p *dParser) done() bool { p.leave(); return true }

// isSymbol reports whether an identifier or a template instance follows.
func (p *dParser) isSymbol() bool {
	rest := p.s[p.pos:]
	if strings.HasPrefix(rest, "__T") || strings.HasPrefix(rest, "__U") || isDigit(p.peek()) {
		return true
	}
	if p.peek() != 'Q' {
		return false
	}
	from := p.pos
	target, ok := p.backReference()
	p.pos = from
	return ok && isDigit(p.s[target])
}

// qualified reads names with points between them. Those of functions have their
// parameters behind them. The type of the last one is left, but for the parameters.
func (p *dParser) qualified(suffix bool) bool {
	if !p.enter() || !p.isSymbol() {
		return false
	}
	for first := true; p.isSymbol(); first = false {
		if p.peek() == '0' { // no name
			p.pos++
			first = true
			continue
		}
		from := len(p.out)
		if !first {
			p.put(".")
		}
		if !p.symbol(from) {
			return false
		}
		if c := p.peek(); c != 'M' && !isCall(c) {
			continue
		}
		pos, n := p.pos, len(p.out)
		if !p.nested(suffix) || p.pos == len(p.s) {
			p.pos, p.out = pos, p.out[:n] // a type
			break
		}
	}
	return p.done()
}

// nested reads the type of a function without what it returns.
func (p *dParser) nested(suffix bool) bool {
	mods := ""
	if p.take("M") {
		n := len(p.out)
		for p.modifier() {
		}
		mods = string(p.out[n:])
		p.out = p.out[:n]
	}
	if !isCall(p.peek()) {
		return false
	}
	p.pos++
	p.attributes()
	if !p.params {
		return p.silent(p.parameters)
	}
	return p.parameters() && (!suffix || p.put(mods))
}

// modifier reads what stands before a type, and puts it as it stands behind a name.
func (p *dParser) modifier() bool {
	for _, m := range [...][2]string{{"x", " const"}, {"y", " immutable"}, {"O", " shared"}, {"Ng", " inout"}} {
		if p.take(m[0]) {
			return p.put(m[1])
		}
	}
	return false
}

func isCall(c byte) bool { return c != 0 && strings.IndexByte("FUWVRY", c) >= 0 }

// attributes reads those of a function.
func (p *dParser) attributes() string {
	const letters = "abcdefijlm"
	words := [...]string{" pure", " nothrow", " ref", " @property", " @trusted", " @safe", " @nogc", " return", " scope", " @live"}
	text := ""
	for p.peek() == 'N' && p.pos+1 < len(p.s) {
		i := strings.IndexByte(letters, p.s[p.pos+1])
		if i < 0 {
			break
		}
		text += words[i]
		p.pos += 2
	}
	return text
}

// parameters reads them up to their end.
func (p *dParser) parameters() bool {
	p.put("(")
	for n := 0; ; n++ {
		switch {
		case p.take("X"):
			return p.put("...)")
		case p.take("Y"):
			if n > 0 {
				p.put(", ")
			}
			return p.put("...)")
		case p.take("Z"):
			return p.put(")")
		}
		if n > 0 {
			p.put(", ")
		}
		for {
			switch {
			case p.take("M"):
				p.put("scope ")
				continue
			case p.take("Nk"):
				p.put("return ")
				continue
			}
			break
		}
		switch {
		case p.take("I"):
			p.put("in ")
			if p.take("K") {
				p.put("ref ")
			}
		case p.take("J"):
			p.put("out ")
		case p.take("K"):
			p.put("ref ")
		case p.take("L"):
			p.put("lazy ")
		}
		if !p.typ() {
			return false
		}
	}
}

// symbol reads an identifier or a template instance. What stands before it begins
// at from in out.
func (p *dParser) symbol(from int) bool {
	if len(p.out) > maxDBytes {
		return false
	}
	if p.peek() == 'Q' {
		target, ok := p.backReference()
		return ok && p.at(target, func() bool { return p.identifier(from) })
	}
	if isDigit(p.peek()) {
		return p.identifier(from)
	}
	return p.template()
}

// dSpecial are the names that the compiler gives, and how they are shown.
var dSpecial = map[string]string{"__ctor": "this", "__dtor": "~this"}

// dData are the data that the compiler makes of a type or a module.
var dData = map[string]string{"__init": "initializer for ", "__vtbl": "vtable for ", "__Class": "ClassInfo for ",
	"__Interface": "Interface for ", "__ModuleInfo": "ModuleInfo for "}

// identifier reads a length and a name, or a template instance of that length.
func (p *dParser) identifier(from int) bool {
	n, ok := p.number()
	if !ok || n == 0 || n > len(p.s)-p.pos {
		return false
	}
	name := p.s[p.pos : p.pos+n]
	if strings.HasPrefix(name, "__T") || strings.HasPrefix(name, "__U") {
		end := p.pos + n
		return p.template() && p.pos == end
	}
	for _, c := range []byte(name) {
		if c < 0x80 && !(isDigit(c) || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z') {
			return false
		}
	}
	p.pos += n
	if text, ok := dData[name]; ok && p.peek() == 'Z' && from > 0 && p.out[len(p.out)-1] == '.' {
		whole := text + string(p.out[:len(p.out)-1])
		p.out = append(p.out[:0], whole...)
		return true
	}
	if name == "__postblit" && p.take("MFZ") {
		return p.put("this(this)")
	}
	if text, ok := dSpecial[name]; ok {
		name = text
	}
	// Mixins and functions of one name have a number: it is part of the name.
	return p.put(name)
}

// template reads __T, a name, and arguments up to Z.
func (p *dParser) template() bool {
	if !p.enter() || !p.take("__T") && !p.take("__U") || !p.isSymbol() || !p.symbol(0) {
		return false
	}
	p.put("!(")
	for n := 0; !p.take("Z"); n++ {
		if n > 0 {
			p.put(", ")
		}
		p.take("H") // a specialised parameter
		if !p.argument() {
			return false
		}
	}
	p.put(")")
	return p.done()
}
