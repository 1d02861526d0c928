// Package jitmap names code that a JIT compiler has made while the program ran,
// by what the compiler tells about it: a perf map (/tmp/perf-PID.map) or a
// jitdump file (jit-PID.dump).
package jitmap

import (
	"slices"
	"unsafe"
)

// Table tells which function lies where. It never changes: any number of
// goroutines may use it.
type Table struct {
	los   []uint64 // where spans begin, ascending
	spans []span   // of the same numbers
	names names
	areas []area
	// bucket has for each 2^shift bytes of an area the number of the first
	// span that begins there or behind.
	bucket []uint32
}

// area is a part of the address space with spans in it. Programs have a few:
// the heap of the JIT compiler, the program's own text.
type area struct {
	lo     uint64 // where its first span begins
	shift  uint
	bucket uint32 // the number of its first bucket
	n      uint32 // of buckets
}

// gap is how much empty space makes two areas of one.
const gap = 16 << 20

func newTable(los []uint64, spans []span, names names) *Table {
	t := &Table{los: los, spans: spans, names: names}
	for first := 0; first < len(los); {
		end := first + 1
		for end < len(los) && los[end]-los[end-1]-uint64(spans[end-1].size) < gap {
			end++
		}
		t.addArea(first, end)
		first = end
	}
	return t
}

// addArea makes the area of the spans from first up to end, with a bucket for
// two of them.
func (t *Table) addArea(first, end int) {
	lo, extent := t.los[first], t.los[end-1]-t.los[first]
	a := area{lo: lo, bucket: uint32(len(t.bucket))}
	for extent>>a.shift > uint64(end-first)/2 {
		a.shift++
	}
	a.n = uint32(extent>>a.shift) + 1
	t.bucket = slices.Grow(t.bucket, int(a.n)+1)
	i := first
	for k := range uint64(a.n) {
		for t.los[i]-lo < k<<a.shift { // ends at the last one, in the last bucket
			i++
		}
		t.bucket = append(t.bucket, uint32(i))
	}
	t.bucket = append(t.bucket, uint32(end))
	t.areas = append(t.areas, a)
}

// find returns the number of the last span that begins at or below addr, or -1.
func (t *Table) find(addr uint64) int {
	lo, hi := 0, len(t.areas)
	for lo < hi { // the areas that begin at or below addr are those below lo
		if mid := (lo + hi) / 2; t.areas[mid].lo <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return -1
	}
	a := &t.areas[lo-1]
	k := a.bucket + uint32(min((addr-a.lo)>>a.shift, uint64(a.n-1)))
	lo, hi = int(t.bucket[k]), int(t.bucket[k+1])
	for lo < hi {
		if mid := (lo + hi) / 2; t.los[mid] <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
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
	i := t.find(addr)
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
