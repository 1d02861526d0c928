package cfi

import (
	"encoding/binary"
	"testing"
)

// asm assembles a section by hand.
type asm struct {
	eh      bool
	dwarf64 bool
	big     bool
	b       []byte
}

func (a *asm) order() binary.AppendByteOrder {
	if a.big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (a *asm) uint(v uint64, size int) []byte {
	switch size {
	case 1:
		return []byte{byte(v)}
	case 2:
		return a.order().AppendUint16(nil, uint16(v))
	case 4:
		return a.order().AppendUint32(nil, uint32(v))
	}
	return a.order().AppendUint64(nil, v)
}

func uleb(v uint64) []byte {
	var b []byte
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func sleb(v int64) []byte {
	var b []byte
	for ; v < -64 || v >= 64; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v)&0x7f)
}

func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			b = append(b, p...)
		case string:
			b = append(b, p...)
		case int:
			b = append(b, byte(p))
		default:
			panic("cat: what is this?")
		}
	}
	return b
}

// entry appends an entry with the CIE offset ref, or -1 for a CIE, and returns
// its offset.
func (a *asm) entry(ref int, body []byte) int {
	off := len(a.b)
	refSize := 4
	head := 4
	if a.dwarf64 {
		head = 12
		if !a.eh {
			refSize = 8
		}
	}
	id := ^uint64(0)
	switch {
	case a.eh && ref < 0:
		id = 0
	case a.eh:
		id = uint64(off + head - ref)
	case ref >= 0:
		id = uint64(ref)
	}
	n := uint64(refSize + len(body))
	if a.dwarf64 {
		a.b = append(append(a.b, 0xff, 0xff, 0xff, 0xff), a.uint(n, 8)...)
	} else {
		a.b = append(a.b, a.uint(n, 4)...)
	}
	a.b = append(append(a.b, a.uint(id, refSize)...), body...)
	return off
}

// here returns the offset of the body of the next entry, where the address of
// an FDE lies.
func (a *asm) here() int {
	switch {
	case !a.dwarf64:
		return len(a.b) + 8
	case a.eh:
		return len(a.b) + 16
	}
	return len(a.b) + 20
}

// cie1 is a version 1 CIE: code alignment 1, data alignment -8, return address
// in register 16.
func (a *asm) cie1(aug string, data []byte, insns ...any) int {
	return a.entry(-1, cat(1, aug, 0, uleb(1), sleb(-8), 16, data, cat(insns...)))
}

// usual is what amd64 compilers begin with: CFA = rsp+8, rip at CFA-8.
var usual = []byte{opDefCFA, 7, 8, opOffset | 16, 1}

const testAddr = 0x400000 // of the hand-made section

// simple makes a Table of one FDE for [0x1000, 0x1100) with these instructions.
func simple(insns ...any) *Table {
	a := asm{eh: true}
	c := a.cie1("zR", []byte{1, peUdata4}, usual)
	a.entry(c, cat(a.uint(0x1000, 4), a.uint(0x100, 4), 0, cat(insns...)))
	return New(Config{EhFrame: Section{testAddr, a.b}, PtrSize: 8, Order: binary.LittleEndian})
}

func mustRow(t *testing.T, table *Table, pc uint64) *Row {
	t.Helper()
	row := new(Row)
	if err := table.Row(pc, row); err != nil {
		t.Fatalf("row for %#x: %v", pc, err)
	}
	if pc < row.Start || pc >= row.End || row.Start < row.Func || row.End > row.FuncEnd {
		t.Fatalf("row for %#x is [%#x, %#x) of [%#x, %#x)", pc, row.Start, row.End, row.Func, row.FuncEnd)
	}
	return row
}
