package dwarf

import (
	"cmp"
	"slices"
	"sort"
	"sync/atomic"
)

// index tells which units cover an address.
type index struct {
	spans []unitSpan // sorted by start
	top   []uint64   // the largest end of spans[:i+1]
}

type unitSpan struct {
	Span
	unit int32
}

// maxWork bounds the entries of range lists that are read for all root entries:
// those that the sections can hold, four times over.
func (d *Data) maxWork() int {
	return (len(d.s.Ranges)/4+len(d.s.RngLists)+len(d.s.Aranges)/4)*4 + 1<<16
}

// rootSpans calls yield for each range of the root entries of the units from lo up to hi,
// and bare for the units that do not tell by those where all of their code is: has is
// true of one of version 2, which tells one range, even if the unit has code elsewhere.
// It takes from work what it reads. yield is nil where ranges are not wanted.
func (d *Data) rootSpans(v *visitor, lo, hi int, work *int, yield func(s Span, unit int), bare func(unit int, has bool)) {
	units := d.units()
	for i := lo; i < hi; i++ {
		u := &units[i]
		if u.typ == unitPartial || u.typ == unitSplitCompile {
			continue
		}
		c := v.openRoot(u)
		if c == nil {
			continue
		}
		it, has := c.iterate(&c.root)
		for has && yield != nil && *work > 0 {
			s, ok := it.next()
			if *work -= 1 + it.steps; !ok {
				break
			}
			it.steps = 0
			yield(s, i)
		}
		if !has || u.sizes.version == 2 {
			bare(i, has)
		}
	}
}

// aranges reads .debug_aranges (6.1.2): for the units without ranges it calls
// yield, unless silent. It returns which units the section lists.
func (d *Data) aranges(v *visitor, silent bool, yield func(s Span, unit int)) []bool {
	units := d.units()
	told := make([]bool, len(units))
	b := d.s.Aranges
	for pos := 0; pos < len(b); {
		end, p, off := initialLength(b, pos, d.big)
		if end > len(b) || end <= pos {
			break
		}
		start := pos
		pos = end
		version, p := fixed(b, p, 2, d.big)
		info, p := fixed(b, p, off, d.big)
		if version != 2 || p+2 > end || (b[p] != 4 && b[p] != 8) || b[p+1] != 0 {
			continue
		}
		i := sort.Search(len(units), func(i int) bool { return uint64(units[i].off) >= info })
		if i == len(units) || uint64(units[i].off) != info {
			continue
		}
		wanted := !silent && (units[i].sizes.version == 2 || !v.hasRanges(&units[i]))
		size := int(b[p])
		p += 2
		p = start + (p-start+2*size-1)/(2*size)*(2*size)
		for p+2*size <= end {
			lo, _ := fixed(b, p, size, d.big)
			n, _ := fixed(b, p+size, size, d.big)
			p += 2 * size
			if n != 0 && lo+n > lo {
				told[i] = true
				if wanted {
					yield(Span{lo, lo + n}, i)
				}
			}
		}
	}
	return told
}

// listedUnit returns the unit that .debug_aranges lists for an address, nil if it
// lists none.
func (d *Data) listedUnit(addr uint64) *unit {
	b := d.s.Aranges
	for pos := 0; pos < len(b); {
		start := pos
		end, p, off := initialLength(b, pos, d.big)
		if end > len(b) || end <= pos {
			return nil
		}
		pos = end
		version, p := fixed(b, p, 2, d.big)
		info, p := fixed(b, p, off, d.big)
		if version != 2 || p+2 > end || (b[p] != 4 && b[p] != 8) || b[p+1] != 0 {
			continue
		}
		size := int(b[p])
		p += 2
		p = start + (p-start+2*size-1)/(2*size)*(2*size)
		for ; p+2*size <= end; p += 2 * size {
			lo, _ := fixed(b, p, size, d.big)
			n, _ := fixed(b, p+size, size, d.big)
			if addr-lo >= n || !d.isCode(lo) || info >= uint64(len(d.s.Info)) {
				continue
			}
			if u, ok := readHeader(d.s.Info, int(info), d.big); ok && u.end <= len(d.s.Info) {
				return &u
			}
		}
	}
	return nil
}

// hasRanges reports whether a unit's root entry tells where its code is.
func (v *visitor) hasRanges(u *unit) bool {
	c := v.openRoot(u)
	return c != nil && (c.root.has&(1<<sRanges) != 0 || c.root.has&(1<<sLow|1<<sHigh) == 1<<sLow|1<<sHigh)
}

// indexBlock is how many units' root entries one goroutine reads at a time.
const indexBlock = 16

// buildIndex makes the index of the units' ranges, which are those of their root entries,
// and those that .debug_aranges gives for a unit without.
func (d *Data) buildIndex() *index {
	d.many.Store(true)
	blocks := (len(d.units()) + indexBlock - 1) / indexBlock
	if blocks > releaseBlocks && d.o.Release != nil {
		d.o.Release()
	}
	parts := make([]index, blocks)
	var bare atomic.Bool
	each(blocks, func(next func() (int, bool)) {
		v, work := newVisitor(d), d.maxWork()
		for i, ok := next(); ok; i, ok = next() {
			hi := min((i+1)*indexBlock, len(d.units()))
			protect(func() {
				d.rootSpans(v, i*indexBlock, hi, &work, parts[i].adder(d), func(int, bool) { bare.Store(true) })
			})
			if i%releaseBlocks == releaseBlocks-1 && d.o.Release != nil {
				d.o.Release()
			}
		}
	})
	if bare.Load() {
		var more index
		protect(func() { d.aranges(newVisitor(d), false, more.adder(d)) })
		parts = append(parts, more)
	}
	return joined(parts)
}

// silentIndex is buildIndex for the units that have no ranges of either kind, by their
// functions' ranges.
func (d *Data) silentIndex() *index {
	var list []int
	protect(func() {
		v, work := newVisitor(d), d.maxWork()
		d.rootSpans(v, 0, len(d.units()), &work, nil, func(unit int, has bool) {
			if !has {
				list = append(list, unit)
			}
		})
		if len(list) > 0 {
			told := d.aranges(v, true, nil)
			list = slices.DeleteFunc(list, func(unit int) bool { return told[unit] })
		}
	})
	parts := make([]index, len(list))
	each(len(list), func(next func() (int, bool)) {
		v := newVisitor(d)
		for i, ok := next(); ok; i, ok = next() {
			add := parts[i].adder(d)
			protect(func() { v.functions(&d.units()[list[i]], func(s Span) { add(s, list[i]) }) })
			v.recycle()
		}
	})
	return joined(parts)
}

// adder returns what adds a range of a unit to ix.
func (ix *index) adder(d *Data) func(s Span, unit int) {
	return func(s Span, unit int) {
		if !d.isCode(s.Start) {
			return
		}
		if n := len(ix.spans); n > 0 && ix.spans[n-1].unit == int32(unit) && ix.spans[n-1].End == s.Start {
			ix.spans[n-1].End = s.End
			return
		}
		ix.spans = append(ix.spans, unitSpan{s, int32(unit)})
	}
}

// joined makes one index of parts.
func joined(parts []index) *index {
	n := 0
	for i := range parts {
		n += len(parts[i].spans)
	}
	ix := &index{spans: make([]unitSpan, 0, n), top: make([]uint64, n)}
	for i := range parts {
		ix.spans = append(ix.spans, parts[i].spans...)
	}
	slices.SortFunc(ix.spans, func(a, b unitSpan) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.unit, b.unit), cmp.Compare(a.End, b.End))
	})
	top := uint64(0)
	for i := range ix.spans {
		top = max(top, ix.spans[i].End)
		ix.top[i] = top
	}
	return ix
}

// maxOwners is how many units are asked for one address: copies of a function
// that are folded into one belong to several.
const maxOwners = 4

// maxBack bounds the search for spans around one that was found.
const maxBack = 256

// owners appends to list the units that cover addr, at most maxOwners, in the
// order of the section. from is a hint: spans below it start at or below addr.
func (ix *index) owners(addr uint64, from int, list []int32) (_ []int32, at int) {
	at = from
	for step := 1; at < len(ix.spans) && ix.spans[at].Start <= addr; step *= 2 {
		if next := at + step; next < len(ix.spans) && ix.spans[next].Start <= addr {
			at = next
			continue
		}
		rest := ix.spans[at:min(at+step, len(ix.spans))]
		at += sort.Search(len(rest), func(i int) bool { return rest[i].Start > addr })
		break
	}
	for i, back := at-1, 0; i >= 0 && ix.top[i] > addr && back < maxBack && len(list) < maxOwners; i, back = i-1, back+1 {
		if s := &ix.spans[i]; s.End > addr && !slices.Contains(list, s.unit) {
			list = append(list, s.unit)
		}
	}
	slices.Sort(list)
	return list, at
}

// maxScans is how many addresses are looked up without an index.
const maxScans = 8

// scan finds the units that cover a single address without making an index.
func (d *Data) scan(addr uint64) (list []int32) {
	v, work, bare := newVisitor(d), d.maxWork(), false
	found := func(s Span, unit int) {
		if addr >= s.Start && addr < s.End && d.isCode(s.Start) && len(list) < maxOwners && !slices.Contains(list, int32(unit)) {
			list = append(list, int32(unit))
		}
	}
	d.rootSpans(v, 0, len(d.units()), &work, found, func(int, bool) { bare = true })
	if bare {
		d.aranges(v, false, found)
	}
	return list
}
