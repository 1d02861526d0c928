package dwarf

import (
	"cmp"
	"slices"
	"sort"
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

// eachSpan calls yield for each range of each unit's root entry, and for the
// ranges that .debug_aranges gives for a unit without. That of a unit of version 2
// is one range, even if the unit has code elsewhere. silent has it go through
// the units that have neither instead, by their functions' ranges.
func (d *Data) eachSpan(silent bool, yield func(s Span, unit int)) {
	var told []bool
	work := d.maxWork()
	v := newVisitor(d)
	units := d.units()
	for i := range units {
		u := &units[i]
		d.readHeaders(i + 1)
		if u.typ == unitPartial || u.typ == unitSplitCompile {
			continue
		}
		c := v.openRoot(u)
		if c == nil {
			continue
		}
		it, has := c.iterate(&c.root)
		if has {
			for !silent && work > 0 {
				s, ok := it.next()
				if !ok {
					break
				}
				work--
				yield(s, i)
			}
			if u.sizes.version > 2 {
				continue
			}
		}
		if told == nil {
			told = d.aranges(v, silent, yield)
		}
		if silent && !has && !told[i] {
			v.functions(u, func(s Span) { yield(s, i) })
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

// buildIndex makes the index of the units' ranges.
func (d *Data) buildIndex(silent bool) *index {
	ix := new(index)
	protect(func() {
		d.eachSpan(silent, func(s Span, unit int) {
			if !d.isCode(s.Start) {
				return
			}
			if n := len(ix.spans); n > 0 && ix.spans[n-1].unit == int32(unit) && ix.spans[n-1].End == s.Start {
				ix.spans[n-1].End = s.End
				return
			}
			ix.spans = append(ix.spans, unitSpan{s, int32(unit)})
		})
	})
	slices.SortStableFunc(ix.spans, func(a, b unitSpan) int { return cmp.Compare(a.Start, b.Start) })
	ix.top = make([]uint64, len(ix.spans))
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
	d.eachSpan(false, func(s Span, unit int) {
		if addr >= s.Start && addr < s.End && d.isCode(s.Start) && len(list) < maxOwners && !slices.Contains(list, int32(unit)) {
			list = append(list, int32(unit))
		}
	})
	return list
}
