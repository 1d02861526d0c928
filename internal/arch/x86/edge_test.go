package x86

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestEdge(t *testing.T) {
	const entered, pushed, none = 1, 2, 0
	for _, c := range []struct {
		name         string
		mode         *Mode
		before, code string
		want         int // words between the stack pointer and the CFA; 0: no edge
	}{
		{"push rbp", &AMD64, "90909090", "55 48 89 e5 48 83 ec 10", entered},
		{"endbr64, push rbp", &AMD64, "90909090", "f3 0f 1e fa 55 48 89 e5", entered},
		{"push rbp without a frame", &AMD64, "90909090", "55 53 48 83 ec 08", none},
		{"mov rsp,rbp", &AMD64, "909055", "48 89 e5 53", pushed},
		{"mov rsp,rbp, other form", &AMD64, "55", "48 8b ec 53", pushed},
		{"mov rsp,rbp without push", &AMD64, "90909090", "48 89 e5 53", none},
		{"mov esp,ebp is no frame in 64-bit code", &AMD64, "55", "89 e5 53", none},
		{"ret", &AMD64, "c9", "c3 90 90", entered},
		{"rep ret", &AMD64, "5d", "f3 c3", entered},
		{"pop rbp; ret", &AMD64, "5b", "5d c3", pushed},
		{"pop rbp alone", &AMD64, "5b", "5d 41 5c c3", none},
		{"leave", &AMD64, "90", "c9 c3", none},
		{"plt stub", &AMD64, "90909090", "ff 25 00 10 00 00", entered},
		{"ibt plt stub", &AMD64, "90909090", "f3 0f 1e fa f2 ff 25 00 10 00 00", entered},
		{"jump table", &AMD64, "90909090", "ff 24 c5 00 10 40 00", none},
		{"push ebp", &I386, "90909090", "55 89 e5 83 ec 10", entered},
		{"mov esp,ebp", &I386, "55", "89 e5 53", pushed},
		{"mov esp,ebp, other form", &I386, "55", "8b ec 53", pushed},
		{"cut short", &AMD64, "", "55", none},
		{"nothing", &AMD64, "", "", none},
	} {
		t.Run(c.name, func(t *testing.T) {
			bytes := func(s string) []byte {
				b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			l, ok := c.mode.Edge(bytes(c.before), bytes(c.code))
			if ok != (c.want != none) {
				t.Fatalf("Edge = %+v, %v", l, ok)
			}
			if !ok {
				return
			}
			if l.Base != c.mode.DWARF[sp] || l.Offset != int64(c.want*c.mode.PtrSize) {
				t.Errorf("CFA is %d%+d, want the stack pointer plus %d words", l.Base, l.Offset, c.want)
			}
			if (len(l.Saved) == 1) != (c.want == pushed) {
				t.Errorf("saved: %v", l.Saved)
			}
		})
	}
}
