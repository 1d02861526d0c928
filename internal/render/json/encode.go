package json

import (
	"strconv"

	"github.com/gatedso/bt/internal/escape"
)

// buffer is JSON that grows. Commas are its own matter: each value is preceded by
// one unless it is the first of its object or array.
type buffer struct {
	b     []byte
	comma bool // what comes next is not the first
}

func (e *buffer) open(c byte) {
	e.next()
	e.b = append(e.b, c)
	e.comma = false
}

func (e *buffer) close(c byte) {
	e.b = append(e.b, c)
	e.comma = true
}

func (e *buffer) next() {
	if e.comma {
		e.b = append(e.b, ',')
	}
	e.comma = true
}

// key begins a member. Keys are bt's own: nothing in them has to be escaped.
func (e *buffer) key(k string) {
	e.next()
	e.b = append(append(append(e.b, '"'), k...), `":`...)
	e.comma = false
}

// text adds s, which escape has made printable UTF-8.
func (e *buffer) text(s string) {
	e.next()
	e.b = append(e.b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			e.b = append(e.b, '\\')
		}
		e.b = append(e.b, s[i])
	}
	e.b = append(e.b, '"')
}

// name adds a string of the target, escaped as text has it.
func (e *buffer) name(s string) { e.text(escape.Name(s)) }

// sentence adds a sentence that is made for people.
func (e *buffer) sentence(s string) { e.text(escape.Text(s)) }

func (e *buffer) addr(v uint64) {
	e.next()
	e.b = append(strconv.AppendUint(append(e.b, `"0x`...), v, 16), '"')
}

func (e *buffer) int(v int64) {
	e.next()
	e.b = strconv.AppendInt(e.b, v, 10)
}

func (e *buffer) uint(v uint64) {
	e.next()
	e.b = strconv.AppendUint(e.b, v, 10)
}

func (e *buffer) bool(v bool) {
	e.next()
	e.b = strconv.AppendBool(e.b, v)
}

// The members that are left out where they say nothing.

func (e *buffer) nameOf(k, s string) {
	if s != "" {
		e.key(k)
		e.name(s)
	}
}

func (e *buffer) sentenceOf(k, s string) {
	if s != "" {
		e.key(k)
		e.sentence(s)
	}
}

func (e *buffer) addrOf(k string, v uint64) {
	if v != 0 {
		e.key(k)
		e.addr(v)
	}
}

func (e *buffer) intOf(k string, v int64) {
	if v != 0 {
		e.key(k)
		e.int(v)
	}
}

func (e *buffer) boolOf(k string, v bool) {
	if v {
		e.key(k)
		e.bool(v)
	}
}

// list adds a member that is an array, unless n is 0.
func (e *buffer) list(k string, n int, each func(i int)) {
	if n > 0 {
		e.array(k, n, each)
	}
}

// array is list, also of nothing.
func (e *buffer) array(k string, n int, each func(i int)) {
	e.key(k)
	e.open('[')
	for i := range n {
		each(i)
	}
	e.close(']')
}
