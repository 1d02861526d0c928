package render

import (
	"fmt"
	"testing"
)

func TestAppendAddr(t *testing.T) {
	for _, addr := range []uint64{0, 1, 0x9a, 0xfedcba9876543210, 0x0123456789abcdef, 1<<64 - 1, 1<<32 - 1, 1 << 32} {
		if got, want := Addr(addr, 8), fmt.Sprintf("%016x", addr); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		width := 8
		if addr >= 1<<32 {
			width = 16
		}
		if got, want := Addr(addr, 4), fmt.Sprintf("%0*x", width, addr); got != want {
			t.Errorf("32 bits: %s, want %s", got, want)
		}
	}
}

func TestAppendHex(t *testing.T) {
	for shift := range 65 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, 0xfedcba9876543210 >> shift} {
			if got, want := string(AppendHex([]byte("x"), v)), fmt.Sprintf("x%x", v); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
}
