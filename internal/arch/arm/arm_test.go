package arm

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

func TestDecodeRegset(t *testing.T) {
	b := make([]byte, Arch.RegsetSize)
	for i := range 18 {
		binary.LittleEndian.PutUint32(b[4*i:], 1<<31+uint32(i))
	}
	regs, ok := Arch.DecodeRegset(b)
	if !ok {
		t.Fatal("not decoded")
	}
	for i, name := range []string{"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc", "cpsr"} {
		if v, ok := regs.Get(arch.Reg(i)); Arch.Names[i] != name || !ok || v != 1<<31+uint64(i) {
			t.Errorf("%s is %#x, %v, want word %d, %s", Arch.Names[i], v, ok, i, name)
		}
	}
	for _, n := range []int{0, len(b) - 1, len(b) + 1} {
		if _, ok := Arch.DecodeRegset(make([]byte, n)); ok {
			t.Errorf("%d bytes are decoded", n)
		}
	}
}

// The encodings are those of GNU as, in little-endian order.
func TestAfterCall(t *testing.T) {
	for _, tt := range []struct {
		code string
		name string
		want bool
	}{
		{"\x0e\x00\x00\xeb", "bl", true},
		{"\x0e\x00\x00\x1b", "blne", true},
		{"\x0e\x00\x00\xfa", "blx label", true},
		{"\x0e\x00\x00\xfb", "blx label at half a word", true},
		{"\x33\xff\x2f\xe1", "blx r3", true},
		{"\x00\xf0\x1d\xf8", "bl of Thumb", true},
		{"\x00\xf0\x1c\xe8", "blx of Thumb", true},
		{"\x00\xbf\x98\x47", "nop; blx r3 of Thumb", true},
		{"\x0e\x00\x00\xea", "b", false},
		{"\x13\xff\x2f\xe1", "bx r3", false},
		{"\x00\xf0\x1d\xb8", "b.w of Thumb", false},
		{"\x00\xbf\x18\x47", "nop; bx r3 of Thumb", false},
		{"\x00\x00\xa0\xe1", "nop", false},
		{"\x00\x00\x00\xef", "svc 0", false},
		{"\x00\x00\x00\x00", "zeros", false},
	} {
		if got := Arch.AfterCall([]byte(tt.code)); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if Arch.AfterCall([]byte{0x47}) || Arch.AfterCall(nil) {
		t.Error("less than an instruction is a call")
	}
}
