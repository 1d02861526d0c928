package dwarf

// rangeIter goes through the ranges of an entry: the one of its attributes, or
// those of a list in .debug_ranges or .debug_rnglists (2.17.3).
type rangeIter struct {
	c    *cu
	one  Span // the only one, where b is nil
	b    []byte
	pos  int
	base uint64
	v5   bool
	dead bool // base is that of discarded code
	// steps counts the entries that were read.
	steps int
}

// iterate starts to go through the ranges of e. It reports false where e has none.
func (c *cu) iterate(e *entry) (it rangeIter, ok bool) {
	if a, has := e.get(sRanges); has {
		return c.list(a)
	}
	s, ok := c.span(e)
	return rangeIter{c: c, one: s}, ok
}

func (c *cu) list(a attr) (it rangeIter, ok bool) {
	it = rangeIter{c: c, base: c.low, b: c.rangeData}
	off := a.val
	switch {
	case c.u.sizes.version < 5:
		off += c.ranges
	case a.form == formRnglistx:
		it.v5, it.b = true, c.d.s.RngLists
		size := uint64(c.u.sizes.off)
		n := uint64(len(it.b))
		if off >= n || c.rnglists > n || off*size > n-c.rnglists {
			return it, false
		}
		rel, next := fixed(it.b, int(c.rnglists+off*size), int(size), c.d.big)
		if next > len(it.b) {
			return it, false
		}
		off = c.rnglists + rel
	default:
		it.v5, it.b = true, c.d.s.RngLists
	}
	if off >= uint64(len(it.b)) {
		return it, false
	}
	it.pos = int(off)
	return it, true
}

// next returns the next range that is not empty.
func (it *rangeIter) next() (s Span, ok bool) {
	if it.b == nil {
		s, it.one = it.one, Span{}
		return s, s.End > s.Start
	}
	if it.v5 {
		return it.next5()
	}
	size := int(it.c.u.sizes.addr)
	top := ^uint64(0) >> (64 - 8*size)
	for {
		it.steps++
		var lo, hi uint64
		lo, it.pos = fixed(it.b, it.pos, size, it.c.d.big)
		hi, it.pos = fixed(it.b, it.pos, size, it.c.d.big)
		switch {
		case it.pos > len(it.b) || lo == 0 && hi == 0:
			it.pos = past(it.b)
			return s, false
		case lo == top:
			it.base = hi
		case lo < hi:
			return Span{(it.base + lo) & top, (it.base + hi) & top}, true
		}
	}
}

// Range list entries (7.25).
const (
	rleEnd = iota
	rleBaseAddrx
	rleStartxEndx
	rleStartxLength
	rleOffsetPair
	rleBaseAddress
	rleStartEnd
	rleStartLength
)

func (it *rangeIter) next5() (s Span, ok bool) {
	b := it.b
	size := int(it.c.u.sizes.addr)
	big := it.c.d.big
	for it.pos < len(b) {
		it.steps++
		kind := b[it.pos]
		pos := it.pos + 1
		var x, y uint64
		known := true
		switch kind {
		case rleBaseAddrx:
			x, pos = uleb(b, pos)
			it.base, known = it.c.addrx(x)
			it.pos, it.dead = pos, !known
			continue
		case rleStartxEndx:
			x, pos = uleb(b, pos)
			y, pos = uleb(b, pos)
			if s.Start, known = it.c.addrx(x); known {
				s.End, known = it.c.addrx(y)
			}
		case rleStartxLength:
			x, pos = uleb(b, pos)
			y, pos = uleb(b, pos)
			s.Start, known = it.c.addrx(x)
			s.End = s.Start + y
		case rleOffsetPair:
			x, pos = uleb(b, pos)
			y, pos = uleb(b, pos)
			s = Span{it.base + x, it.base + y}
			known = !it.dead
		case rleBaseAddress:
			it.base, it.pos = fixed(b, pos, size, big)
			it.dead = false
			continue
		case rleStartEnd:
			s.Start, pos = fixed(b, pos, size, big)
			s.End, pos = fixed(b, pos, size, big)
		case rleStartLength:
			s.Start, pos = fixed(b, pos, size, big)
			y, pos = uleb(b, pos)
			s.End = s.Start + y
		default: // rleEnd, or what nobody knows
			it.pos = past(b)
			return s, false
		}
		if it.pos = pos; pos > len(b) {
			return s, false
		}
		if known && s.Start < s.End {
			return s, true
		}
	}
	return Span{}, false
}
