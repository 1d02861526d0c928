package elfsym

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"

	"github.com/gatedso/bt/internal/guard"
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

// seal builds the buckets, two or more for a stretch, and drops spare capacity.
func (ix *index) seal(total uint32) {
	ix.stretches = slices.Clip(ix.stretches)
	ix.shift = uint(max(0, bits.Len32(total)-bits.Len(uint(len(ix.stretches)))-1))
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
	// The tables do not depend on each other: each on a CPU of its own.
	flat := make([]*index, len(im.tables))
	faults := make([]error, len(im.tables))
	var wg sync.WaitGroup
	for i, t := range im.tables {
		guard.Go(&wg, func() {
			faults[i] = guard.Read(func() error {
				flat[i] = t.flatten(im)
				return nil
			})
		})
	}
	wg.Wait()
	ix := &index{stretches: []stretch{{0, none}}}
	for i, next := range flat {
		switch {
		case faults[i] != nil:
		case i == 0:
			ix = next
		default:
			ix = overlay(ix, next)
		}
	}
	ix.seal(im.areas.total)
	return ix
}

// overlay merges two indexes: a's owners, and b's where a has none.
func overlay(a, b *index) *index {
	out := &index{stretches: make([]stretch, 0, len(a.stretches)+len(b.stretches)/8)}
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

// candidate is a symbol on its way into the index: what deciding takes, so that
// the table is read in its own order.
type candidate struct {
	start uint32 // coordinate
	size  uint32 // up to the end of the area; 0: sizeless
	num   uint32
	rank  uint32 // nameRanks times symbol.rank, plus table.nameRank where it matters
}

// flatten makes the stretches of one table.
func (t *table) flatten(im *Image) *index {
	as := &im.areas
	cands := t.candidates(as)
	t.rankNames(cands, im.dropPages)
	ix := &index{stretches: make([]stretch, 1, len(cands)+len(cands)/4+16)}
	ix.stretches[0] = stretch{0, none}
	sw := sweep{ix: ix}
	areaEnd, nextArea := uint32(0), 0
	for len(cands) > 0 {
		start := cands[0].start
		n := 1
		for n < len(cands) && cands[n].start == start {
			n++
		}
		group := cands[:n]
		cands = cands[n:]
		for start >= areaEnd {
			areaEnd = as.list[nextArea].end()
			nextArea++
		}
		if n := len(sw.stack); n > 0 && sw.stack[n-1].end <= start {
			sw.until(start)
		}
		// Any symbol ends the reach of a sizeless one.
		if n := len(sw.stack); n > 0 && sw.stack[n-1].sizeless {
			sw.stack = sw.stack[:n-1]
		}
		best := t.best(group)
		switch {
		case best.size > 0:
			sw.push(t, group, best)
		case len(sw.stack) == 0:
			sw.stack = append(sw.stack, open{uint32(t.first) + best.num, start, areaEnd, true})
		default:
			continue // inside a sized symbol: names nothing
		}
		top := &sw.stack[len(sw.stack)-1]
		ix.own(start, top.ref, top.start)
	}
	sw.until(as.total)
	return ix
}

// best picks the one that names the common start of a group.
func (t *table) best(group []candidate) candidate {
	best := group[0]
	for _, c := range group[1:] {
		if t.before(c, best) {
			best = c
		}
	}
	return best
}

// before orders candidates with the same start, which differ in their numbers.
func (t *table) before(a, b candidate) bool {
	if (a.size > 0) != (b.size > 0) {
		return a.size > 0
	}
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.num < b.num
}

// push puts the sized symbols of a group on the stack, the best on top. One that
// ends no later than a better one never shows.
func (sw *sweep) push(t *table, group []candidate, best candidate) {
	bottom, longest := len(sw.stack), best.size
	put := func(c candidate) {
		sw.stack = append(sw.stack, open{uint32(t.first) + c.num, c.start, c.start + c.size, false})
	}
	put(best)
	if len(group) == 1 {
		return
	}
	group = slices.DeleteFunc(group, func(c candidate) bool { return c.size <= longest })
	if len(group) > 0 {
		slices.SortFunc(group, func(a, b candidate) int {
			switch {
			case a.num == b.num:
				return 0
			case t.before(a, b):
				return -1
			}
			return 1
		})
		for _, c := range group {
			if c.size > longest {
				longest = c.size
				put(c)
			}
		}
	}
	slices.Reverse(sw.stack[bottom:])
}

// candidates lists the symbols that may name addresses, by start.
func (t *table) candidates(as *areas) []candidate {
	cands := make([]candidate, 0, t.n) // smaller than the table itself
	for i := range t.n {
		s := t.at(i)
		if s.value-as.lo >= as.span || !t.candidate(&s) {
			continue
		}
		if at, ok := as.find(s.value); ok {
			off := s.value - at.lo
			cands = append(cands, candidate{at.base + uint32(off), uint32(min(s.size, at.size-off)), i, uint32(s.rank()) * nameRanks})
		}
	}
	return sortByStart(cands, bits.Len32(as.total))
}

// rankNames adds what names decide to the ranks of those candidates that share
// their start with others. Names lie in the order of the table more or less: in
// this order few pages are needed at a time, of a string table of many megabytes.
func (t *table) rankNames(cands []candidate, dropPages func()) {
	ranks := make([]uint32, t.n) // by number; 0: shares its start with none
	for i := 1; i < len(cands); i++ {
		if a, b := &cands[i-1], &cands[i]; a.start == b.start {
			ranks[a.num], ranks[b.num] = 1, 1
		}
	}
	dropPages()
	read := 0
	for num := range ranks {
		if ranks[num] == 0 {
			continue
		}
		s := t.at(uint32(num))
		ranks[num] = uint32(t.nameRank(&s))
		if read++; read%4096 == 0 {
			dropPages()
		}
	}
	dropPages()
	for i := range cands {
		cands[i].rank += ranks[cands[i].num]
	}
}

// sortByStart sorts by the starts, of which only the low width bits are ever
// set. It is stable, and may return another slice.
func sortByStart(cands []candidate, width int) []candidate {
	if len(cands) < 256 {
		slices.SortStableFunc(cands, func(a, b candidate) int { return cmp.Compare(a.start, b.start) })
		return cands
	}
	const digit = 11
	other := make([]candidate, len(cands))
	for shift := 0; shift < width; shift += digit {
		var at [1 << digit]uint32
		for i := range cands {
			at[cands[i].start>>shift&(1<<digit-1)]++
		}
		sum := uint32(0)
		for d, n := range at {
			at[d] = sum
			sum += n
		}
		for i := range cands {
			d := cands[i].start >> shift & (1<<digit - 1)
			other[at[d]] = cands[i]
			at[d]++
		}
		cands, other = other, cands
	}
	return cands
}
