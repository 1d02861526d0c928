package dwarf

import (
	"math"
	"slices"
)

// visit answers v.q from one unit. spots are those of v.q, nil for a unit that
// cannot be read; they hold until the next visit.
func (v *visitor) visit(u *unit) (b block, spots []spot) {
	v.recycle()
	c := v.open(v.d, u)
	if c == nil {
		return b, nil
	}
	v.work = minWork + 16*(u.end-u.off) + 64*len(v.q)
	v.nodes = v.nodes[:0]
	v.of = resize(v.of, len(v.q))
	v.rows = resize(v.rows, len(v.q))
	for i := range v.of {
		v.of[i] = -1
	}
	clear(v.rows)

	s := v.splitOf(c)
	v.match(s)
	v.lines.ok = false
	if a, ok := c.root.get(sStmtList); ok && v.lines.readHeader(c, a.val) {
		v.runLines()
	}
	return v.answers(s)
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// answers makes what is kept of a visit.
func (v *visitor) answers(c *cu) (block, []spot) {
	r := &v.results
	r.v, r.c, r.b = v, c, block{}
	r.nodes = resize(r.nodes, len(v.nodes))
	for i := range r.nodes {
		r.nodes[i] = -1
	}
	r.files = resize(r.files, len(v.lines.files))
	for i := range r.files {
		r.files[i] = notAsked
	}
	if len(r.names) > maxKeptNames {
		r.names = nil
	}
	clear(r.names)
	v.spots = resize(v.spots, len(v.q))
	for i := range v.q {
		s := spot{file: -1}
		if row := &v.rows[i]; row.found {
			s = spot{file: r.file(uint64(row.file)), line: row.line, column: row.column, discriminator: row.discriminator}
		}
		s.node = r.node(v.of[i])
		v.spots[i] = s
	}
	r.b.nodes, r.b.names, r.b.files = slices.Clip(r.b.nodes), slices.Clip(r.b.names), slices.Clip(r.b.files)
	return r.b, v.spots
}

// results turns what a visit found into what is kept of it. A visitor uses it again
// and again.
type results struct {
	v     *visitor
	c     *cu
	b     block
	nodes []int32       // by number in v.nodes: that in b.nodes, -1
	files []int32       // by number in the line table: that in b.files, -1, notAsked
	names map[int]int32 // by offset of the abstract entry: that in b.names
	path  []byte        // room for a path
}

const (
	notAsked     = -2
	maxKeptNames = 1 << 12
)

// file returns the number of a path, -1 where the line table has no such file.
func (r *results) file(n uint64) int32 {
	if n >= uint64(len(r.files)) {
		return -1
	}
	if r.files[n] == notAsked {
		r.files[n] = -1
		if r.path = r.v.lines.appendPath(r.path[:0], n); len(r.path) > 0 {
			r.files[n] = int32(len(r.b.files))
			r.b.files = append(r.b.files, r.v.d.texts.path(r.path))
		}
	}
	return r.files[n]
}

// node keeps a node and those around it.
func (r *results) node(n int32) int32 {
	if n < 0 {
		return -1
	}
	if r.nodes[n] >= 0 {
		return r.nodes[n]
	}
	// Parents come before their children in v.nodes, so that this ends.
	nd := r.v.nodes[n]
	c := call{name: -1, parent: r.node(nd.parent), file: -1, inlined: nd.inlined}
	if nd.inlined || !r.v.d.o.Inlined {
		if e, ok := r.v.entryAt(r.c, nd.die); ok {
			c.name = r.name(nd.die, &e)
			if nd.inlined {
				r.call(&c, &e)
			}
		}
	}
	r.nodes[n] = int32(len(r.b.nodes))
	r.b.nodes = append(r.b.nodes, c)
	return r.nodes[n]
}

// call reads where an inlined call is (3.3.8.2).
func (r *results) call(c *call, e *entry) {
	if a, ok := e.get(sCallFile); ok && r.v.lines.ok {
		c.file = r.file(a.val)
	}
	if a, ok := e.get(sCallLine); ok {
		c.line = uint32(min(a.val, math.MaxUint32))
	}
	if a, ok := e.get(sCallColumn); ok {
		c.column = uint32(min(a.val, math.MaxUint32))
	}
}

// name returns the number of the name of the entry at die, whose attributes are e.
// Entries that refer to the same one share its name.
func (r *results) name(die int, e *entry) int32 {
	key := die
	if a, ok := e.get(sOrigin); ok && e.has&(1<<sLinkage) == 0 {
		if off, local := r.c.ref(a); local {
			key = off
		}
	}
	n, ok := r.names[key]
	if !ok {
		n = int32(len(r.b.names))
		r.b.names = append(r.b.names, r.v.name(r.c, die))
		if r.names == nil {
			r.names = make(map[int]int32)
		}
		r.names[key] = n
	}
	return n
}
