package inflate

import "math/bits"

// table decodes one Huffman code: by the next root bits an entry is found, or the link
// to the entries of longer codes, by the bits that follow.
type table struct{ e []uint32 }

// An entry has from the lowest bit on: four bits, how long the code is; three, its kind;
// one that is free; four, the number of extra bits, of a link that of the bits that its
// entries are found by; four that are free; sixteen, the literal, the base that extra
// bits are added to, or of a link where its entries begin. An invalid code's is 0.
const (
	kindMask    = 7 << 4
	kindLiteral = 1 << 4
	kindBase    = 2 << 4
	kindEnd     = 3 << 4
	kindLink    = 4 << 4

	litRoot    = 11
	distRoot   = 8
	codeRoot   = 7 // the longest of the code for code lengths
	maxLength  = 15
	endOfBlock = 256
)

// build makes the table of a code of which the lengths are given (3.2.2). entry makes
// the entries of its symbols, but for the length. It reports false where the lengths
// give no code. As in zlib a single code of one bit may be incomplete.
func (t *table) build(lens []uint8, root uint, entry func(sym int) uint32) bool {
	var count, next [maxLength + 2]uint
	longest := uint(0)
	for _, l := range lens {
		count[l]++
		longest = max(longest, uint(l))
	}
	left := 1
	code := uint(0)
	count[0] = 0
	for l := uint(1); l <= maxLength; l++ {
		if left = 2*left - int(count[l]); left < 0 {
			return false
		}
		next[l] = code
		code = (code + count[l]) << 1
	}
	if left > 0 && longest > 1 {
		return false
	}
	size := 1 << root
	if cap(t.e) < size {
		t.e = make([]uint32, size, 2*size)
	}
	t.e = t.e[:size]
	clear(t.e)
	sub := longest - min(root, longest) // bits of all links
	for sym, l8 := range lens {
		l := uint(l8)
		if l == 0 {
			continue
		}
		rev := uint(bits.Reverse16(uint16(next[l]))) >> (16 - l)
		next[l]++
		e := entry(sym) | uint32(l)
		if l <= root {
			for i := rev; i < 1<<root; i += 1 << l {
				t.e[i] = e
			}
			continue
		}
		link := &t.e[rev&(1<<root-1)]
		at := uint(*link >> 16)
		if *link == 0 {
			at = uint(len(t.e))
			*link = uint32(at)<<16 | uint32(sub)<<8 | kindLink
			for range 1 << sub {
				t.e = append(t.e, 0)
			}
		}
		for i := rev >> root; i < 1<<sub; i += 1 << (l - root) {
			t.e[at+i] = e
		}
	}
	return true
}

// Bases and extra bits of lengths and distances (3.2.5).
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
)

func litEntry(sym int) uint32 {
	switch {
	case sym < endOfBlock:
		return uint32(sym)<<16 | kindLiteral
	case sym == endOfBlock:
		return kindEnd
	case sym-endOfBlock-1 < len(lengthBase):
		i := sym - endOfBlock - 1
		return uint32(lengthBase[i])<<16 | uint32(lengthExtra[i])<<8 | kindBase
	}
	return 0
}

func distEntry(sym int) uint32 {
	if sym >= len(distBase) {
		return 0
	}
	return uint32(distBase[sym])<<16 | uint32(max(0, sym/2-1))<<8 | kindBase
}

func codeEntry(sym int) uint32 { return uint32(sym)<<16 | kindLiteral }
