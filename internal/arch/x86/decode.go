package x86

// Opcode maps of an instruction.
const (
	mapOne  = iota // one-byte opcodes
	map0F          // 0f xx
	map0F38        // 0f 38 xx
	map0F3A        // 0f 3a xx
	mapRest        // maps of VEX, EVEX and XOP that none of the above covers
)

// noReg is the base or index that an address does not have.
const noReg = 0xff

// inst is one decoded instruction: what is needed to know its length, where it
// goes on, and what it does to general registers and the stack.
type inst struct {
	size int
	m    uint8 // opcode map
	op   uint8
	vex  bool // VEX, EVEX or XOP encoding
	vvvv uint8

	rep     uint8 // 0xf2 or 0xf3 or 0
	opsize  bool  // operand-size prefix
	addrsz  bool  // address-size prefix
	segment bool  // fs or gs: not an address on the stack
	wide    bool  // REX.W or VEX.W
	rex     bool  // a REX prefix: byte registers 4 to 7 are not ah to bh

	hasModRM     bool
	mod, reg, rm uint8 // reg and rm with their REX bits
	base, index  uint8 // of the memory operand, or noReg
	disp         int64

	imm int64 // the (last) immediate or branch displacement, sign-extended
}

// memory reports whether the instruction's rm operand is in memory.
func (in *inst) memory() bool { return in.hasModRM && in.mod != 3 }

// full reports whether the operands have the width of an address.
func (m *Mode) full(in *inst) bool {
	if m.PtrSize == 8 {
		return in.wide
	}
	return !in.opsize
}

// immediate kinds, as the opcode tables encode them.
const (
	immNone = iota
	imm8
	imm16
	immZ // 2 bytes with the operand-size prefix, else 4
	immV // as immZ, but 8 bytes with REX.W
	immRel
	immFar   // offset and selector
	immMoffs // an absolute address
	immEnter
	imm32
)

// decode reads the instruction at the start of b into in. It reports false
// when b ends inside it or it is not a known encoding.
func (m *Mode) decode(b []byte, in *inst) bool {
	*in = inst{base: noReg, index: noReg}
	if len(b) > 15 {
		b = b[:15] // no instruction is longer
	}
	i, rex := m.prefixes(b, in)
	n, rex, imm, ok := m.opcode(b[i:], rex, in)
	if !ok {
		return false
	}
	i += n
	if in.hasModRM {
		n, ok := m.modRM(b[i:], in.addrsz && m.PtrSize == 4)
		if !ok {
			return false
		}
		m.address(b[i:i+n], rex, in)
		i += n
		if in.m == mapOne && in.op == 0xff && in.mod == 3 && (in.reg&7 == 3 || in.reg&7 == 5) {
			return false // a far call or jump has its target in memory
		}
		// Group 3: only test has an immediate.
		if in.m == mapOne && !in.vex && in.reg&7 < 2 {
			switch in.op {
			case 0xf6:
				imm = imm8
			case 0xf7:
				imm = immZ
			}
		}
	} else if in.m == mapOne || in.m == map0F {
		// The register that the opcode's low bits name.
		in.rm = in.op&7 | rex&1<<3
	}

	n = m.immSize(imm, in)
	if i+n > len(b) {
		return false
	}
	if imm == immEnter {
		in.imm = int64(b[i]) | int64(b[i+1])<<8 | int64(b[i+2])<<16
	} else {
		in.imm = signed(b[i : i+n])
	}
	in.size = i + n
	return true
}

// prefixes reads the prefixes at the start of b. It returns how many bytes they
// have, and the REX prefix among them, or 0.
func (m *Mode) prefixes(b []byte, in *inst) (n int, rex byte) {
	for i, c := range b {
		switch {
		case c == 0x66:
			in.opsize = true
		case c == 0x67:
			in.addrsz = true
		case c == 0xf2, c == 0xf3:
			in.rep = c
		case c == 0x64, c == 0x65:
			in.segment = true
		case c == 0xf0, c == 0x2e, c == 0x36, c == 0x3e, c == 0x26:
		case m.PtrSize == 8 && c&0xf0 == 0x40: // nothing may follow but the opcode
			in.rex, in.wide = true, c&8 != 0
			return i + 1, c
		default:
			return i, 0
		}
	}
	return len(b), 0
}

// opcode reads the opcode at the start of b, with what VEX and EVEX put before
// it. It returns how many bytes that has, the REX prefix or what those have in its
// place, and the kind of immediate that follows the operands.
func (m *Mode) opcode(b []byte, rex byte, in *inst) (n int, _ byte, imm int, ok bool) {
	if len(b) == 0 {
		return 0, 0, 0, false
	}
	in.op = b[0]
	switch {
	case in.op == 0x0f:
		if len(b) < 2 {
			return 0, 0, 0, false
		}
		in.m, in.op = map0F, b[1]
		if in.op != 0x38 && in.op != 0x3a {
			in.hasModRM, imm, ok = operands0F(in)
			return 2, rex, imm, ok
		}
		if len(b) < 3 {
			return 0, 0, 0, false
		}
		in.m, imm = map0F38, immNone
		if in.op == 0x3a {
			in.m, imm = map0F3A, imm8
		}
		in.op, in.hasModRM = b[2], true
		return 3, rex, imm, true
	case m.isVEX(b):
		return decodeVEX(b, in)
	}
	in.hasModRM, imm, ok = operandsOne(in.op, m.PtrSize == 8)
	return 1, rex, imm, ok
}

// immSize returns the length in bytes of an immediate of the given kind.
func (m *Mode) immSize(kind int, in *inst) int {
	z := 4
	if in.opsize && !in.wide {
		z = 2
	}
	switch kind {
	case imm8:
		return 1
	case imm16:
		return 2
	case immZ:
		return z
	case imm32:
		return 4
	case immV:
		if in.wide {
			return 8
		}
		return z
	case immRel:
		if m.PtrSize == 8 {
			return 4 // the operand-size prefix has no effect
		}
		return z
	case immFar:
		return z + 2
	case immEnter:
		return 3
	case immMoffs:
		n := m.PtrSize
		if in.addrsz {
			n /= 2
		}
		return n
	}
	return 0
}

// operandsOne says whether the one-byte opcode op has a ModRM byte and what
// immediate follows. It reports false when there is no such instruction.
func operandsOne(op byte, long bool) (modrm bool, imm int, ok bool) {
	switch {
	case op < 0x40:
		switch op & 7 {
		case 4:
			return false, imm8, true
		case 5:
			return false, immZ, true
		case 6, 7:
			return false, immNone, !long
		}
		return true, immNone, true
	case op < 0x60:
		return false, immNone, true
	case op >= 0x70 && op < 0x80, op >= 0xe0 && op < 0xe8,
		op >= 0xb0 && op < 0xb8:
		return false, imm8, true
	case op >= 0x84 && op < 0x90, op >= 0xd8 && op < 0xe0,
		op >= 0xd0 && op < 0xd4:
		return true, immNone, true
	case op >= 0xb8 && op < 0xc0:
		return false, immV, true
	}
	switch op {
	case 0x60, 0x61, 0xce:
		return false, immNone, !long
	case 0x62, 0xc4, 0xc5:
		return true, immNone, !long
	case 0x63, 0xf6, 0xf7, 0xfe, 0xff:
		return true, immNone, true
	case 0x68, 0xa9:
		return false, immZ, true
	case 0x69, 0x81, 0xc7:
		return true, immZ, true
	case 0x6a, 0xa8, 0xcd, 0xeb:
		return false, imm8, true
	case 0x6b, 0x80, 0x83, 0xc0, 0xc1, 0xc6:
		return true, imm8, true
	case 0x82:
		return true, imm8, !long
	case 0x9a, 0xea:
		return false, immFar, !long
	case 0xa0, 0xa1, 0xa2, 0xa3:
		return false, immMoffs, true
	case 0xc2, 0xca:
		return false, imm16, true
	case 0xc8:
		return false, immEnter, true
	case 0xd4, 0xd5:
		return false, imm8, !long
	case 0xd6:
		return false, immNone, false
	case 0xe8, 0xe9:
		return false, immRel, true
	}
	return false, immNone, true
}

// operands0F is operandsOne for the two-byte opcodes.
func operands0F(in *inst) (modrm bool, imm int, ok bool) {
	op := in.op
	switch {
	case op >= 0x80 && op < 0x90:
		return false, immRel, true
	case op >= 0xc8 && op < 0xd0, op >= 0x30 && op < 0x38, op >= 0x05 && op < 0x0a:
		return false, immNone, op != 0x36
	case op >= 0x70 && op < 0x74:
		return true, imm8, true
	case op >= 0x24 && op < 0x28, op >= 0x39 && op < 0x40:
		return false, immNone, false
	}
	switch op {
	case 0x04, 0x0a, 0x0c, 0xa6, 0xa7:
		return false, immNone, false
	case 0x0b, 0x0e, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa:
		return false, immNone, true
	case 0x0f, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6:
		return true, imm8, true
	case 0x78:
		// SSE4a's extrq and insertq have two bytes of immediates.
		if in.opsize || in.rep == 0xf2 {
			return true, imm16, true
		}
	}
	return true, immNone, true
}

// address reads ModRM, SIB and displacement, which modRM has measured.
func (m *Mode) address(b []byte, rex byte, in *inst) {
	in.mod = b[0] >> 6
	in.reg = b[0]>>3&7 | rex&4<<1
	in.rm = b[0]&7 | rex&1<<3
	if in.mod == 3 {
		return
	}
	if in.addrsz {
		// Not an address on the stack: nobody addresses that with
		// fewer bits than it has. An index that cannot be known says so.
		in.index = ax
		return
	}
	n := 1
	base := in.rm
	if b[0]&7 == 4 {
		n = 2
		base = b[1]&7 | rex&1<<3
		if index := b[1]>>3&7 | rex&2<<2; index != sp {
			in.index = index
		}
	}
	if in.mod != 0 || base&7 != 5 {
		in.base = base
	}
	in.disp = signed(b[n:])
}

// signed reads a little-endian number of 0, 1, 2, 4 or 8 bytes.
func signed(b []byte) int64 {
	switch len(b) {
	case 0:
		return 0
	case 1:
		return int64(int8(b[0]))
	}
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	shift := 64 - 8*len(b)
	return int64(v) << shift >> shift
}
