package elfsym

import (
	"cmp"
	"debug/elf"
	"iter"
	"math"
	"slices"
)

// area is a range of link-time addresses that can hold code. Areas are disjoint
// and sorted. Put one behind the other, they make a space of at most 4 GiB whose
// 32-bit coordinates the index uses instead of addresses.
type area struct {
	lo, size uint64
	base     uint32 // coordinate of lo
}

func (a *area) end() uint32 { return a.base + uint32(a.size) }

// addr turns a coordinate of the area into an address.
func (a *area) addr(coord uint32) uint64 { return a.lo + uint64(coord-a.base) }

type areas struct {
	list  []area
	main  area   // the largest one: most addresses lie there
	total uint32 // end of the coordinates
	// All areas lie in [lo, lo+span).
	lo, span uint64
}

// CodeRanges yields the ranges of link-time addresses that can hold code, in ascending
// order: the executable sections, or else the executable segments.
func (im *Image) CodeRanges() iter.Seq2[uint64, uint64] {
	return func(yield func(start, end uint64) bool) {
		for _, a := range im.areas.list {
			if !yield(a.lo, a.lo+a.size) {
				return
			}
		}
	}
}

// execSection reports whether s can hold code that runs.
func execSection(s *elf.Section) bool {
	const want = elf.SHF_ALLOC | elf.SHF_EXECINSTR
	return s.Flags&want == want && s.Size > 0 && s.Type != elf.SHT_NULL
}

// findAreas collects the executable sections, or else the executable segments.
func (im *Image) findAreas() areas {
	var list []area
	for _, s := range im.secs {
		if execSection(s) {
			list = append(list, area{lo: s.Addr, size: s.Size})
		}
	}
	if list == nil {
		for _, s := range im.loads {
			if s.Flags&elf.PF_X != 0 && s.Memsz > 0 {
				list = append(list, area{lo: s.Vaddr, size: s.Memsz})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b area) int { return cmp.Compare(a.lo, b.lo) })
	var out areas
	end := uint64(0) // of the addresses taken so far
	for _, a := range list {
		size := min(a.size, math.MaxUint64-a.lo)
		if a.lo < end { // overlaps: the one that starts first keeps the range
			size -= min(size, end-a.lo)
			a.lo = end
		}
		// No program has 4 GiB of code; a file that says so loses the rest.
		if size = min(size, uint64(math.MaxUint32-out.total)); size == 0 {
			continue
		}
		a.size, a.base = size, out.total
		end = a.lo + size
		out.total += uint32(size)
		out.list = append(out.list, a)
		if size > out.main.size {
			out.main = a
		}
	}
	if out.list != nil {
		out.lo = out.list[0].lo
		out.span = end - out.lo
	}
	return out
}

// find returns the area that holds addr.
func (as *areas) find(addr uint64) (a area, ok bool) {
	if addr-as.main.lo < as.main.size {
		return as.main, true
	}
	lo, hi := 0, len(as.list)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if as.list[mid].lo <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return area{}, false
	}
	a = as.list[lo-1]
	return a, addr-a.lo < a.size
}

// at returns the area that holds a coordinate below total.
func (as *areas) at(coord uint32) *area {
	i, _ := slices.BinarySearchFunc(as.list, coord, func(a area, c uint32) int {
		if a.end() <= c {
			return -1
		}
		return 1
	})
	return &as.list[i]
}
