package lines

import (
	"bytes"

	"github.com/gatedso/bt/maps"
)

// form is what a line of the input is.
type form uint8

const (
	formOther      form = iota // none of the following: malformed
	formBlank                  //
	formComment                // # …
	formBuildID                // # build-id HEX PATH
	formGateSymbol             // # gate-symbol ADDR SIZE NAME
	formMaps                   // 7f5c4e200000-7f5c4e228000 r--p 00000000 fe:00 1234 /usr/lib/libc.so.6
	formHex                    // one or more addresses
	formAddr                   // one address with more around it: a frame that bt or backtrace_symbols printed
	formInlined                // an inlined call that bt printed; its frame is a line of its own
	formLanguage               // a frame of a language runtime that bt printed; the native one is a line of its own
	formModule                 // module+0xoff
)

// line is a parsed line. Its slices are parts of the input.
type line struct {
	form   form
	addrs  int    // how many addresses it asks for
	text   []byte // the line without leading blanks and line end
	addr   uint64 // formAddr; for formModule the offset
	module []byte // formModule
	id     BuildID
	symbol GateSymbol
}

// parseLine tells what b is, a line with or without its line end. It does not
// allocate, except for a build ID.
func parseLine(b []byte) line {
	b = bytes.TrimSuffix(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	b = trimLeft(b)
	l := line{text: b}
	t := trimRight(b)
	switch {
	case len(t) == 0:
		l.form = formBlank
	case t[0] == '#':
		l.form = formComment
		if l.id = parseBuildID(b); l.id.ID != "" {
			l.form = formBuildID
		} else if l.symbol = parseGateSymbol(b); l.symbol.Name != "" {
			l.form = formGateSymbol
		}
	case isMapsLine(b):
		l.form = formMaps
	case l.parseHex(t), l.parseFrame(t), l.parseGlibc(t), l.parseModule(t):
	}
	return l
}

// parseHex recognises a line whose every field is an address.
func (l *line) parseHex(t []byte) bool {
	n := 0
	for len(t) > 0 {
		v, w := hexField(t)
		if w == 0 {
			return false
		}
		n++
		l.addr = v
		t = trimLeft(t[w:])
	}
	l.form, l.addrs = formHex, n
	return true
}

// parseFrame recognises what bt prints: an address, then <symbol+0xoffset>, or
// where there is no symbol (module+0xoffset) or [build ID], then perhaps more.
func (l *line) parseFrame(t []byte) bool {
	v, w := hexField(t)
	if w == 0 {
		return false
	}
	t = t[w:] // starts with a blank, or parseHex would have had it
	var closing byte
	switch rest := trimLeft(t); rest[0] {
	case '<':
		closing = '>'
	case '(':
		closing = ')'
	case '[':
		closing = ']'
	default:
		return false
	}
	if bytes.IndexByte(t, closing) < 0 {
		return false
	}
	if bytes.HasSuffix(t, []byte(" (inlined)")) || bytes.Contains(t, []byte("> (inlined)")) {
		l.form = formInlined
		return true
	}
	if closing == '>' && isLanguage(t) {
		l.form = formLanguage
		return true
	}
	l.form, l.addrs, l.addr = formAddr, 1, v
	return true
}

// languages end the frames of language runtimes.
var languages = [][]byte{[]byte(" (python)"), []byte(" (js)"), []byte(" (java)")}

// isLanguage reports whether what follows an address, from its '<' on, is a frame of
// a language runtime: `<name> FILE:LINE (python)`. Other than a native frame it has
// no offset, which tells it from one in a file of such a name.
func isLanguage(t []byte) bool {
	for _, mark := range languages {
		place, ok := bytes.CutSuffix(t, mark)
		if !ok {
			continue
		}
		colon := bytes.LastIndexByte(place, ':')
		return colon >= 0 && isLine(place[colon+1:]) && !hasOffset(place)
	}
	return false
}

// isLine reports whether b is a line of a source file as bt prints it.
func isLine(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return string(b) == "?"
		}
	}
	return len(b) > 0
}

// hasOffset reports whether the symbol that b begins with has an offset: `+0x1f>`.
func hasOffset(b []byte) bool {
	for {
		i := bytes.Index(b, []byte("+0x"))
		if i < 0 {
			return false
		}
		b = b[i+1:]
		if _, w := hexPrefix(b[2:]); w > 0 && w+2 < len(b) && b[w+2] == '>' {
			return true
		}
	}
}

// parseGlibc recognises the three shapes of glibc's backtrace_symbols
// (debug/backtracesyms.c): `file(name+0xoff) [0xaddr]`, `file() [0xaddr]` and
// `[0xaddr]`. The address is printed by %p, which makes a null pointer (nil).
func (l *line) parseGlibc(t []byte) bool {
	open := bytes.LastIndexByte(t, '[')
	if open < 0 || t[len(t)-1] != ']' {
		return false
	}
	file := trimRight(t[:open])
	if len(file) > 0 && (file[len(file)-1] != ')' || bytes.IndexByte(file, '(') < 0) {
		return false
	}
	in := t[open+1 : len(t)-1]
	v, w := hexField(in)
	if string(in) != "(nil)" && (!has0x(in) || w != len(in)) {
		return false
	}
	l.form, l.addrs, l.addr = formAddr, 1, v
	return true
}

// parseModule recognises `module+0xoff`. The module may have blanks and plus
// signs in its name.
func (l *line) parseModule(t []byte) bool {
	plus := bytes.LastIndexByte(t, '+')
	if plus <= 0 || !has0x(t[plus+1:]) {
		return false
	}
	v, w := hexField(t[plus+1:])
	if w != len(t)-plus-1 {
		return false
	}
	l.form, l.addrs, l.addr, l.module = formModule, 1, v, t[:plus]
	return true
}

// parseBuildID reads `# build-id HEX PATH`; the ID is empty when b is not that.
func parseBuildID(b []byte) BuildID {
	rest, ok := bytes.CutPrefix(b, []byte("# build-id "))
	if !ok {
		return BuildID{}
	}
	id, path, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(path) == 0 {
		return BuildID{}
	}
	for _, c := range id {
		if hexDigit[c] > 15 {
			return BuildID{}
		}
	}
	return BuildID{Path: unescape(path), ID: string(id)}
}

// parseGateSymbol reads `# gate-symbol ADDR SIZE NAME`; the name is empty when
// b is not that.
func parseGateSymbol(b []byte) GateSymbol {
	rest, ok := bytes.CutPrefix(b, []byte("# gate-symbol "))
	if !ok {
		return GateSymbol{}
	}
	f := bytes.SplitN(rest, []byte(" "), 3)
	if len(f) != 3 {
		return GateSymbol{}
	}
	addr, n := hexField(f[0])
	size, k := hexField(f[1])
	if n != len(f[0]) || k != len(f[1]) || n == 0 || k == 0 {
		return GateSymbol{}
	}
	return GateSymbol{Addr: addr, Size: size, Name: unescape(f[2])}
}

// unescape undoes the escapes that bt prints in names: \xNN and \\.
func unescape(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch rest := b[i:]; {
		case len(rest) >= 2 && rest[0] == '\\' && rest[1] == '\\':
			i++
			out = append(out, '\\')
		case len(rest) >= 4 && rest[0] == '\\' && rest[1] == 'x' && hexDigit[rest[2]] < 16 && hexDigit[rest[3]] < 16:
			i += 3
			out = append(out, hexDigit[rest[2]]<<4|hexDigit[rest[3]])
		default:
			out = append(out, b[i])
		}
	}
	return string(out)
}

// isMapsLine reports whether b is a whole line of /proc/PID/maps. One that
// only begins like one is malformed here, not an error of the report it is in.
func isMapsLine(b []byte) bool {
	if !maps.IsLine(b) {
		return false
	}
	_, err := maps.ParseLine(b)
	return err == nil
}

// trimLeft cuts off leading blanks.
func trimLeft(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

// trimRight cuts off trailing blanks.
func trimRight(b []byte) []byte {
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
