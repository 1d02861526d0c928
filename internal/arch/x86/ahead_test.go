package x86

import (
	"math/rand/v2"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
	"github.com/gatedso/bt/internal/arch/internal/cfitest"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Ahead knows less than Analyze and may give up, but must not be wrong often:
// it is compared with call frame information at return addresses.
func TestAheadLikeCFI(t *testing.T) {
	for _, path := range []string{
		"/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libstdc++.so.6", "/lib32/libc.so.6",
	} {
		t.Run(path, func(t *testing.T) {
			im := cfitest.Open(t, path)
			m := modeOf(im)
			rng := rand.New(rand.NewPCG(1, 2))
			right, unknown, wrong, regs, badRegs := 0, 0, 0, 0, 0
			im.Table.FDEs(func(f cfi.FDE) bool {
				if rng.IntN(4) != 0 {
					return true
				}
				code := im.Code(f.Start, f.End)
				for off := 0; off < len(code); {
					var in inst
					if !m.decode(code[off:], &in) {
						break
					}
					off += in.size
					var row cfi.Row
					if in.flow() != follow.Call || in.op == 0xe8 && in.imm == 0 || off >= len(code) ||
						im.Table.Row(f.Start+uint64(off)-1, &row) != nil || row.CFA.Kind != cfi.Register {
						continue
					}
					window := im.From(f.Start)
					window = window[:min(len(window), off+4096)]
					l, ok := m.Ahead(window, off, true)
					switch {
					case !ok, l.Base != arch.Reg(row.CFA.Reg):
						unknown++
						continue
					case l.Offset != row.CFA.N:
						wrong++
						if wrong < 20 {
							t.Logf("%x: CFA %d%+d, want %d%+d", f.Start+uint64(off), l.Base, l.Offset, row.CFA.Reg, row.CFA.N)
						}
						continue
					}
					right++
					for _, s := range l.Saved {
						if r := row.Regs[s.Reg]; r.Kind == cfi.Offset && r.N == s.Offset {
							regs++
						} else {
							badRegs++
						}
					}
				}
				return true
			})
			// The wrong ones follow calls that do not return.
			if 50*wrong > right || m.PtrSize == 8 && 500*wrong > right || unknown > right || 100*badRegs > regs {
				t.Error("too often")
			}
			t.Logf("%d right, %d unknown, %d wrong; registers: %d right, %d wrong", right, unknown, wrong, regs, badRegs)
		})
	}
}

func FuzzAhead(f *testing.F) {
	f.Add([]byte("\x48\x83\xc4\x08\x5b\xc3"), uint16(0), false)
	f.Add([]byte("\xc3\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x53\xff\xd3\x0f\x0b"), uint16(19), true)
	f.Fuzz(func(t *testing.T, code []byte, pc uint16, called bool) {
		for _, m := range []*Mode{&AMD64, &I386} {
			m.Ahead(code, int(pc), called)
		}
	})
}
