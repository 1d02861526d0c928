package x86

// writes returns the general registers that in may change, apart from the
// stack pointer's part in push, pop, call, return, enter and leave: bit i is
// the register with the machine number i.
func (m *Mode) writes(in *inst) uint16 {
	switch in.m {
	case mapOne:
		return m.writesOne(in)
	case map0F:
		return m.writes0F(in)
	case map0F38:
		return writes0F38(in)
	case map0F3A:
		switch {
		case in.op >= 0x14 && in.op <= 0x17: // pextr, extractps
			return in.rmBit(false)
		case in.op == 0x61 || in.op == 0x63: // pcmpestri, pcmpistri
			return 1 << cx
		case in.op == 0xf0 && in.vex: // rorx
			return 1 << in.reg
		}
		return 0
	}
	// XOP and others: bextr, blcfill and the like may write reg or vvvv.
	return 1<<in.reg | 1<<in.vvvv
}

// rmBit is the register that the rm operand names, if it is not in memory.
func (in *inst) rmBit(byteOp bool) uint16 {
	if in.memory() {
		return 0
	}
	return in.bit(in.rm, byteOp)
}

// bit is register r as the operand of an instruction.
func (in *inst) bit(r uint8, byteOp bool) uint16 {
	if byteOp && !in.rex && r >= 4 && r < 8 {
		r -= 4 // ah, ch, dh, bh
	}
	return 1 << r
}

func (m *Mode) writesOne(in *inst) uint16 {
	op := in.op
	byteOp := op&1 == 0
	switch {
	case op < 0x40:
		switch {
		case op>>3 == 7 && op&7 < 6: // cmp
			return 0
		case op&7 < 2:
			return in.rmBit(byteOp)
		case op&7 < 4:
			return in.bit(in.reg, byteOp)
		}
		return 1 << ax
	case op < 0x50: // inc, dec
		return 1 << in.rm
	case op >= 0xb0 && op < 0xc0: // mov immediate
		return in.bit(in.rm, op < 0xb8)
	case op >= 0xd0 && op < 0xd4: // shifts
		return in.rmBit(byteOp)
	case op >= 0xd8 && op < 0xe0: // fnstsw %ax
		if op == 0xdf && in.mod == 3 && in.reg == 4 {
			return 1 << ax
		}
		return 0
	}
	switch op {
	case 0x63:
		if m.PtrSize == 8 {
			return 1 << in.reg
		}
		return in.rmBit(false)
	case 0x69, 0x6b, 0x8d, 0xc4, 0xc5:
		return 1 << in.reg
	case 0x80, 0x81, 0x82, 0x83:
		if in.reg&7 == 7 { // cmp
			return 0
		}
		return in.rmBit(byteOp)
	case 0x86, 0x87: // xchg
		return in.rmBit(byteOp) | in.bit(in.reg, byteOp)
	case 0x88, 0x89, 0xc0, 0xc1, 0xc6, 0xc7:
		return in.rmBit(byteOp)
	case 0x8a, 0x8b:
		return in.bit(in.reg, byteOp)
	case 0x8c, 0x8f:
		return in.rmBit(false)
	case 0x98, 0x9f, 0xa0, 0xa1, 0xcd, 0xd4, 0xd5, 0xd6, 0xd7, 0xe4, 0xe5, 0xec, 0xed:
		return 1 << ax
	case 0x99:
		return 1 << dx
	case 0xe0, 0xe1, 0xe2:
		return 1 << cx
	case 0xf6, 0xf7:
		switch {
		case in.reg&7 < 2: // test
			return 0
		case in.reg&7 < 4: // not, neg
			return in.rmBit(byteOp)
		}
		return 1<<ax | 1<<dx
	case 0xfe, 0xff:
		if in.reg&7 < 2 { // inc, dec
			return in.rmBit(byteOp)
		}
	}
	return writesString(in)
}

// writesString does the instructions on strings, which advance their pointers.
func writesString(in *inst) (w uint16) {
	switch in.op {
	case 0x6c, 0x6d, 0xaa, 0xab, 0xae, 0xaf: // ins, stos, scas
		w = 1 << di
	case 0x6e, 0x6f: // outs
		w = 1 << si
	case 0xa4, 0xa5, 0xa6, 0xa7: // movs, cmps
		w = 1<<si | 1<<di
	case 0xac, 0xad: // lods
		w = 1<<si | 1<<ax
	default:
		return 0
	}
	if in.rep != 0 {
		w |= 1 << cx
	}
	return w
}

func (m *Mode) writes0F(in *inst) uint16 {
	op := in.op
	switch {
	case op >= 0x40 && op < 0x50: // cmov; with VEX, operations on masks
		if in.vex {
			return 0
		}
		return 1 << in.reg
	case op >= 0x90 && op < 0xa0: // setcc; with VEX, kmov
		if in.vex {
			if op == 0x93 {
				return 1 << in.reg
			}
			return 0
		}
		return in.rmBit(true)
	case op >= 0xc8 && op < 0xd0: // bswap
		return 1 << in.rm
	}
	switch op {
	case 0x00: // sldt, str
		if in.reg&7 < 2 {
			return in.rmBit(false)
		}
	case 0x01:
		// smsw; xgetbv, rdtscp and others that have no operand.
		return in.rmBit(false) | 1<<ax | 1<<cx | 1<<dx
	case 0x02, 0x03, 0x50, 0xaf, 0xb2, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8,
		0xbc, 0xbd, 0xbe, 0xbf, 0xc5, 0xd7:
		return 1 << in.reg
	case 0x05: // syscall
		return 1<<ax | 1<<cx | 1<<11
	case 0x1e: // rdssp
		if in.rep == 0xf3 && in.mod == 3 && in.reg&7 == 1 {
			return in.rmBit(false)
		}
	case 0x20, 0x21:
		return 1 << in.rm
	case 0x2c, 0x2d, 0x78, 0x79: // conversions to integers
		if in.rep != 0 {
			return 1 << in.reg
		}
	case 0x31, 0x32, 0x33: // rdtsc, rdmsr, rdpmc
		return 1<<ax | 1<<dx
	case 0x34: // sysenter
		return 1<<ax | 1<<cx | 1<<dx
	case 0x7e: // movd; with f3, movq between vector registers
		if in.rep != 0xf3 && in.opsize {
			return in.rmBit(false)
		}
	case 0xa2: // cpuid
		return 1<<ax | 1<<bx | 1<<cx | 1<<dx
	case 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xb3, 0xbb:
		return in.rmBit(false)
	case 0xba:
		if in.reg&7 > 4 { // bts, btr, btc
			return in.rmBit(false)
		}
	case 0xae: // rdfsbase, rdgsbase
		if in.rep == 0xf3 && in.reg&7 < 2 {
			return in.rmBit(false)
		}
	case 0xb0, 0xb1: // cmpxchg
		return in.rmBit(op == 0xb0) | 1<<ax
	case 0xc0, 0xc1: // xadd
		return in.rmBit(op == 0xc0) | in.bit(in.reg, op == 0xc0)
	case 0xc7: // cmpxchg8b; rdrand, rdseed, rdpid
		if in.memory() {
			return 1<<ax | 1<<dx
		}
		return in.rmBit(false)
	}
	return 0
}

func writes0F38(in *inst) uint16 {
	switch op := in.op; {
	case op == 0xf0 || op == 0xf1: // movbe, crc32
		if op == 0xf1 && in.rep != 0xf2 {
			return 0 // movbe to memory
		}
		return 1 << in.reg
	case op == 0xf2 || op == 0xf5 || op == 0xf7: // andn, bzhi, pdep, pext, bextr, shifts
		return 1 << in.reg
	case op == 0xf3: // blsr, blsi, blsmsk
		return 1 << in.vvvv
	case op == 0xf6: // mulx; adcx, adox
		if in.vex {
			return 1<<in.reg | 1<<in.vvvv
		}
		return 1 << in.reg
	}
	return 0
}
