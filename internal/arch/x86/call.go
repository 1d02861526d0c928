package x86

import "encoding/binary"

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

// CallTarget implements arch.Arch's: e8 rel32, and ff 15 disp32, a call through memory,
// which 64-bit code addresses relative to the pc.
func (m *Mode) CallTarget(code []byte, ret uint64) (addr uint64, slot, ok bool) {
	n := len(code)
	if n < 6 {
		return 0, false, false
	}
	disp := uint64(int64(int32(binary.LittleEndian.Uint32(code[n-4:]))))
	switch {
	case code[n-6] == 0xff && code[n-5] == 0x15 && m.PtrSize == 8:
		return ret + disp, true, true
	case code[n-5] == 0xe8 && m.PtrSize == 4:
		return uint64(uint32(ret + disp)), false, true
	case code[n-5] == 0xe8:
		return ret + disp, false, true
	}
	return 0, false, false
}
