package dwarf

// visitor holds what one goroutine needs to visit units. It keeps what it has
// compiled, up to some number, since units share abbreviations.
type visitor struct {
	d      *Data
	tables map[tableKey]*table
	spare  []*table // to be used again
	cus    map[*unit]*cu

	roots   map[rootKey]abbrev // of root entries
	rootTab table

	work  int // bytes and list entries that may still be read in this visit
	seen  int // bytes of units visited since the last Release
	stack []frame
	nodes []node
	q     []uint64 // the addresses looked for, sorted
	of    []int32  // the node of each, -1
	rows  []row
	lines lineTable
	spots []spot

	results results
}

type tableKey struct {
	d   *Data
	off uint64
	s   sizes
}

// How many compiled tables and opened units a visitor keeps.
const (
	maxTables = 256
	maxOpen   = 512
)

func newVisitor(d *Data) *visitor {
	return &visitor{d: d, tables: make(map[tableKey]*table), cus: make(map[*unit]*cu), work: minWork}
}

// table returns the compiled abbreviations of a unit.
func (v *visitor) table(d *Data, u *unit) *table {
	k := tableKey{d, u.abbrevOff, u.sizes}
	if t, ok := v.tables[k]; ok {
		return t
	}
	if len(v.tables) >= maxTables {
		clear(v.tables)
		clear(v.cus)
	}
	var b []byte
	if u.abbrevOff < uint64(len(d.s.Abbrev)) {
		b = d.s.Abbrev[u.abbrevOff:]
	}
	t := new(table)
	if n := len(v.spare); n > 0 {
		t, v.spare = v.spare[n-1], v.spare[:n-1]
	}
	t.compile(b, u.sizes)
	v.tables[k] = t
	return t
}

// recycle makes room for what the next visit compiles. Nothing that the visits
// before have opened is used any more.
func (v *visitor) recycle() {
	if len(v.tables) < maxTables/2 && len(v.cus) < maxOpen/2 {
		return
	}
	for _, t := range v.tables {
		v.spare = append(v.spare, t)
	}
	v.spare = v.spare[:min(len(v.spare), maxTables/2)]
	clear(v.tables)
	clear(v.cus)
}

// frame is an entry of the walk that is not closed yet: a function.
type frame struct {
	depth   int32
	node    int32 // -1 as long as it is not needed
	die     int   // its offset in the section
	inlined bool
}

// node is a function or an inlined call that covers an address looked for.
type node struct {
	parent  int32 // the function around it, -1
	inlined bool
	die     int
}

// Limits of a visit. Compilers nest some tens deep.
const (
	maxDepth = 1 << 12
	minWork  = 1 << 20
)

// functions calls yield for the ranges of each function of a unit that is not
// inlined.
func (v *visitor) functions(u *unit, yield func(Span)) {
	c := v.open(v.d, u)
	if c == nil {
		return
	}
	v.work = minWork + 8*(u.end-u.off)
	v.walk(c, func(e *entry, inlined bool) {
		if inlined {
			return
		}
		it, ok := c.iterate(e)
		for ok {
			var s Span
			if s, ok = v.next(&it); ok {
				yield(s)
			}
		}
	})
}

// match finds the functions of c that cover addresses of v.q, and sets v.of.
func (v *visitor) match(c *cu) {
	v.walk(c, func(e *entry, inlined bool) {
		it, ok := c.iterate(e)
		node := int32(-1)
		for ok {
			s, more := v.next(&it)
			if !more {
				break
			}
			if s.Start > v.q[len(v.q)-1] || s.End <= v.q[0] {
				continue
			}
			i := v.find(s.Start)
			if i == len(v.q) || v.q[i] >= s.End || !v.d.isCode(s.Start) {
				continue
			}
			if node < 0 {
				node = v.newNode()
			}
			for ; i < len(v.q) && v.q[i] < s.End; i++ {
				v.of[i] = node
				v.work--
			}
		}
	})
}

// next returns the next range of it. What it reads for that is work.
func (v *visitor) next(it *rangeIter) (s Span, ok bool) {
	if v.work <= 0 {
		v.d.note(it.c.u, "its range lists are longer than what a unit's are")
		return s, false
	}
	s, ok = it.next()
	v.work -= 1 + it.steps
	it.steps = 0
	return s, ok
}

// find returns the index of the first address looked for at or above addr.
func (v *visitor) find(addr uint64) int {
	lo, hi := 0, len(v.q)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if v.q[mid] < addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// newNode makes a node of the innermost entry of the stack and of those around it.
func (v *visitor) newNode() int32 {
	i := len(v.stack)
	for i > 0 && v.stack[i-1].node < 0 {
		i--
		if !v.stack[i].inlined {
			break
		}
	}
	for ; i < len(v.stack); i++ {
		f := &v.stack[i]
		n := node{parent: -1, inlined: f.inlined, die: f.die}
		if f.inlined && i > 0 {
			n.parent = v.stack[i-1].node
		}
		f.node = int32(len(v.nodes))
		v.nodes = append(v.nodes, n)
	}
	return v.stack[len(v.stack)-1].node
}

// walk calls found for each function and inlined call of the unit that has an
// address. v.stack holds the entry and the functions around it meanwhile.
func (v *visitor) walk(c *cu, found func(e *entry, inlined bool)) {
	b, t := c.b, c.tab
	v.stack = v.stack[:0]
	v.work -= len(b) - c.u.off
	depth := int32(0)
	var e entry
	for pos := c.u.root; pos < len(b); {
		die := pos
		var code uint64
		if code = uint64(b[pos]); code < 0x80 {
			pos++
		} else if code, pos = uleb(b, pos); pos > len(b) {
			v.d.note(c.u, "an entry reaches beyond the end of its unit")
			return
		}
		if code == 0 {
			if depth--; depth <= 0 {
				return
			}
			if n := len(v.stack); n > 0 && v.stack[n-1].depth == depth {
				v.stack = v.stack[:n-1]
			}
			continue
		}
		var a *abbrev
		if code-1 < uint64(len(t.dense)) {
			a = &t.dense[code-1]
		} else if a = t.abbrev(code); a == nil {
			v.d.note(c.u, "an entry has an abbreviation that is not there")
			return
		}
		switch {
		case a.bad:
			v.d.note(c.u, "an attribute has an unknown form")
			return
		case a.function:
			e.has = 0
			if pos = t.run(b, pos, a, &e); pos > len(b) {
				v.d.note(c.u, "an entry reaches beyond the end of its unit")
				return
			}
			if len(v.stack) >= maxDepth {
				v.d.note(c.u, "functions are nested deeper than what is read")
				return
			}
			// Its children are at depth+1.
			v.stack = append(v.stack, frame{depth, -1, die, a.tag == tagInlined})
			if e.has&(1<<sLow|1<<sRanges) != 0 {
				found(&e, a.tag == tagInlined)
			}
			if !a.kids {
				v.stack = v.stack[:len(v.stack)-1]
			}
		case a.leaf && len(v.stack) == 0:
			// Within a function, closures and other local classes hold code.
			e.has = 0
			pos = t.run(b, pos, a, &e)
			if next, ok := c.sibling(&e, pos); ok {
				pos = next
				continue
			}
		case a.size >= 0:
			pos += int(a.size)
		default:
			e.has = 0
			pos = t.run(b, pos, a, &e)
		}
		if a.kids {
			depth++
		} else if depth == 0 {
			return
		}
	}
}

// sibling returns where the entry behind the children of e is.
func (c *cu) sibling(e *entry, pos int) (next int, ok bool) {
	a, ok := e.get(sSibling)
	if !ok {
		return 0, false
	}
	next, ok = c.ref(a)
	return next, ok && next > pos && next < len(c.b)
}

// ref returns the offset in .debug_info that a reference within the unit means.
func (c *cu) ref(a attr) (off int, ok bool) {
	switch a.form {
	case formRef1, formRef2, formRef4, formRef8, formRefUdata:
		if a.val < uint64(len(c.b)-c.u.off) {
			return c.u.off + int(a.val), true
		}
	case formRefAddr:
		if a.val < uint64(len(c.b)) {
			return int(a.val), true
		}
	}
	return 0, false
}

// follow returns the unit that a reference in c leads to, and the offset.
func (v *visitor) follow(c *cu, a attr) (*cu, int) {
	d := c.d
	switch a.form {
	case formRefSup4, formRefSup8:
		if d = d.o.Alt; d == nil {
			return nil, 0
		}
	case formRefAddr:
	default:
		if off, ok := c.ref(a); ok && off >= c.u.root {
			return c, off
		}
		return nil, 0
	}
	u := d.unitAt(a.val)
	switch {
	case u == nil:
		return nil, 0
	case u == c.u:
		return c, int(a.val)
	}
	return v.open(d, u), int(a.val)
}
