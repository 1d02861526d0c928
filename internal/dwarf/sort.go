package dwarf

import "slices"

// radixFrom is the number of addresses from which sorting by digits is faster.
const radixFrom = 1 << 10

// sorted returns the indexes of addrs in the order of the addresses.
func sorted(addrs []uint64) []uint32 {
	order := make([]uint32, len(addrs))
	for i := range order {
		order[i] = uint32(i)
	}
	if len(addrs) < radixFrom {
		slices.SortFunc(order, func(a, b uint32) int {
			switch {
			case addrs[a] < addrs[b]:
				return -1
			case addrs[a] > addrs[b]:
				return 1
			}
			return int(a) - int(b)
		})
		return order
	}
	lo, hi := slices.Min(addrs), slices.Max(addrs)
	const digit = 11
	other := make([]uint32, len(addrs))
	for shift := 0; shift < 64 && (hi-lo)>>shift != 0; shift += digit {
		var count [1 << digit]uint32
		for _, a := range addrs {
			count[(a-lo)>>shift&(1<<digit-1)]++
		}
		sum := uint32(0)
		for i, n := range count {
			count[i] = sum
			sum += n
		}
		for _, i := range order {
			d := (addrs[i] - lo) >> shift & (1<<digit - 1)
			other[count[d]] = i
			count[d]++
		}
		order, other = other, order
	}
	return order
}
