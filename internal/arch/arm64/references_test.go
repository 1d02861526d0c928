package arm64

import (
	"encoding/binary"
	"slices"
	"testing"
)

// The code lies at 0x1000; adrp leads two pages on.
func TestReferences(t *testing.T) {
	const (
		adrpX0    = 0xd0000000
		adrpBack  = 0xf0ffffe1 // adrp x1, one page back
		addX1     = 0x91048c01 // add x1, x0, #0x123
		loadX2    = 0xf9402002 // ldr x2, [x0, #0x40]
		loadW2    = 0xb9404002 // ldr w2, [x0, #0x40]
		loadQ2    = 0x3dc01002 // ldr q2, [x0, #0x40]
		storeX2   = 0xf9000402 // str x2, [x0, #8]
		loadX0    = 0xf9400400 // ldr x0, [x0, #8]
		loadX3    = 0xf9400403 // ldr x3, [x0, #8]
		moveX0    = 0xaa0103e0 // mov x0, x1
		branch    = 0x14000010
		loadOfX1  = 0xf9400024 // ldr x4, [x1]
		shiftedX1 = 0x91448c01 // add x1, x0, #0x123, lsl #12
	)
	for _, tt := range []struct {
		name string
		code []uint32
		want []uint64
	}{
		{"add", []uint32{adrpX0, addX1}, []uint64{0x3123}},
		{"loads", []uint32{adrpX0, loadX2, loadW2, loadQ2}, []uint64{0x3040, 0x3040, 0x3040}},
		{"a store leaves the register", []uint32{adrpX0, storeX2, loadX2}, []uint64{0x3008, 0x3040}},
		{"a load overwrites it", []uint32{adrpX0, loadX0, loadX3}, []uint64{0x3008}},
		{"a move overwrites it", []uint32{adrpX0, moveX0, loadX3}, nil},
		{"a branch leaves it", []uint32{adrpX0, branch, loadX3}, []uint64{0x3008}},
		{"back", []uint32{adrpBack, loadOfX1}, []uint64{0}},
		{"without adrp", []uint32{addX1, loadX2}, nil},
		{"shifted", []uint32{adrpX0, shiftedX1}, nil},
	} {
		var code []byte
		for _, in := range tt.code {
			code = binary.LittleEndian.AppendUint32(code, in)
		}
		if got := references(code, 0x1000); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %x, want %x", tt.name, got, tt.want)
		}
		references(code[:len(code)-1], 0)
	}
}
