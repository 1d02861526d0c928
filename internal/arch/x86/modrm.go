package x86

// modRM returns the length of a ModRM byte at the start of b with the SIB byte
// and the displacement that follow it. addr16 says that the address-size
// prefix of 32-bit code selects 16-bit addressing. It reports false when b
// ends too early.
func (m *Mode) modRM(b []byte, addr16 bool) (int, bool) {
	if len(b) == 0 {
		return 0, false
	}
	mod, rm := b[0]>>6, b[0]&7
	n := 1
	switch {
	case mod == 3:
	case addr16:
		if mod == 1 {
			n++
		} else if mod == 2 || rm == 6 {
			n += 2
		}
	default:
		base := rm
		if rm == 4 {
			if len(b) < 2 {
				return 0, false
			}
			base = b[1] & 7
			n++
		}
		if mod == 1 {
			n++
		} else if mod == 2 || base == 5 {
			// Mod 0 with base 5 is a displacement and no base:
			// relative to rip in 64-bit code without a SIB byte.
			n += 4
		}
	}
	return n, n <= len(b)
}
