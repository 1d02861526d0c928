package x86

// AfterCall reports whether code can end with a call instruction. It looks at
// the end only and cannot know where instructions begin, so bytes that merely
// look like a call are taken for one; a call is never missed when code holds
// all of it.
func (m *Mode) AfterCall(code []byte) bool {
	n := len(code)
	// e8 rel32. Prefixes before it (data16 and REX.W of a padded call to
	// __tls_get_addr, bnd, addr32) change nothing.
	if n >= 5 && code[n-5] == 0xe8 {
		return true
	}
	// The operand-size prefix makes the displacement 16 bits wide in 32-bit
	// code; 64-bit code ignores it on Intel's CPUs and not on AMD's.
	if n >= 4 && code[n-4] == 0x66 && code[n-3] == 0xe8 {
		return true
	}
	// 9a, call far with an immediate selector: 32-bit code only.
	if m.PtrSize == 4 && n >= 7 && code[n-7] == 0x9a {
		return true
	}
	// ff /2, call near, and ff /3, call far, through a register or memory:
	// 2 to 7 bytes.
	for size := 2; size <= 7 && size <= n; size++ {
		c := code[n-size:]
		if c[0] != 0xff {
			continue
		}
		reg := c[1] >> 3 & 7
		if reg != 2 && (reg != 3 || c[1]>>6 == 3) {
			continue
		}
		if l, ok := m.modRM(c[1:], false); ok && 1+l == size {
			return true
		}
		// With an address-size prefix, 32-bit code has 16-bit
		// addressing.
		if m.PtrSize == 4 && n > size && code[n-size-1] == 0x67 {
			if l, ok := m.modRM(c[1:], true); ok && 1+l == size {
				return true
			}
		}
	}
	return false
}

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
		switch {
		case mod == 1:
			n++
		case mod == 2, rm == 6:
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
		switch {
		case mod == 1:
			n++
		case mod == 2, base == 5:
			// mod 0 with base 5 has a displacement and no base:
			// relative to rip in 64-bit code without a SIB byte.
			n += 4
		}
	}
	return n, n <= len(b)
}
