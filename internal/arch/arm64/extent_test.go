package arm64

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// What a function's instructions lead to. The encodings are those of GNU as.
func TestExtent(t *testing.T) {
	const (
		nop, ret, brk  = 0xd503201f, 0xd65f03c0, 0xd4200000
		brX0, brX17    = 0xd61f0000, 0xd61f0220
		cbz3, b3, bl2  = 0xb4000060, 0x14000003, 0x94000002 // to .+12, .+12, .+8
		back1, back100 = 0x17ffffff, 0x17ffff9c             // b .-4, b .-400
		b4, cbz4       = 0x14000004, 0xb4000080             // to .+16
		udf            = 0
	)
	const unknown = "unknown"
	for _, tt := range []struct {
		name string
		code []uint32
		addr uint64
		want string
	}{
		{"a return", []uint32{nop, ret, nop}, 0, "0-8"},
		{"a trap", []uint32{brk, nop}, 0, "0-4"},
		{"a branch over a return", []uint32{cbz3, nop, ret, ret, nop}, 0, "0-16"},
		{"a loop", []uint32{nop, back1, nop}, 0, "0-8"},
		{"a jump forward", []uint32{b3, nop, nop, nop, ret, nop}, 0, "0-4 12-20"},
		{"a tail call to an aligned place", []uint32{b4, nop, nop, nop, ret, nop}, 0, "0-4"},
		{"the same, by address", []uint32{b3, nop, nop, ret, nop}, 4, "0-4"},
		{"an aligned place that a branch leads to, too", []uint32{cbz4, b3, nop, nop, ret}, 0, "0-8 16-20"},
		{"a call comes back, and its target is another's", []uint32{bl2, ret, nop, ret}, 0, "0-8"},
		{"a jump back out", []uint32{back100, nop}, 0, "0-4"},
		{"a stub of the linker", []uint32{nop, brX17, nop}, 0, "0-8"},
		{"a jump to a register", []uint32{brX0, nop}, 0, unknown},
		{"zeros", []uint32{nop, udf, nop}, 0, "0-8"},
		{"no end", []uint32{nop, nop}, 0, unknown},
		{"no code", nil, 0, unknown},
	} {
		var code []byte
		for _, in := range tt.code {
			code = binary.LittleEndian.AppendUint32(code, in)
		}
		got := unknown
		if spans, ok := Arch.Extent(code, tt.addr); ok {
			var words []string
			for _, s := range spans {
				words = append(words, fmt.Sprintf("%d-%d", s.Start, s.End))
			}
			got = strings.Join(words, " ")
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The extents of a C library's functions against the sizes of their symbols: they
// cover the whole function, but for a few whose parts only a jump to an aligned place
// leads to.
func TestExtentOfLibrary(t *testing.T) {
	f, err := elf.Open("/usr/aarch64-linux-gnu/lib/libc.so.6")
	if err != nil {
		testenv.Skip(t, "no arm64 libraries: apt-get install libc6-arm64-cross")
	}
	defer f.Close()
	text := f.Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	all, unknown, short := 0, 0, 0
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size == 0 || s.Value < text.Addr || s.Value >= text.Addr+text.Size {
			continue
		}
		all++
		spans, ok := Arch.Extent(code[s.Value-text.Addr:], s.Value)
		if !ok {
			unknown++
			continue
		}
		covered := 0
		for _, s := range spans {
			covered += s.End - s.Start
		}
		if uint64(covered) < s.Size {
			short++
		}
	}
	if t.Logf("%d functions, %d unknown, %d cut short", all, unknown, short); all < 2000 || unknown > all/100 || short > all/15 {
		t.Errorf("of %d functions the extent of %d is unknown, that of %d is too short", all, unknown, short)
	}
}
