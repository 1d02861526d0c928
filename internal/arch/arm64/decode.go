package arm64

import (
	"encoding/binary"
	"math/bits"

	"github.com/gatedso/bt/internal/arch/follow"
)

// op is what an instruction does, as far as it matters to frames.
type op uint8

const (
	opOther   op = iota // it gives the registers in writes some value
	opAdd               // rd = rn + imm
	opAddReg            // rd = rn + (rm << imm), or less, if sub
	opMove              // rd = rn
	opConst             // rd = imm
	opInsert            // 16 bits of rd, from bit shift on, become imm
	opStore             // rt (and rt2) are stored
	opLoad              // rt (and rt2) are loaded
	opCompare           // the stack pointer is compared with rm
)

// index is how a load or store computes its address.
type index uint8

const (
	byOffset  index = iota // rn + imm
	byPre                  // the same, which rn becomes
	byPost                 // rn, which then becomes rn + imm
	byUnknown              // not from rn and a constant
)

// Register numbers: 31 is the stack pointer; noReg is in the place of the zero
// register.
const (
	regFP = 29
	regLR = 30
	regSP = 31
	noReg = follow.NoReg
)

// inst is one decoded instruction (Arm Architecture Reference Manual for A-profile,
// chapter C4: the encodings are named as there).
type inst struct {
	op           op
	index        index
	sub          bool
	rd, rn, rm   uint8
	two          bool // rt2, too, is loaded or stored
	rt2          uint8
	size         uint8 // bytes of each register that is loaded or stored
	vector       bool  // these are no general registers
	shift        uint8
	imm          int64
	writes       uint32 // the registers that it writes, in any way
	flow         follow.Flow
	compare      follow.Compare
	displacement int64 // of Jump and Branch, from the instruction
}

// isPadding reports whether in, at the start of code, is what lies between functions.
func (in *inst) isPadding(code []byte) bool {
	const nop = 0xd503201f
	return binary.LittleEndian.Uint32(code) == nop
}

// signed returns the n bits of w from bit lo on, with their sign.
func signed(w uint32, lo, n int) int64 { return int64(int32(w<<(32-lo-n)) >> (32 - n)) }

func field(w uint32, lo, n int) uint32 { return w >> lo & (1<<n - 1) }

func reg(w uint32, lo int) uint8 { return uint8(w >> lo & 31) }

// zr returns register r, where 31 stands for the zero register.
func zr(r uint8) uint8 {
	if r == 31 {
		return noReg
	}
	return r
}

func bit(r uint8) uint32 {
	if r == noReg {
		return 0
	}
	return 1 << r
}

// decode reads the instruction at the start of b. It reports false when b is
// shorter.
func decode(b []byte, in *inst) bool {
	if len(b) < 4 {
		return false
	}
	w := binary.LittleEndian.Uint32(b)
	*in = inst{rd: noReg, rn: noReg, rm: noReg, rt2: noReg}
	switch op0 := field(w, 25, 4); {
	case op0 == 0:
		if w>>16 == 0 {
			in.flow = follow.Stop // udf
		}
	case op0 == 2:
		in.sve(w)
	case op0&0xe == 0x8:
		in.immediate(w)
	case op0&0xe == 0xa:
		in.branch(w)
	case op0&0x5 == 0x4:
		in.memory(w)
	case op0&0x7 == 0x5:
		in.register(w)
	case op0&0x7 == 0x7:
		in.float(w)
	}
	if in.rd == noReg && in.op <= opInsert {
		in.op = opOther // to the zero register
	}
	return true
}

// immediate decodes "Data Processing -- Immediate".
func (in *inst) immediate(w uint32) {
	rd, rn, wide := reg(w, 0), reg(w, 5), w>>31 == 1
	in.writes = bit(zr(rd))
	switch field(w, 23, 3) {
	case 2: // add/subtract
		in.imm = int64(field(w, 10, 12))
		if field(w, 22, 1) == 1 {
			in.imm <<= 12
		}
		if field(w, 30, 1) == 1 {
			in.imm = -in.imm
		}
		if field(w, 29, 1) == 0 {
			in.writes = bit(rd)
			if wide {
				in.op, in.rd, in.rn = opAdd, rd, rn
			}
		} else if wide && rd != 31 {
			in.op, in.rd, in.rn = opAdd, rd, rn
		}
	case 3: // add/subtract with tags: addg, subg
		if wide && field(w, 29, 1) == 0 {
			in.writes = bit(rd)
			in.op, in.rd, in.rn = opAdd, rd, rn
			in.imm = int64(field(w, 16, 6)) * 16
			if field(w, 30, 1) == 1 {
				in.imm = -in.imm
			}
		}
	case 4: // logical
		opc := field(w, 29, 2)
		if opc != 3 {
			in.writes = bit(rd)
		}
		if mask, ok := bitmask(w); ok && wide && opc == 1 && rn == 31 && rd != 31 {
			in.op, in.rd, in.imm = opConst, rd, int64(mask)
		}
	case 5: // move wide
		imm, shift := int64(field(w, 5, 16)), uint8(16*field(w, 21, 2))
		switch field(w, 29, 2) {
		case 0: // movn
			in.op, in.rd, in.imm = opConst, zr(rd), ^(imm << shift)
			if !wide {
				in.imm = int64(uint32(in.imm))
			}
		case 2: // movz
			in.op, in.rd, in.imm = opConst, zr(rd), imm<<shift
		case 3: // movk
			in.op, in.rd, in.imm, in.shift = opInsert, zr(rd), imm, shift
		}
	}
}

// bitmask decodes the immediate of logical instructions (DecodeBitMasks).
func bitmask(w uint32) (uint64, bool) {
	n, immr, imms := field(w, 22, 1), field(w, 16, 6), field(w, 10, 6)
	length := bits.Len32(n<<6|^imms&0x3f) - 1
	if length < 1 {
		return 0, false
	}
	size := uint32(1) << length
	s, r := imms&(size-1), immr&(size-1)
	if s == size-1 {
		return 0, false
	}
	element := uint64(1)<<(s+1) - 1
	if r != 0 {
		element = element>>r | element<<(size-r)
	}
	if size < 64 {
		element &= 1<<size - 1
	}
	for ; size < 64; size *= 2 {
		element |= element << size
	}
	return element, true
}

// branch decodes "Branches, Exception Generating and System instructions".
func (in *inst) branch(w uint32) {
	switch {
	case field(w, 26, 5) == 5: // b, bl
		in.flow, in.displacement = follow.Jump, 4*signed(w, 0, 26)
		if w>>31 == 1 {
			in.flow = follow.Call
		}
	case w>>24 == 0x54: // b.cond, bc.cond
		in.flow, in.displacement = follow.Branch, 4*signed(w, 5, 19)
		switch field(w, 0, 4) {
		case 0:
			in.compare = follow.IfEqual
		case 1:
			in.compare = follow.IfUnequal
		case 14, 15:
			in.flow = follow.Jump
		}
	case field(w, 25, 6) == 0x1a: // cbz, cbnz
		in.flow, in.displacement = follow.Branch, 4*signed(w, 5, 19)
	case field(w, 25, 6) == 0x1b: // tbz, tbnz
		in.flow, in.displacement = follow.Branch, 4*signed(w, 5, 14)
	case w>>24 == 0x55: // retaasppc, retabsppc
		in.flow = follow.Return
	case w>>25 == 0x6b:
		in.rn = reg(w, 5)
		switch field(w, 21, 4) {
		case 0, 8: // br, braa
			in.flow = follow.Indirect
		case 1, 9: // blr, blraa
			in.flow = follow.Call
		case 2: // ret, retaa
			in.flow = follow.Return
		default: // eret
			in.flow = follow.Stop
		}
	case w>>24 == 0xd4:
		if field(w, 21, 3) == 1 || field(w, 21, 3) == 2 { // brk, hlt
			in.flow = follow.Stop
		}
	case w>>20 == 0xd53: // mrs, sysl
		in.writes = bit(zr(reg(w, 0)))
	case w&0xfffffd1f == 0xd503211f || w&0xfffffddf == 0xd503211f: // pacia1716 …
		in.writes = 1 << 17
	}
}

// register decodes "Data Processing -- Register".
func (in *inst) register(w uint32) {
	rd, rn, rm, wide := reg(w, 0), reg(w, 5), reg(w, 16), w>>31 == 1
	in.writes = bit(zr(rd))
	switch {
	case field(w, 24, 5) == 0x0a: // logical (shifted register)
		if wide && field(w, 29, 2) == 1 && field(w, 21, 3) == 0 && field(w, 10, 6) == 0 && rn == 31 {
			in.op, in.rd, in.rn = opMove, zr(rd), zr(rm) // mov
		}
	case field(w, 24, 5) == 0x0b:
		extended, flags := field(w, 21, 1) == 1, field(w, 29, 1) == 1
		if extended && !flags {
			in.writes = bit(rd)
		}
		if !wide || field(w, 22, 2) != 0 || extended && field(w, 13, 3) != 3 {
			break // 32 bits, or rm shifted to the right or extended
		}
		if flags {
			if extended && rn == 31 && rd == 31 && field(w, 30, 1) == 1 && field(w, 10, 3) == 0 {
				in.op, in.rm = opCompare, zr(rm)
			}
			break
		}
		in.op, in.rm, in.sub = opAddReg, zr(rm), field(w, 30, 1) == 1
		if extended {
			in.rd, in.rn, in.imm = rd, rn, int64(field(w, 10, 3))
		} else {
			in.rd, in.rn, in.imm = zr(rd), zr(rn), int64(field(w, 10, 6))
		}
	case w>>21 == 0x4d6 && field(w, 10, 6) == 4: // irg: only the tag changes
		in.op, in.rd, in.rn, in.writes = opMove, rd, rn, bit(rd)
	case w>>16 == 0xdac1: // what signs an address, or takes the code off
		in.writes = 0
	case field(w, 21, 8) == 0xd2: // conditional compare
		in.writes = 0
	case field(w, 21, 8) == 0xd0 && field(w, 10, 6) != 0: // rmif, setf8, setf16
		in.writes = 0
	}
}

// float decodes "Data Processing -- Scalar Floating-Point and Advanced SIMD", of
// which a few write a general register.
func (in *inst) float(w uint32) {
	toGeneral := false
	switch {
	case field(w, 24, 7) == 0x1e && field(w, 10, 6) == 0 && field(w, 21, 1) == 1: // conversion with integer
		opcode := field(w, 16, 3)
		toGeneral = opcode != 2 && opcode != 3 && opcode != 7
	case field(w, 24, 7) == 0x1e && field(w, 21, 1) == 0: // with fixed-point
		toGeneral = field(w, 16, 3) < 2
	case field(w, 21, 8) == 0x70 && field(w, 10, 1) == 1: // umov, smov
		opcode := field(w, 11, 4)
		toGeneral = field(w, 29, 1) == 0 && w>>31 == 0 && (opcode == 5 || opcode == 7)
	}
	if toGeneral {
		in.writes = bit(zr(reg(w, 0)))
	}
}

// sve decodes "SVE encodings", of which a few write a general register.
func (in *inst) sve(w uint32) {
	rd := reg(w, 0)
	switch {
	case w&0xffa0f800 == 0x04205000: // addvl, addpl
		in.writes = bit(rd)
	case w&0xffff_f800 == 0x04bf5000, // rdvl
		w&0xff30_f000 == 0x0430_e000 || w&0xff30_f800 == 0x0420_e000, // incb, cntb …
		w&0xff20_f000 == 0x0420_f000,                                 // sqincb …
		w&0xff3f_c200 == 0x2520_8000,                                 // cntp
		w&0xff30_f800 == 0x2520_8800,                                 // incp, sqincp …
		w&0xff3e_e000 == 0x0520_a000, w&0xff3e_e000 == 0x0530_a000:   // lasta, clasta
		in.writes = bit(zr(rd))
	}
}
