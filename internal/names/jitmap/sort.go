package jitmap

import (
	"cmp"
	"slices"
)

// digit is how many bits a pass of sortRecords sorts by.
const digit = 11

// sortRecords sorts by lo, those of one lo in the order in which they came. A
// radix sort takes a fifth of the time of one that compares: the addresses of
// a program's code differ in few digits.
func sortRecords(recs []record) {
	if len(recs) < 512 {
		slices.SortStableFunc(recs, func(a, b record) int { return cmp.Compare(a.lo, b.lo) })
		return
	}
	var differ uint64
	for i := range recs {
		differ |= recs[i].lo ^ recs[0].lo
	}
	from, to := recs, make([]record, len(recs))
	for shift := 0; differ>>shift != 0; shift += digit {
		if differ>>shift&(1<<digit-1) == 0 {
			continue
		}
		var place [1 << digit]uint32 // where the next one of a digit goes
		for i := range from {
			place[from[i].lo>>shift&(1<<digit-1)]++
		}
		sum := uint32(0)
		for d, n := range place {
			place[d] = sum
			sum += n
		}
		for i := range from {
			p := &place[from[i].lo>>shift&(1<<digit-1)]
			to[*p] = from[i]
			*p++
		}
		from, to = to, from
	}
	if &from[0] != &recs[0] {
		copy(recs, from)
	}
}
