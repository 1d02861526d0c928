package arm64

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
	"github.com/gatedso/bt/internal/arch/internal/cfitest"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// ahead knows less than analyze and may give up, but must not be wrong often: it is
// compared with call frame information, at return addresses and anywhere.
func TestAheadLikeCFI(t *testing.T) {
	const libs = "/usr/aarch64-linux-gnu/lib/"
	for _, path := range []string{libs + "libc.so.6", libs + "libm.so.6", libs + "libstdc++.so.6"} {
		for _, called := range []bool{true, false} {
			name := filepath.Base(path)
			if called {
				name += ", called"
			}
			t.Run(name, func(t *testing.T) { aheadLikeCFI(t, path, called) })
		}
	}
}

func aheadLikeCFI(t *testing.T, path string, called bool) {
	im := cfitest.Open(t, path)
	right, unknown, other, wrong, lost := 0, 0, 0, 0, 0
	n := 0
	im.Table.FDEs(func(f cfi.FDE) bool {
		if n++; n%4 != 0 && !testenv.Full() {
			return true
		}
		code := im.Code(f.Start, f.End)
		for off := 0; off+8 <= len(code); off += 4 {
			var in inst
			decode(code[off:], &in)
			at, lookup := off, off
			if called {
				if in.flow != follow.Call {
					continue
				}
				at += 4
			} else if off/4%7 != n%7 || in.isPadding(code[off:]) {
				continue
			}
			var row cfi.Row
			if im.Table.Row(f.Start+uint64(lookup), &row) != nil || row.CFA.Kind != cfi.Register || row.Regs[LR].Kind == cfi.Undefined {
				continue
			}
			window := im.From(f.Start)
			window = window[:min(len(window), off+4096)]
			l, ok := ahead(window, at, called)
			ret := row.Regs[LR]
			switch {
			case !ok:
				unknown++
				continue
			case l.Base != arch.Reg(row.CFA.Reg):
				other++
				continue
			case l.Offset != row.CFA.N,
				ret.Kind == cfi.Offset && !l.Return.InReg && l.Return.Offset != ret.N,
				ret.Kind != cfi.Offset && (!l.Return.InReg || called):
				if wrong++; wrong < 20 {
					t.Logf("%x: CFA %d%+d, %+v, want %d%+d, %+v", f.Start+uint64(at), l.Base, l.Offset, l.Return, row.CFA.Reg, row.CFA.N, ret)
				}
				continue
			}
			right++
			for _, s := range l.Saved {
				if r := row.Regs[s.Reg]; s.Offset != arch.NoOffset && (r.Kind != cfi.Offset || r.N != s.Offset) {
					lost++
				}
			}
		}
		return true
	})
	t.Logf("%d right, %d unknown, %d by another register, %d wrong, %d registers wrong", right, unknown, other, wrong, lost)
	if right == 0 || 200*wrong > right {
		t.Errorf("wrong too often")
	}
}

func FuzzAhead(f *testing.F) {
	var code []byte
	for _, w := range []uint32{0xa9be7bfd, 0x910003fd, 0xa90153f3, 0x94000000, 0xb4000060, 0xa94153f3, 0xa8c27bfd, 0xd65f03c0} {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	f.Add(code, uint16(0))
	f.Fuzz(func(t *testing.T, code []byte, pc uint16) {
		for _, called := range []bool{false, true} {
			l, ok := ahead(code, int(pc), called)
			if ok && (called && l.Return == entry.Return || l.Base != SP && l.Base != FP) {
				t.Errorf("%+v", l)
			}
		}
	})
}
