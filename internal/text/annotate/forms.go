package annotate

import (
	"bytes"

	"github.com/gatedso/bt/maps"
)

// maxContext is how far from an address a form reaches.
const maxContext = 1000

// around is a number in a line and what stands around it.
type around struct {
	tok         token
	line        []byte
	left, right []byte // of the number, at most maxContext bytes

	in         *worker
	start, end int  // of the line in its piece; the token's are in the line
	past       int  // of the line, up to here it is understood
	alone      bool // what is above the line does not count
}

// above returns the line above.
func (a *around) above() []byte {
	if a.alone {
		return nil
	}
	return a.in.above(a.start)
}

// form recognises what a number is, and sets q. It reports false when it is no
// address. skip is the position in the line up to which the form reaches, when
// beyond the number.
func (a *around) form(q *query) (skip int, ok bool) {
	if len(a.left) > 0 && a.left[len(a.left)-1] == '+' {
		return a.offset(q)
	}
	if c := a.left; len(c) > 1 && c[len(c)-1] == ' ' && c[len(c)-2] == '+' {
		return 0, false
	}
	*q = query{addr: a.tok.value, hasAddr: true}
	q.named = named(a.right)
	skip, ok = a.numbered(q)
	if !ok {
		skip, ok = a.backtraceSymbols(q)
	}
	if !ok {
		skip, ok = a.fromTool(q)
	}
	if !ok {
		skip, ok = a.kernel(q)
	}
	if !ok {
		skip, ok = a.perf(q)
	}
	if !ok {
		skip, ok = a.printedByBt(q)
	}
	if ok {
		return a.tok.end + skip, true
	}
	if !a.tok.prefix {
		switch n := a.tok.digits(); {
		case n == 12, n == 16, n == 8 && a.in.bits32():
		default:
			return 0, false
		}
		if mixedCase(a.line[a.tok.start:a.tok.end]) || mapsLine(a.line) {
			return 0, false
		}
	}
	if i := len(a.left) - len("pc="); i > 0 && string(a.left[i:]) == "pc=" && bytes.Contains(a.left, []byte(" sp=0x")) {
		return 0, false // Go names its frames itself
	}
	q.exact = !a.in.o.ReturnAddresses
	return 0, true
}

func mixedCase(digits []byte) bool {
	lower, upper := false, false
	for _, c := range digits {
		lower = lower || c >= 'a'
		upper = upper || c >= 'A' && c <= 'F'
	}
	return lower && upper
}

// named reports whether a name in angle brackets stands behind an address.
func named(right []byte) bool {
	r := trimLeft(right)
	if in, ok := bytes.CutPrefix(right, []byte(" in ")); ok {
		// gdb: `Breakpoint 1, 0xX in main () at x.c:3`.
		name, _, ok := bytes.Cut(in, []byte(" ("))
		return ok && len(name) > 0 && name[0] != '?' && bytes.IndexByte(name, ' ') < 0
	}
	if len(r) < 3 || r[0] != '<' || bytes.HasPrefix(r, []byte("<unknown>")) {
		return false
	}
	return !isBlank(r[1]) && r[1] != '=' && r[1] != '<' && bytes.IndexByte(r, '>') > 0
}

// numbered recognises frames with a number: gdb, eu-stack, systemd, sanitizers,
// Chromium and Android.
func (a *around) numbered(q *query) (skip int, ok bool) {
	l := trimRight(a.left)
	blanks := len(a.left) - len(l)
	if blanks == 0 {
		return 0, false
	}
	pc := false
	if rest, cut := bytes.CutSuffix(l, []byte("pc")); cut && !a.tok.prefix {
		pc = true
		l = trimRight(rest)
	}
	digits := len(l)
	for digits > 0 && isDigit(l[digits-1]) {
		digits--
	}
	number := l[digits:]
	if len(number) == 0 || digits == 0 || l[digits-1] != '#' || digits > 1 && isWord(l[digits-2]) {
		return 0, false
	}
	if pc {
		return a.android(q)
	}
	if !a.tok.prefix {
		return 0, false
	}
	q.exact = len(bytes.Trim(number, "0")) == 0 || signalLine(a.above())
	r := a.right
	switch in, found := bytes.CutPrefix(r, []byte(" in ")); {
	case found:
		q.named = !bytes.HasPrefix(in, []byte("??")) && !bytes.HasPrefix(in, []byte("<null>"))
		if i := bytes.LastIndex(in, []byte(" from ")); i >= 0 {
			q.module = trimRight(in[i+len(" from "):])
		}
		return 0, true
	case len(trimLeft(r)) == 0, bytes.HasPrefix(r, []byte(" - 1")) && len(trimRight(r)) == len(" - 1"):
		return 0, true
	case bytes.HasPrefix(trimLeft(r), []byte("- /")): // eu-stack -m
		q.module = trimRight(trimLeft(r)[2:])
		return 0, true
	case bytes.HasPrefix(r, []byte(" <unknown>")):
		return 0, true
	}
	if n := a.parenthesis(q, trimLeft(r)); n > 0 && q.place == placeLink {
		// The sanitizers indent their frames.
		if blanks == 1 && (digits >= 5 && string(l[digits-5:digits]) == "    #") {
			q.exact = true
		}
		return len(r) - len(trimLeft(r)) + n, true
	}
	if rest, found := bytes.CutPrefix(r, []byte(" n/a ")); found && a.systemd(q, rest) {
		return len(r), true
	}
	q.named = true
	return len(r), true
}

// android recognises what stands behind `#NN pc X` in a tombstone.
func (a *around) android(q *query) (skip int, ok bool) {
	if n := a.tok.digits(); n != 8 && n != 16 {
		return 0, false
	}
	path := trimLeft(a.right)
	if len(path) == 0 || len(path) == len(a.right) || path[0] != '/' {
		return 0, false
	}
	var rest []byte
	if i := bytes.Index(path, []byte(" (")); i >= 0 {
		path, rest = path[:i], path[i+1:]
	}
	path = trimRight(path)
	*q = query{module: path, place: placeLink, off: a.tok.value, exact: true}
	switch {
	case bytes.Contains(path, []byte("!")), bytes.HasPrefix(rest, []byte("(offset ")):
		q.named = true // within an archive: it cannot be had
	case bytes.HasPrefix(rest, []byte("(BuildId: ")):
		q.id = buildID(rest)
	case bytes.HasPrefix(rest, []byte("(deleted)")), len(rest) == 0:
	default:
		q.named = true // (function+12)
	}
	return len(a.right), true
}

// parenthesis reads `(MODULE+0xX)` and `(BuildId: X)` behind it. It returns
// the length of the former, 0 if it is none.
func (a *around) parenthesis(q *query, r []byte) int {
	if len(r) == 0 || r[0] != '(' {
		return 0
	}
	end := bytes.IndexByte(r, ')')
	if end < 0 {
		return 0
	}
	// A path may have parentheses in it.
	plus := bytes.LastIndex(r[:end], []byte("+0x"))
	for plus < 0 {
		next := bytes.IndexByte(r[end+1:], ')')
		if next < 0 {
			return 0
		}
		end += 1 + next
		plus = bytes.LastIndex(r[:end], []byte("+0x"))
	}
	off, n := hexNumber(r[plus+1 : end])
	if n != end-plus-1 || plus < 2 {
		return 0
	}
	q.module, q.place, q.off = r[1:plus], placeLink, off
	q.id = buildID(trimLeft(r[end+1:]))
	return end + 1
}

// buildID reads `(BuildId: X)`, nil if b does not begin so.
func buildID(b []byte) []byte {
	b, ok := bytes.CutPrefix(b, []byte("(BuildId: "))
	end := bytes.IndexByte(b, ')')
	if !ok || end <= 0 {
		return nil
	}
	return b[:end]
}

// systemd reads `(MODULE + 0xX)` at the end of a line.
func (a *around) systemd(q *query, r []byte) bool {
	r = trimRight(r)
	plus := bytes.LastIndex(r, []byte(" + 0x"))
	if plus < 2 || r[0] != '(' || r[len(r)-1] != ')' {
		return false
	}
	off, n := hexNumber(r[plus+3 : len(r)-1])
	if n != len(r)-1-plus-3 {
		return false
	}
	q.module, q.place, q.off = r[1:plus], placeBase, off
	return true
}

// backtraceSymbols recognises glibc's backtrace_symbols (debug/backtracesyms.c)
// and what Python has made after its example.
func (a *around) backtraceSymbols(q *query) (skip int, ok bool) {
	l, found := bytes.CutSuffix(a.left, []byte("["))
	if !found || !a.tok.prefix || len(a.right) == 0 || a.right[0] != ']' {
		return 0, false
	}
	l = trimRight(l)
	if i := bytes.LastIndex(l, []byte(`Binary file "`)); i >= 0 && a.python(q, l[i+len(`Binary file "`):]) {
		return 0, true
	}
	if len(trimLeft(l)) == 0 && len(trimLeft(a.right[1:])) == 0 {
		return 0, true // the whole line
	}
	l, found = bytes.CutSuffix(l, []byte(")"))
	open := bytes.LastIndexByte(l, '(')
	if !found || open <= 0 || isBlank(l[open-1]) {
		return 0, false
	}
	q.module, q.loose = l[:open], true
	q.within(l[open+1:], placeLink)
	return 0, true
}

// within reads `+0xX` or `NAME+0xX`: with an empty name the offset counts from
// base.
func (q *query) within(b []byte, base place) {
	plus := bytes.LastIndex(b, []byte("+0x"))
	if plus < 0 {
		return
	}
	off, n := hexNumber(b[plus+1:])
	if n != len(b)-plus-1 {
		return
	}
	q.off, q.place = off, base
	if plus > 0 {
		q.symbol, q.place = b[:plus], placeSymbol
	}
}

// python reads `PATH", at +0xX` of faulthandler's C stack.
func (a *around) python(q *query, l []byte) bool {
	i := bytes.LastIndexByte(l, '"')
	if i < 0 {
		return false
	}
	q.module = l[:i]
	if at, found := bytes.CutPrefix(l[i+1:], []byte(", at ")); found {
		q.within(at, placeBase)
	}
	return true
}

// fromTool recognises the forms whose addresses follow a word.
func (a *around) fromTool(q *query) (skip int, ok bool) {
	if !a.tok.prefix || len(a.left) == 0 || !isBlank(a.left[len(a.left)-1]) {
		return 0, false
	}
	if skip, ok = a.valgrind(q); ok {
		return skip, true
	}
	if skip, ok = a.rust(q); ok {
		return skip, true
	}
	return a.glog(q)
}

// valgrind recognises `==PID==    at 0xX: ??? (in PATH)`.
func (a *around) valgrind(q *query) (skip int, ok bool) {
	l := a.left
	if !bytes.HasSuffix(l, []byte(" at ")) && !bytes.HasSuffix(l, []byte(" by ")) ||
		!bytes.HasSuffix(trimRight(l[:len(l)-4]), []byte("==")) {
		return 0, false
	}
	q.exact = true
	unnamed := bytes.HasPrefix(a.right, []byte(": ???"))
	q.named = !unnamed
	if i := bytes.Index(a.right, []byte("(in ")); i >= 0 && unnamed {
		q.module = bytes.TrimSuffix(trimRight(a.right[i+4:]), []byte(")"))
	}
	return len(a.right), true
}

// rust recognises `N: 0xX - <unknown>`.
func (a *around) rust(q *query) (skip int, ok bool) {
	l := trimRight(a.left)
	if len(l) < 2 || l[len(l)-1] != ':' || !isDigit(l[len(l)-2]) {
		return 0, false
	}
	r, found := bytes.CutPrefix(a.right, []byte(" - "))
	if !found {
		return 0, false
	}
	q.named = !bytes.HasPrefix(r, []byte("<unknown>"))
	return len(a.right), true
}

// glog recognises `@ 0xX (unknown)`, and `PC: @ 0xX`.
func (a *around) glog(q *query) (skip int, ok bool) {
	l := trimRight(a.left)
	if len(l) == 0 || l[len(l)-1] != '@' {
		return 0, false
	}
	q.exact = bytes.HasSuffix(l, []byte("PC: @"))
	r := trimLeft(a.right)
	q.named = len(r) > 0 && !bytes.HasPrefix(r, []byte("(unknown)"))
	return len(a.right), true
}

// printedByBt recognises a frame of bt's own.
func (a *around) printedByBt(q *query) (skip int, ok bool) {
	if !btFrame(a.line) {
		return 0, false
	}
	q.exact = a.alone || a.in.btFrame(a.start, a.end)
	if n := a.parenthesis(q, trimLeft(a.right)); n > 0 {
		return len(a.right) - len(trimLeft(a.right)) + n, true
	}
	return 0, true
}

// btFrame reports whether a line is a frame as bt prints it: eight or sixteen
// digits, then nothing, or a bracket of any kind.
func btFrame(line []byte) bool {
	n := 0
	for n < len(line) && n < 17 && isHex(line[n]) {
		n++
	}
	if n != 8 && n != 16 {
		return false
	}
	r := trimRight(line[n:])
	return len(r) == 0 || len(r) > 2 && r[0] == ' ' && (r[1] == '<' || r[1] == '(' || r[1] == '[')
}

// perf recognises a line of a call chain as perf script prints it:
// `  X SYMBOL (PATH)`.
func (a *around) perf(q *query) (skip int, ok bool) {
	if !perfFrame(a.line) || a.tok.prefix {
		return 0, false
	}
	q.exact = !perfFrame(a.above())
	q.named = !bytes.HasPrefix(a.right, []byte(" [unknown] ("))
	if !q.named {
		q.module = bytes.TrimSuffix(trimRight(a.right[len(" [unknown] ("):]), []byte(")"))
		q.place, q.off = placePerf, q.addr
	}
	return len(a.right), true
}

func perfFrame(line []byte) bool {
	t := trimLeft(line)
	if len(t) == len(line) {
		return false
	}
	n := 0
	for n < len(t) && n < 17 && isHex(t[n]) {
		n++
	}
	r := trimRight(t[n:])
	return n >= minBare && n <= 16 && len(r) > 4 && r[0] == ' ' && r[len(r)-1] == ')' && bytes.Contains(r, []byte(" ("))
}

// signalLine reports whether a line of a backtrace stands for a signal: the
// frame behind it was interrupted, and called nobody.
func signalLine(line []byte) bool {
	return bytes.Contains(line, []byte("<signal handler called>")) ||
		bytes.Contains(line, []byte("__restore")) || bytes.Contains(line, []byte("sigreturn"))
}

// mapsLine reports whether b is a line of /proc/PID/maps.
func mapsLine(b []byte) bool {
	if !maps.IsLine(b) {
		return false
	}
	_, err := maps.ParseLine(b)
	return err == nil
}

// hexNumber reads 0xX at the start of b and returns its width, 0 if it is none.
func hexNumber(b []byte) (v uint64, width int) {
	if len(b) < 3 || b[0] != '0' || b[1] != 'x' {
		return 0, 0
	}
	v, n := bareNumber(b[2:])
	if n == 0 {
		return 0, 0
	}
	return v, n + 2
}

// bareNumber is hexNumber without 0x.
func bareNumber(b []byte) (v uint64, width int) {
	for width < len(b) && isHex(b[width]) {
		if width == 16 {
			return 0, 0
		}
		v = v<<4 | uint64(hexValue(b[width]))
		width++
	}
	return v, width
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

func trimRight(b []byte) []byte {
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
