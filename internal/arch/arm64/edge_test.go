package arm64

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// The frame at the first and last instructions of functions, and in PLT stubs. The
// encodings are those of GNU as and GNU ld.
func TestEdge(t *testing.T) {
	const (
		nop, ret, btiC                  = 0xd503201f, 0xd65f03c0, 0xd503245f
		push32, setFP, pop32, autiasp   = 0xa9be7bfd, 0x910003fd, 0xa8c27bfd, 0xd50323bf
		pushPLT0, adrp, ldr, add, brX17 = 0xa9bf7bf0, 0x90000090, 0xf947fe11, 0x913fe210, 0xd61f0220
	)
	first := []uint32{btiC, pushPLT0, adrp, ldr, add, brX17}
	for _, tt := range []struct {
		name         string
		before, code []uint32
		want         string // offset of the CFA from the stack pointer, and where the return address is
	}{
		{"before the frame record", nil, []uint32{push32, setFP}, "0 x30"},
		{"before the frame pointer is set", []uint32{push32}, []uint32{setFP, nop}, "32 -24"},
		{"before the epilogue", nil, []uint32{pop32, ret}, "32 -24"},
		{"before a signed epilogue", nil, []uint32{pop32, autiasp, ret}, "32 -24"},
		{"before the return", nil, []uint32{ret}, "0 x30"},
		{"in the middle", []uint32{setFP}, []uint32{nop, nop}, ""},
		{"a PLT stub", nil, []uint32{adrp, ldr, add, brX17}, "0 x30"},
		{"a PLT stub's second instruction", []uint32{adrp}, []uint32{ldr, add, brX17}, "0 x30"},
		{"the first PLT stub, with a landing pad", nil, first, "0 x30"},
		{"the first PLT stub", nil, first[1:], "0 x30"},
		{"behind its push", first[:2], first[2:], "16 x30"},
		{"two behind its push", first[:3], first[3:], "16 x30"},
		{"its last instruction", first[:5], first[5:], "16 x30"},
		{"the same without what is before", nil, first[5:], "0 x30"},
	} {
		code := func(words []uint32) (b []byte) {
			for _, w := range words {
				b = binary.LittleEndian.AppendUint32(b, w)
			}
			return b
		}
		got := ""
		if l, ok := edge(code(tt.before), code(tt.code)); ok {
			got = fmt.Sprintf("%d %d", l.Offset, l.Return.Offset)
			if l.Return.InReg {
				got = fmt.Sprintf("%d %s", l.Offset, Arch.Names[l.Return.Reg])
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestStartsThread(t *testing.T) {
	const blr, bl, exit, exitGroup, svc0 = 0xd63f0020, 0x94000010, 0xd2800ba8, 0xd2800bc8, 0xd4000001
	for _, tt := range []struct {
		name   string
		before uint32
		code   []uint32
		want   bool
	}{
		{"musl's clone", blr, []uint32{exit, svc0}, true},
		{"a call of a function by its name", bl, []uint32{exit, svc0}, false},
		{"the end of the process", blr, []uint32{exitGroup, svc0}, false},
		{"no system call", blr, []uint32{exit, blr}, false},
		{"a page's end", blr, []uint32{exit}, false},
	} {
		var code []byte
		for _, w := range tt.code {
			code = binary.LittleEndian.AppendUint32(code, w)
		}
		if got := startsThread(binary.LittleEndian.AppendUint32(nil, tt.before), code); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// The encodings are those of GNU as.
func TestCallTarget(t *testing.T) {
	const ret = 0x401040
	const (
		bl, blrX1, blrX2  = 0x97fffff0, 0xd63f0020, 0xd63f0040 // bl .-64
		adrpX1, ldrX1     = 0xd00000e1, 0xf9476421             // adrp x1, .+30 pages; ldr x1, [x1, #3784]
		movX0, movX1, cbz = 0xaa1c03e0, 0xaa1c03e1, 0xb4000060
	)
	for _, tt := range []struct {
		name string
		code []uint32
		addr uint64
		slot bool
		ok   bool
	}{
		{"bl", []uint32{movX0, bl}, ret - 4 - 64, false, true},
		{"through a slot", []uint32{adrpX1, ldrX1, movX0, blrX1}, 0x401000 + 30*4096 + 3784, true, true},
		{"the register is written again", []uint32{adrpX1, ldrX1, movX1, blrX1}, 0, true, false},
		{"a branch in between", []uint32{adrpX1, ldrX1, cbz, blrX1}, 0, true, false},
		{"another register", []uint32{adrpX1, ldrX1, movX0, blrX2}, 0, true, false},
		{"the page is not known", []uint32{movX0, ldrX1, blrX1}, 0, true, false},
		{"no call", []uint32{movX0}, 0, true, false},
	} {
		var code []byte
		for _, w := range tt.code {
			code = binary.LittleEndian.AppendUint32(code, w)
		}
		addr, slot, ok := Arch.CallTarget(code, ret)
		if ok != tt.ok || ok && (addr != tt.addr || slot != tt.slot) {
			t.Errorf("%s: %#x, slot %v, %v", tt.name, addr, slot, ok)
		}
	}
}

func TestGoRestarts(t *testing.T) {
	const back, bl, forward = 0x17ffff5c, 0x97ffff5c, 0x14000010 // b .-656, bl .-656, b .+64: GNU as
	for _, tt := range []struct {
		in    uint32
		entry uint64
		want  bool
	}{
		{back, 0x7d580, true}, {back, 0x7d584, false}, {bl, 0x7d580, false}, {forward, 0x7d850, true},
	} {
		if got := goRestarts(binary.LittleEndian.AppendUint32(nil, tt.in), 0x7d810, tt.entry); got != tt.want {
			t.Errorf("%08x to %x: %v", tt.in, tt.entry, got)
		}
	}
	if goRestarts(nil, 0x7d810, 0x7d580) {
		t.Error("without code")
	}
}
