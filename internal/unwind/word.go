package unwind

// Word reads a little-endian word of 1, 2, 4 or 8 bytes from the start of b, for
// implementations of Memory. It reports false where b is shorter.
func Word(b []byte, size int) (uint64, bool) {
	switch {
	case size == 8 && len(b) >= 8:
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56, true
	case size == 4 && len(b) >= 4:
		return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24, true
	case size == 2 && len(b) >= 2:
		return uint64(b[0]) | uint64(b[1])<<8, true
	case size == 1 && len(b) >= 1:
		return uint64(b[0]), true
	}
	return 0, false
}
