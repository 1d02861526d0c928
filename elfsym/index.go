package elfsym

import (
	"math/bits"
	"slices"
)

// index answers which symbol covers a coordinate (see area). The nesting of the
// symbols is resolved when it is built: each stretch of addresses has one owner.
type index struct {
	stretches []stretch
	parts     []part
	// bucket holds for each 2^shift coordinates the last stretch that begins
	// at or before the first of them.
	bucket []uint32
	shift  uint
}

// stretch is a range of coordinates, up to the next stretch, with one owner.
type stretch struct {
	start uint32
	// owner is a Ref, none, or, if isPart is set, a place in parts.
	owner uint32
}

// isPart marks the owner of a stretch that does not begin where its symbol does:
// the rest of a function behind one nested in it.
const isPart = 1 << 31

type part struct{ ref, start uint32 }

// own gives the coordinates from pos on to ref, whose symbol starts at start.
func (ix *index) own(pos, ref, start uint32) {
	owner := ref
	if ref != none && start != pos {
		owner = isPart | uint32(len(ix.parts))
		ix.parts = append(ix.parts, part{ref, start})
	}
	if n := len(ix.stretches); n > 0 {
		switch last := &ix.stretches[n-1]; {
		case last.start == pos:
			last.owner = owner
			return
		case last.owner == none && owner == none:
			return
		}
	}
	ix.stretches = append(ix.stretches, stretch{pos, owner})
}

// owner returns the Ref that stretch i belongs to, or none, and the coordinate
// of the symbol's start.
func (ix *index) owner(i int) (ref, start uint32) {
	s := ix.stretches[i]
	if s.owner&isPart == 0 || s.owner == none {
		return s.owner, s.start
	}
	p := ix.parts[s.owner&^isPart]
	return p.ref, p.start
}

// find returns the Ref that owns a coordinate, or none, and its start.
func (ix *index) find(coord uint32) (ref, start uint32) {
	b := coord >> ix.shift
	lo, hi := int(ix.bucket[b]), int(ix.bucket[b+1])
	for lo < hi { // the last stretch that begins at or before coord
		mid := int(uint(lo+hi+1) >> 1)
		if ix.stretches[mid].start <= coord {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return ix.owner(lo)
}

// seal builds the buckets, about one for each stretch, and drops spare capacity.
func (ix *index) seal(total uint32) {
	ix.stretches = slices.Clip(ix.stretches)
	ix.shift = uint(max(0, bits.Len32(total)-bits.Len(uint(len(ix.stretches)))))
	n := int(total>>ix.shift) + 1
	ix.bucket = make([]uint32, n+1)
	i := 0
	for b := range n {
		for i+1 < len(ix.stretches) && ix.stretches[i+1].start <= uint32(b)<<ix.shift {
			i++
		}
		ix.bucket[b] = uint32(i)
	}
	ix.bucket[n] = uint32(len(ix.stretches) - 1)
}

// buildIndex makes the index of all tables. What the first table leaves without
// an owner goes to the second one's.
func (im *Image) buildIndex() *index {
	ix := &index{stretches: []stretch{{0, none}}}
	for i, t := range im.tables {
		next := t.flatten(&im.areas)
		if i == 0 {
			ix = next
		} else {
			ix = overlay(ix, next)
		}
	}
	ix.seal(im.areas.total)
	return ix
}

// overlay merges two indexes: a's owners, and b's where a has none.
func overlay(a, b *index) *index {
	out := &index{}
	for i, j := 0, 0; i < len(a.stretches) || j < len(b.stretches); {
		var pos uint32
		switch {
		case j == len(b.stretches) || i < len(a.stretches) && a.stretches[i].start <= b.stretches[j].start:
			pos = a.stretches[i].start
			if j < len(b.stretches) && b.stretches[j].start == pos {
				j++
			}
			i++
		default:
			pos = b.stretches[j].start
			j++
		}
		// Both begin at 0, so that i and j are above 0 from here on.
		ref, start := a.owner(i - 1)
		if ref == none {
			ref, start = b.owner(j - 1)
		}
		if n := len(out.stretches); n > 0 && ref != none {
			if last, lastStart := out.owner(n - 1); last == ref && lastStart == start {
				continue
			}
		}
		out.own(pos, ref, start)
	}
	return out
}

// open is a symbol that covers the position of the sweep, or did.
type open struct {
	ref, start, end uint32
	sizeless        bool
}

// sweep goes over the symbols of a table in the order of their starts. Of those
// on the stack that are not over yet the topmost is the innermost.
type sweep struct {
	ix    *index
	stack []open
}

// until ends the symbols that end at or before pos, innermost first.
func (sw *sweep) until(pos uint32) {
	for len(sw.stack) > 0 && sw.stack[len(sw.stack)-1].end <= pos {
		end := sw.stack[len(sw.stack)-1].end
		for len(sw.stack) > 0 && sw.stack[len(sw.stack)-1].end <= end {
			sw.stack = sw.stack[:len(sw.stack)-1]
		}
		if n := len(sw.stack); n > 0 {
			sw.ix.own(end, sw.stack[n-1].ref, sw.stack[n-1].start)
		} else {
			sw.ix.own(end, none, 0)
		}
	}
}

// rival is one of the symbols that start at the same place.
type rival struct {
	sym symbol
	num uint32
}

// flatten makes the stretches of one table.
func (t *table) flatten(as *areas) *index {
	keys := t.keys(as)
	sw := sweep{ix: &index{stretches: []stretch{{0, none}}}}
	var sized, sizeless []rival
	for i := 0; i < len(keys); {
		start := uint32(keys[i] >> 32)
		at := as.at(start)
		addr := at.addr(start)
		sized, sizeless = sized[:0], sizeless[:0]
		for ; i < len(keys) && uint32(keys[i]>>32) == start; i++ {
			num := uint32(keys[i])
			s := t.at(num)
			s.value = addr // the file may have changed since keys read it
			if s.size > 0 {
				sized = append(sized, rival{s, num})
			} else {
				sizeless = append(sizeless, rival{s, num})
			}
		}
		sw.until(start)
		// Any symbol ends the reach of a sizeless one.
		if n := len(sw.stack); n > 0 && sw.stack[n-1].sizeless {
			sw.stack = sw.stack[:n-1]
		}
		switch {
		case len(sized) > 0:
			sw.push(t, sized, start, at)
		case len(sw.stack) == 0:
			best := sizeless[0]
			for _, r := range sizeless[1:] {
				if t.better(&r.sym, r.num, &best.sym, best.num) {
					best = r
				}
			}
			sw.stack = append(sw.stack, open{uint32(t.first) + best.num, start, at.end(), true})
		default:
			continue // inside a sized symbol: names nothing
		}
		top := &sw.stack[len(sw.stack)-1]
		sw.ix.own(start, top.ref, top.start)
	}
	sw.until(as.total)
	return sw.ix
}

// push puts the sized symbols that start at start on the stack, the best on top.
// One that ends no later than a better one never shows.
func (sw *sweep) push(t *table, sized []rival, start uint32, at *area) {
	if len(sized) > 1 {
		slices.SortFunc(sized, func(a, b rival) int {
			switch {
			case a.num == b.num:
				return 0
			case t.better(&a.sym, a.num, &b.sym, b.num):
				return -1
			}
			return 1
		})
	}
	bottom, longest := len(sw.stack), uint32(0)
	room := at.end() - start
	for _, r := range sized {
		end := start + room
		if r.sym.size < uint64(room) {
			end = start + uint32(r.sym.size)
		}
		if end > longest {
			longest = end
			sw.stack = append(sw.stack, open{uint32(t.first) + r.num, start, end, false})
		}
	}
	slices.Reverse(sw.stack[bottom:])
}

// keys lists the candidates as coordinate<<32 | symbol number, sorted.
func (t *table) keys(as *areas) []uint64 {
	keys := make([]uint64, 0, t.n/2)
	for i := uint32(0); i < t.n; i++ {
		s := t.at(i)
		if at, ok := as.find(s.value); ok && t.candidate(&s) {
			keys = append(keys, uint64(at.base+uint32(s.value-at.lo))<<32|uint64(i))
		}
	}
	return sortKeys(keys, bits.Len32(as.total))
}

// sortKeys sorts keys by their upper half, of which only the low width bits are
// ever set. The sort is stable. It may return another slice.
func sortKeys(keys []uint64, width int) []uint64 {
	if len(keys) < 512 {
		slices.Sort(keys)
		return keys
	}
	const digit = 11
	other := make([]uint64, len(keys))
	for shift := 32; shift < 32+width; shift += digit {
		var at [1 << digit]int
		for _, k := range keys {
			at[k>>shift&(1<<digit-1)]++
		}
		sum := 0
		for d, n := range at {
			at[d] = sum
			sum += n
		}
		for _, k := range keys {
			d := k >> shift & (1<<digit - 1)
			other[at[d]] = k
			at[d]++
		}
		keys, other = other, keys
	}
	return keys
}
