package arm64

import "math/bits"

// memory decodes "Loads and Stores".
func (in *inst) memory(w uint32) {
	in.vector = field(w, 26, 1) == 1
	switch field(w, 27, 3) {
	case 5:
		in.pair(w)
	case 7:
		in.single(w)
	case 3:
		switch {
		case field(w, 24, 1) == 0: // load register (literal)
			if !in.vector && w>>30 != 3 {
				in.writes = bit(zr(reg(w, 0)))
			}
		case field(w, 21, 1) == 1 && w>>30 == 3:
			in.tags(w)
		case field(w, 10, 2) == 1: // memory copy and set
			in.writes = bit(reg(w, 0)) | bit(reg(w, 5)) | bit(zr(reg(w, 16)))
		case field(w, 22, 2) != 0: // ldapur …
			in.writes = bit(zr(reg(w, 0)))
		}
	case 1:
		if in.vector {
			in.structure(w)
		} else {
			in.exclusive(w)
		}
	}
}

// access makes in a load or store of rt, whose address is rn by way of index.
func (in *inst) access(load bool, rt, rn uint8, idx index, imm int64) {
	in.op, in.rd, in.rn, in.index, in.imm = opStore, zr(rt), rn, idx, imm
	if load {
		in.op = opLoad
		if !in.vector {
			in.writes |= bit(in.rd)
		}
	}
	if idx == byPre || idx == byPost {
		in.writes |= bit(rn)
	}
}

// pair decodes "Load/store register pair".
func (in *inst) pair(w uint32) {
	opc, load := field(w, 30, 2), field(w, 22, 1) == 1
	size := int64(4)
	scale := size
	switch {
	case in.vector:
		size = 4 << opc
		scale = size
	case opc == 2:
		size, scale = 8, 8
	case opc == 1 && !load: // stgp
		size, scale = 8, 16
	case opc == 1: // ldpsw: 4 bytes become 8
	}
	idx := [...]index{byOffset, byPost, byOffset, byPre}[field(w, 23, 2)]
	in.size = uint8(size)
	in.two = true
	in.rt2 = zr(reg(w, 10))
	in.access(load, reg(w, 0), reg(w, 5), idx, signed(w, 15, 7)*scale)
	if load && !in.vector {
		in.writes |= bit(in.rt2)
	}
}

// single decodes the forms of "Load/store register".
func (in *inst) single(w uint32) {
	size, opc := field(w, 30, 2), field(w, 22, 2)
	load, rt, rn := opc != 0, reg(w, 0), reg(w, 5)
	in.size = 1 << size
	if in.vector {
		load = opc&1 == 1
		if opc&2 != 0 {
			in.size = 16
		}
	} else if opc&2 != 0 && size == 3 { // prfm
		if field(w, 24, 1) == 1 || field(w, 21, 1) == 0 || field(w, 10, 2) == 2 {
			return
		}
	}
	imm9 := signed(w, 12, 9)
	switch {
	case field(w, 24, 1) == 1:
		in.access(load, rt, rn, byOffset, int64(field(w, 10, 12))*int64(in.size))
	case field(w, 21, 1) == 0:
		in.access(load, rt, rn, [...]index{byOffset, byPost, byOffset, byPre}[field(w, 10, 2)], imm9)
	case field(w, 10, 2) == 2: // register offset
		in.access(load, rt, rn, byUnknown, 0)
	case field(w, 10, 2) == 0: // atomic memory operations
		in.access(true, rt, rn, byUnknown, 0)
	default: // ldraa, ldrab
		in.size = 8
		idx := byOffset
		if field(w, 11, 1) == 1 {
			idx = byPre
		}
		in.access(true, rt, rn, idx, 8*(signed(w, 22, 1)<<9|int64(field(w, 12, 9))))
	}
}

// tags decodes "Load/store memory tags", which leave the data alone or zero it.
func (in *inst) tags(w uint32) {
	rn, imm := reg(w, 5), 16*signed(w, 12, 9)
	switch field(w, 10, 2) {
	case 0:
		if field(w, 22, 2) == 1 || field(w, 22, 2) == 3 { // ldg, ldgm
			in.writes = bit(zr(reg(w, 0)))
		}
	case 1, 3:
		// As an addition: what matters of stg [sp], #n is the stack pointer.
		in.op, in.rd, in.rn, in.imm, in.writes = opAdd, rn, rn, imm, bit(rn)
	}
}

// exclusive decodes "Load/store exclusive", "ordered" and "Compare and swap".
func (in *inst) exclusive(w uint32) {
	rt, rt2, rs := zr(reg(w, 0)), zr(reg(w, 10)), zr(reg(w, 16))
	ordered, load, pair := field(w, 23, 1) == 1, field(w, 22, 1) == 1, field(w, 21, 1) == 1
	switch {
	case ordered && pair: // cas
		in.writes = bit(rs)
	case pair && w>>31 == 0: // casp
		in.writes = bit(rs)
		if rs < 31 {
			in.writes |= bit(rs + 1)
		}
	case load:
		in.writes = bit(rt)
		if pair {
			in.writes |= bit(rt2)
		}
	case !ordered: // stxr: the status
		in.writes = bit(rs)
	}
}

// structure decodes "Advanced SIMD load/store" of one or more structures.
func (in *inst) structure(w uint32) {
	rn := reg(w, 5)
	if field(w, 23, 1) == 0 {
		return
	}
	in.writes = bit(rn) // post-indexed
	count := [...]int64{0: 4, 2: 4, 4: 3, 6: 3, 7: 1, 8: 2, 10: 2, 15: 0}[field(w, 12, 4)]
	if field(w, 24, 1) == 0 && reg(w, 16) == 31 && count != 0 {
		in.op, in.rd, in.rn, in.imm = opAdd, rn, rn, count*8<<field(w, 30, 1)
	}
}

// registers lists the registers of a set.
func registers(set uint32, each func(r uint8)) {
	for ; set != 0; set &= set - 1 {
		each(uint8(bits.TrailingZeros32(set)))
	}
}
