package amd64

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/internal/sigtest"
)

func TestDecodeRegset(t *testing.T) {
	b := make([]byte, Arch.RegsetSize)
	for i := range 27 {
		binary.LittleEndian.PutUint64(b[8*i:], 1<<63+uint64(i))
	}
	regs, ok := Arch.DecodeRegset(b)
	if !ok {
		t.Fatal("not decoded")
	}
	// The order of struct user_regs_struct.
	for i, r := range []arch.Reg{R15, R14, R13, R12, RBP, RBX, R11, R10, R9, R8, RAX, RCX, RDX, RSI, RDI, 99, RIP, 99, 99, RSP} {
		if r == 99 {
			continue
		}
		if v, ok := regs.Get(r); !ok || v != 1<<63+uint64(i) {
			t.Errorf("%s is %#x, %v, want word %d", Arch.Names[r], v, ok, i)
		}
	}
	if base, ok := Arch.TLSBase(b); !ok || base != 1<<63+21 {
		t.Errorf("TLS base %#x, %v", base, ok)
	}
	for _, n := range []int{0, len(b) - 1, len(b) + 1} {
		b := make([]byte, n)
		if _, ok := Arch.DecodeRegset(b); ok {
			t.Errorf("%d bytes are decoded", n)
		}
		if _, ok := Arch.TLSBase(b); ok {
			t.Errorf("%d bytes have a TLS base", n)
		}
	}
	if len(Arch.Names) != Arch.NumRegs || Arch.NumRegs > arch.MaxRegs {
		t.Errorf("%d names of %d registers", len(Arch.Names), Arch.NumRegs)
	}
}

func TestTrampolines(t *testing.T) {
	want := func() map[arch.Reg]uint64 {
		return map[arch.Reg]uint64{
			RAX: 0x1001, RBX: 0x1002, RCX: 0x1003, RDX: 0x1004, RSI: 0x1005, RDI: 0x1006, RBP: 0x1007,
			R8: 0x1008, R9: 0x1009, R10: 0x100a, R11: 0x100b, R12: 0x100c, R13: 0x100d, R14: 0x100e, R15: 0x100f,
		}
	}
	for _, cc := range []string{"gcc", "musl-gcc"} {
		t.Run(cc, func(t *testing.T) {
			exe := sigtest.Build(t, cc)
			for _, info := range []string{"plain", "siginfo"} {
				for _, restorer := range []string{"libc", "own"} {
					t.Run(info+"/"+restorer, func(t *testing.T) {
						sigtest.Check(t, Arch, []string{exe}, []string{info, restorer}, want())
					})
				}
			}
		})
	}
}
