package elfsym

import (
	"slices"

	"github.com/gatedso/bt/internal/guard"
)

// MaxBatch is how many addresses FindAll takes at once.
const MaxBatch = 64

// NoRef is the Ref of no symbol.
const NoRef Ref = none

// FindAll is Find for at most MaxBatch addresses, in any order: refs[i] becomes
// the Ref of vaddrs[i], or NoRef, and offs[i] the distance of vaddrs[i] from
// the start of a symbol that was found. Once the index is there it allocates nothing.
//
// In a large index every step of a lookup waits for memory. Each step is made
// for all addresses before the next one, and without a branch on what is waited
// for, so that the CPU waits for many at once.
func (im *Image) FindAll(vaddrs []uint64, refs []Ref, offs []uint64) {
	ix := im.index.Load()
	if ix == nil {
		if im.scanBatch(vaddrs, refs, offs) {
			return
		}
		ix = im.indexed()
	}
	var coords, places [MaxBatch]uint32
	outside := uint64(0) // one bit for each address
	for i, a := range vaddrs {
		if off := a - im.areas.main.lo; off < im.areas.main.size {
			coords[i] = im.areas.main.base + uint32(off)
		} else if at, ok := im.areas.find(a); ok {
			coords[i] = at.base + uint32(a-at.lo)
		} else {
			outside |= 1 << i
		}
	}
	ix.findAll(coords[:len(vaddrs)], places[:])
	for i, coord := range coords[:len(vaddrs)] {
		ref, start := ix.owner(int(places[i]))
		refs[i], offs[i] = Ref(ref), uint64(coord-start)
	}
	for i := range vaddrs {
		if outside>>i&1 != 0 {
			refs[i] = NoRef
		}
	}
}

// findAll is the search of find for at most MaxBatch coordinates.
func (ix *index) findAll(coords, places []uint32) {
	var spans [MaxBatch]uint32
	places = places[:len(coords)]
	for i, c := range coords {
		b := c >> ix.shift
		places[i], spans[i] = ix.bucket[b], ix.bucket[b+1]-ix.bucket[b]
	}
	for i, c := range coords {
		lo := places[i]
		for n := spans[i]; n > 0; {
			half := (n + 1) / 2
			// All ones if that stretch begins at or before c: compilers make a
			// jump of an if, as often as not in the wrong direction.
			begun := uint32((int64(ix.stretches[lo+half].start) - int64(c) - 1) >> 63)
			lo += half & begun
			n -= half
		}
		places[i] = lo
	}
}

// scanBatch is FindAll without the index, as long as there is none and a scan
// costs less than making it.
func (im *Image) scanBatch(vaddrs []uint64, refs []Ref, offs []uint64) bool {
	if !im.cheapToScan(len(vaddrs)) {
		return false
	}
	sorted := slices.Sorted(slices.Values(vaddrs))
	found := make([]uint32, len(sorted))
	for i := range found {
		found[i] = none
	}
	done := false
	err := guard.Read(func() error {
		if done = im.scanAll(sorted, found); !done {
			return nil
		}
		for i, a := range vaddrs {
			j, _ := slices.BinarySearch(sorted, a)
			refs[i] = Ref(found[j])
			if t, num := im.table(refs[i]); t != nil {
				s := t.at(num)
				offs[i] = a - s.value
			}
		}
		return nil
	})
	return done && err == nil
}
