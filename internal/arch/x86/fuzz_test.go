package x86

import (
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

func modes(wide bool) *Mode {
	if wide {
		return &AMD64
	}
	return &I386
}

func FuzzAnalyze(f *testing.F) {
	f.Add(true, uint16(6), []byte("\x55\x48\x89\xe5\x53\x50\xe8\x00\x00\x00\x00\x58\x5b\xc9\xc3"))
	f.Add(false, uint16(9), []byte("\x8d\x4c\x24\x04\x83\xe4\xf0\xff\x71\xfc\x55\x89\xe5\x51\xc9\xc3"))
	f.Add(true, uint16(8), []byte("\x4c\x8d\x9c\x24\x00\x00\xff\xff\x48\x81\xec\x00\x10\x00\x00\x4c\x39\xdc\x75\xf4\xc3"))
	f.Add(true, uint16(3), []byte("\xff\x24\xc5\x00\x00\x00\x00\x90\x75\xfd\x62\xf1\x7c\x48\x10\x00\xc5\xf8\x77\xc3"))
	f.Fuzz(func(t *testing.T, wide bool, off uint16, code []byte) {
		m := modes(wide)
		const start = 0x1000
		l, ok := m.Analyze(code, start, start+uint64(off))
		if !ok {
			return
		}
		if int(off) >= len(code) {
			t.Fatalf("a frame at offset %d of %d bytes", off, len(code))
		}
		seen := map[arch.Reg]bool{}
		for _, s := range l.Saved {
			i := m.machine(s.Reg)
			if i < 0 || m.CalleeSaved>>i&1 == 0 || seen[s.Reg] {
				t.Fatalf("register %d is saved: %+v", s.Reg, l)
			}
			seen[s.Reg] = true
			if s.Offset != arch.NoOffset && s.Offset != int64(int32(s.Offset)) {
				t.Fatalf("offset out of range: %+v", l)
			}
		}
		if m.machine(l.Base) < 0 {
			t.Fatalf("no such register: %+v", l)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(true, []byte("\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00"))
	f.Add(true, []byte("\xf3\x0f\x1e\xfa"))
	f.Add(true, []byte("\xf3\x48\x0f\x1e\xc8"))
	f.Add(false, []byte("\xc5\xf8\x77"))
	f.Add(false, []byte("\xc4\xe2\x7d\x18\x05\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, wide bool, code []byte) {
		var in inst
		m := modes(wide)
		if !m.decode(code, &in) {
			return
		}
		if in.size < 1 || in.size > 15 || in.size > len(code) {
			t.Fatalf("% x: size %d", code, in.size)
		}
		m.writes(&in)
		in.flow()
		// The bytes behind an instruction are not part of it.
		var again inst
		if !m.decode(code[:in.size], &again) || again != in {
			t.Fatalf("% x: %+v, cut %+v", code, in, again)
		}
	})
}

func FuzzAfterCall(f *testing.F) {
	f.Add(true, []byte("\xff\x15\x00\x00\x00\x00"))
	f.Add(false, []byte("\x65\xff\x15\x10\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, wide bool, code []byte) {
		m := modes(wide)
		var in inst
		if m.decode(code, &in) && in.size == len(code) && in.flow() == follow.Call && !(in.op == 0x9a && in.opsize) && !(in.op == 0xe8 && in.opsize && !wide) {
			if !m.AfterCall(code) {
				t.Fatalf("% x: a call that is not seen as one", code)
			}
		}
		n := max(0, len(code)-MaxCall)
		if m.AfterCall(code) != m.AfterCall(code[n:]) {
			t.Fatalf("% x: bytes further away than MaxCall matter", code)
		}
	})
}
