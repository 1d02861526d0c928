package i386

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/internal/sigtest"
)

func TestDecodeRegset(t *testing.T) {
	b := make([]byte, Arch.RegsetSize)
	for i := range 17 {
		binary.LittleEndian.PutUint32(b[4*i:], 1<<31+uint32(i))
	}
	regs, ok := Arch.DecodeRegset(b)
	if !ok {
		t.Fatal("not decoded")
	}
	// The order of struct user_regs_struct32.
	for i, r := range []arch.Reg{EBX, ECX, EDX, ESI, EDI, EBP, EAX, 99, 99, 99, 99, 99, EIP, 99, 99, ESP} {
		if r == 99 {
			continue
		}
		if v, ok := regs.Get(r); !ok || v != 1<<31+uint64(i) {
			t.Errorf("%s is %#x, %v, want word %d", Arch.Names[r], v, ok, i)
		}
	}
	for _, n := range []int{0, len(b) - 1, len(b) + 1, 216} {
		if _, ok := Arch.DecodeRegset(make([]byte, n)); ok {
			t.Errorf("%d bytes are decoded", n)
		}
	}
	if len(Arch.Names) != Arch.NumRegs || Arch.NumRegs > arch.MaxRegs {
		t.Errorf("%d names of %d registers", len(Arch.Names), Arch.NumRegs)
	}
}

func TestTrampolines(t *testing.T) {
	exe := sigtest.Build(t, "gcc", "-m32", "-fno-pic", "-no-pie")
	for _, info := range []string{"plain", "siginfo"} {
		// Bare handlers return to the vDSO.
		for _, restorer := range []string{"libc", "own", "bare"} {
			t.Run(info+"/"+restorer, func(t *testing.T) {
				sigtest.Check(t, Arch, []string{exe}, []string{info, restorer}, map[arch.Reg]uint64{
					EAX: 0x1001, EBX: 0x1002, ECX: 0x1003, EDX: 0x1004, ESI: 0x1005, EDI: 0x1006, EBP: 0x1007,
				})
			})
		}
	}
}
