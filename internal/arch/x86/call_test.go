package x86

import "testing"

// The code ends where the call returns to.
func TestCallTarget(t *testing.T) {
	for _, tt := range []struct {
		name       string
		mode       *Mode
		code       []byte
		addr       uint64
		slot, call bool
	}{
		{"call forward", &AMD64, []byte{0x90, 0xe8, 0x10, 0, 0, 0}, 0x401010, false, true},
		{"call back", &AMD64, []byte{0x90, 0xe8, 0xf0, 0xff, 0xff, 0xff}, 0x400ff0, false, true},
		{"through the GOT", &AMD64, []byte{0xff, 0x15, 0x10, 0, 0, 0}, 0x401010, true, true},
		{"through a register", &AMD64, []byte{0x90, 0x90, 0x90, 0x90, 0xff, 0xd0}, 0, false, false},
		{"a jump", &AMD64, []byte{0x90, 0xe9, 0x10, 0, 0, 0}, 0, false, false},
		{"too short", &AMD64, []byte{0xe8, 0x10, 0, 0, 0}, 0, false, false},
		{"nothing", &AMD64, nil, 0, false, false},
		{"32-bit", &I386, []byte{0x90, 0xe8, 0x10, 0, 0, 0}, 0x401010, false, true},
		{"32-bit, around the end", &I386, []byte{0x90, 0xe8, 0, 0, 0xc0, 0xff}, 0x1000, false, true},
		{"32-bit, through memory", &I386, []byte{0xff, 0x15, 0x10, 0, 0, 0}, 0, false, false},
	} {
		addr, slot, ok := tt.mode.CallTarget(tt.code, 0x401000)
		if addr != tt.addr || slot != tt.slot || ok != tt.call {
			t.Errorf("%s: 0x%x, %v, %v; want 0x%x, %v, %v", tt.name, addr, slot, ok, tt.addr, tt.slot, tt.call)
		}
	}
}
