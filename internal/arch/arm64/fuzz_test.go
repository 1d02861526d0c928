package arm64

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

func words(list ...uint32) []byte {
	var b []byte
	for _, w := range list {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

func FuzzAnalyze(f *testing.F) {
	// stp x29, x30, [sp, #-32]!; mov x29, sp; bl .+64; ldp x29, x30, [sp], #32; ret
	f.Add(uint16(8), words(0xa9be7bfd, 0x910003fd, 0x94000010, 0xa8c27bfd, 0xd65f03c0))
	// sub x9, sp, #16, lsl #12; sub sp, sp, #16, lsl #12; str xzr, [sp, #1024]; cmp sp, x9; b.ne .-12; ret
	f.Add(uint16(20), words(0xd14043e9, 0xd14043ff, 0xf90203ff, 0xeb2963ff, 0x54ffffa1, 0xd65f03c0))
	// paciasp; str x30, [x18], #8; mov x12, #0x1234; movk x12, #1, lsl #16; sub sp, sp, x12; ldr x30, [x18, #-8]!; br x16
	f.Add(uint16(24), words(0xd503233f, 0xf800865e, 0xd282468c, 0xf2a0002c, 0xcb2c63ff, 0xf85f8e5e, 0xd61f0200))
	f.Fuzz(func(t *testing.T, off uint16, code []byte) {
		const start = 0x1000
		noReturn(code)
		if len(code) > 32 {
			forked(code, 16)
		}
		edge(code[:min(4, len(code))], code)
		l, ok := analyze(code, start, start+uint64(off))
		if !ok {
			return
		}
		if int(off) >= len(code) {
			t.Fatalf("a frame at offset %d of %d bytes", off, len(code))
		}
		seen := map[arch.Reg]bool{}
		for _, s := range l.Saved {
			if s.Reg < X0+19 || s.Reg > LR || seen[s.Reg] {
				t.Fatalf("register %d is saved: %+v", s.Reg, l)
			}
			seen[s.Reg] = true
			if s.Offset != arch.NoOffset && s.Offset != int64(int32(s.Offset)) {
				t.Fatalf("offset out of range: %+v", l)
			}
		}
		if l.Base > SP || l.Return.Reg > LR {
			t.Fatalf("no such register: %+v", l)
		}
	})
}
