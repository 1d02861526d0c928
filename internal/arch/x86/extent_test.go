package x86_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/arch/x86"
)

// What a function's instructions lead to, of both instruction sets.
func TestExtent(t *testing.T) {
	const unknown = "unknown"
	nops := bytes.Repeat([]byte{0x90}, 32)
	code := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	b := func(bytes ...byte) []byte { return bytes }
	for _, tt := range []struct {
		name string
		code []byte
		addr uint64
		want string
	}{
		{"a return", code(b(0x90, 0xc3), nops), 0, "0-2"},
		{"rep ret", code(b(0xf3, 0xc3), nops), 0, "0-2"},
		{"a trap", code(b(0x0f, 0x0b), nops), 0, "0-2"},
		{"a branch over a return", code(b(0x74, 0x01, 0xc3, 0x90, 0xc3), nops), 0, "0-5"},
		{"a branch far behind", code(b(0x74, 0x03, 0xc3), nops[:3], b(0xc3), nops), 0, "0-3 5-7"},
		{"a loop", code(b(0x90, 0xeb, 0xfd), nops), 0, "0-3"},
		{"a jump forward", code(b(0xeb, 0x03), nops[:3], b(0x90, 0xc3), nops), 0, "0-2 5-7"},
		{"a jump that leads to more jumps", code(b(0xeb, 0x03), nops[:3], b(0xeb, 0x01, 0x90, 0xc3), nops), 0, "0-2 5-7 8-9"},
		{"a tail call to an aligned place", code(b(0xeb, 0x0e), nops[:14], b(0x90, 0xc3), nops), 0, "0-2"},
		{"the same, by address", code(b(0xeb, 0x0e), nops[:14], b(0x90, 0xc3), nops), 8, "0-2 16-18"},
		{"an aligned place that a branch leads to, too", code(b(0x74, 0x0e, 0xeb, 0x0c), nops[:12], b(0x90, 0xc3), nops), 0, "0-4 16-18"},
		{"a call comes back, and its target is another's", code(b(0xe8, 1, 0, 0, 0, 0xc3, 0x90, 0xc3), nops), 0, "0-6"},
		{"a jump out", code(b(0xe9, 0, 1, 0, 0), nops), 0, "0-5"},
		{"a jump back out", code(b(0xeb, 0x80), nops), 0, "0-2"},
		{"a jump through a slot", code(b(0xff, 0x25, 0, 0, 0, 0), nops), 0, "0-6"},
		{"a jump table", code(b(0xff, 0x24, 0xc5, 0, 0, 0, 0), nops), 0, unknown},
		{"a jump to a register", code(b(0xff, 0xe0), nops), 0, unknown},
		{"no instruction", code(b(0x90, 0xd6), nops), 0, unknown},
		{"no end", code(nops), 0, unknown},
		{"no code", nil, 0, unknown},
	} {
		for _, m := range []*x86.Mode{&x86.AMD64, &x86.I386} {
			spans, ok := m.Extent(tt.code, tt.addr)
			got := unknown
			if ok {
				got = ""
				for i, s := range spans {
					if i > 0 {
						got += " "
					}
					got += fmt.Sprintf("%d-%d", s.Start, s.End)
				}
			}
			if got != tt.want {
				t.Errorf("%s, %d bits: %s, want %s", tt.name, 8*m.PtrSize, got, tt.want)
			}
		}
	}
}

func FuzzExtent(f *testing.F) {
	f.Add([]byte{0x74, 0x01, 0xc3, 0x90, 0xc3}, uint64(16))
	f.Fuzz(func(t *testing.T, code []byte, addr uint64) {
		spans, ok := x86.AMD64.Extent(code, addr)
		if !ok {
			return
		}
		end := -1
		for i, s := range spans {
			if s.Start <= end || s.End <= s.Start || s.End > len(code) || i == 0 && s.Start != 0 {
				t.Fatalf("%v of %d bytes", spans, len(code))
			}
			end = s.End
		}
	})
}
