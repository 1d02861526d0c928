package x86

// isVEX reports whether b starts with a VEX, EVEX or XOP prefix. In 32-bit code
// these bytes are lds, les and bound unless their ModRM would name a register,
// and pop in both unless the map number is 8 or more.
func (m *Mode) isVEX(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	switch b[0] {
	case 0xc4, 0xc5, 0x62:
		return m.PtrSize == 8 || b[1]>>6 == 3
	case 0x8f:
		return b[1]&0x1f >= 8
	}
	return false
}

// decodeVEX reads a VEX, EVEX or XOP prefix and the opcode after it. It returns
// their length, the REX bits that the prefix holds, and the kind of immediate.
func decodeVEX(b []byte, in *inst) (n int, rex byte, imm int, ok bool) {
	in.vex = true
	var opmap, last byte // last: the byte with W, vvvv and pp
	switch b[0] {
	case 0xc5:
		if len(b) < 3 {
			return 0, 0, 0, false
		}
		opmap, last, n = 1, b[1]&0x7f, 2
		rex = ^b[1] >> 5 & 4
	case 0xc4, 0x8f:
		if len(b) < 4 {
			return 0, 0, 0, false
		}
		opmap, last, n = b[1]&0x1f, b[2], 3
		rex = ^b[1] >> 5 & 7
	default: // EVEX
		if len(b) < 6 {
			return 0, 0, 0, false
		}
		opmap, last, n = b[1]&7, b[2], 4
		rex = ^b[1] >> 5 & 7
	}
	in.wide = last&0x80 != 0
	in.vvvv = ^last >> 3 & 15
	switch last & 3 {
	case 1:
		in.opsize = true
	case 2:
		in.rep = 0xf3
	case 3:
		in.rep = 0xf2
	}
	in.op = b[n]
	n++
	in.hasModRM = true
	switch {
	case b[0] == 0x8f:
		in.m = mapRest
		switch opmap {
		case 8:
			imm = imm8
		case 10:
			imm = imm32
		}
	case opmap == 1:
		in.m = map0F
		switch op := in.op; {
		case op == 0x77: // vzeroupper, vzeroall
			in.hasModRM = false
		case op >= 0x70 && op < 0x74, op == 0xc2, op >= 0xc4 && op <= 0xc6:
			imm = imm8
		}
	case opmap == 2:
		in.m = map0F38
	case opmap == 3:
		in.m, imm = map0F3A, imm8
	case opmap == 5 || opmap == 6: // AVX512-FP16
		in.m = mapRest
	default:
		return 0, 0, 0, false
	}
	return n, rex, imm, true
}
