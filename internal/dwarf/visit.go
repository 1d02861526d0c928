package dwarf

import "math"

// visit answers v.q from one unit.
func (v *visitor) visit(u *unit) *block {
	c := v.open(v.d, u)
	if c == nil {
		return nil
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
	return v.results(s)
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// results makes what is kept of a visit.
func (v *visitor) results(c *cu) *block {
	b := &block{spots: make([]spot, len(v.q))}
	r := results{v: v, c: c, b: b, nodes: make([]int32, len(v.nodes)), files: make(map[uint64]int32), names: make(map[int]nameOf)}
	for i := range r.nodes {
		r.nodes[i] = -1
	}
	for i := range v.q {
		s := &b.spots[i]
		s.file = -1
		if row := &v.rows[i]; row.found {
			s.file, s.line, s.column, s.discriminator = r.file(uint64(row.file)), row.line, row.column, row.discriminator
		}
		s.node = r.node(v.of[i])
	}
	return b
}

// results turns what a visit found into what is kept of it.
type results struct {
	v     *visitor
	c     *cu
	b     *block
	nodes []int32          // by number in v.nodes: that in b.nodes, -1
	files map[uint64]int32 // by number in the line table: that in b.files
	names map[int]nameOf   // by offset of the abstract entry
}

// file returns the number of a path, -1 where the line table has no such file.
func (r *results) file(n uint64) int32 {
	i, ok := r.files[n]
	if !ok {
		i = -1
		if path := r.v.lines.path(n); path != "" {
			i = int32(len(r.b.files))
			r.b.files = append(r.b.files, path)
		}
		r.files[n] = i
	}
	return i
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
	c := call{parent: r.node(nd.parent), name: -1, file: -1, inlined: nd.inlined}
	if e, ok := r.v.entryAt(r.c, nd.die); ok {
		c.name, c.linkage = r.name(nd.die, &e)
		if nd.inlined {
			r.call(&c, &e)
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

// nameOf is a name that was read.
type nameOf struct {
	index   int32 // in block.names, -1
	linkage bool
}

// name returns the number of the name of the entry at die. Entries that refer to
// the same one share its name.
func (r *results) name(die int, e *entry) (index int32, linkage bool) {
	key := die
	if a, ok := e.get(sOrigin); ok && e.has&(1<<sLinkage) == 0 {
		if off, local := r.c.ref(a); local {
			key = off
		}
	}
	n, ok := r.names[key]
	if !ok {
		n.index = -1
		var s string
		if s, n.linkage = r.v.name(r.c, die); s != "" {
			n.index = int32(len(r.b.names))
			r.b.names = append(r.b.names, s)
		}
		r.names[key] = n
	}
	return n.index, n.linkage
}
