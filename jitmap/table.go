// Package jitmap names code that a JIT compiler has made while the program ran,
// by what the compiler tells about it: a perf map (/tmp/perf-PID.map) or a
// jitdump file (jit-PID.dump).
package jitmap

import (
	"sort"
	"unsafe"
)

// Table tells which function lies where. It never changes: any number of
// goroutines may use it.
type Table struct {
	los   []uint64 // where spans begin, ascending
	spans []span   // of the same numbers
	names names
}

// span is a range of addresses that belongs to one function: all of it, or what
// later ones have left of it.
type span struct {
	size uint32
	back uint32 // how far before the span the function begins
	name name
}

// Len returns the number of spans.
func (t *Table) Len() int { return len(t.los) }

// Lookup finds the function that holds the address addr: the one that was
// reported last of those that cover it. start is where that function begins.
// It allocates nothing.
func (t *Table) Lookup(addr uint64) (name string, start uint64, ok bool) {
	i := sort.Search(len(t.los), func(i int) bool { return t.los[i] > addr }) - 1
	if i < 0 {
		return "", 0, false
	}
	lo, s := t.los[i], &t.spans[i]
	if addr-lo >= uint64(s.size) {
		return "", 0, false
	}
	return t.names.get(s.name), lo - uint64(s.back), true
}

// name is the place of a name in names: the number of its chunk, its place
// there, and its length. A function without a name has the zero value.
type name struct {
	chunk uint32
	at    uint16
	len   uint16
}

// chunkSize is the size of a piece of memory that holds names. Pieces are not
// moved, so that tables share them.
const chunkSize = 1 << 16

// maxName is how much of a name is kept.
const maxName = 4096

// names holds the bytes of names. What has been added never changes.
type names [][]byte

// add keeps a copy of b, of which there are maxName bytes at most.
func (n *names) add(b []byte) name {
	b = b[:min(len(b), maxName)]
	if len(b) == 0 {
		return name{}
	}
	last := len(*n) - 1
	if last < 0 || cap((*n)[last])-len((*n)[last]) < len(b) {
		*n = append(*n, make([]byte, 0, chunkSize))
		last++
	}
	c := &(*n)[last]
	at := len(*c)
	*c = append(*c, b...)
	return name{uint32(last), uint16(at), uint16(len(b))}
}

// get returns a name in place.
func (n names) get(r name) string {
	if r.len == 0 {
		return ""
	}
	b := n[r.chunk][r.at:][:r.len]
	return unsafe.String(&b[0], len(b)) // never written to again
}
