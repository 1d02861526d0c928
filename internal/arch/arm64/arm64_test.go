package arm64

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/internal/sigtest"
	"github.com/gatedso/bt/internal/testenv"
)

func TestDecodeRegset(t *testing.T) {
	b := make([]byte, Arch.RegsetSize)
	for i := range 34 {
		binary.LittleEndian.PutUint64(b[8*i:], 1<<63+uint64(i))
	}
	regs, ok := Arch.DecodeRegset(b)
	if !ok {
		t.Fatal("not decoded")
	}
	for name, want := range map[string]uint64{"x0": 0, "x8": 8, "x29": 29, "x30": 30, "sp": 31, "pc": 32, "pstate": 33} {
		found := false
		for r, n := range Arch.Names {
			if v, ok := regs.Get(arch.Reg(r)); n == name {
				if found = true; !ok || v != 1<<63+want {
					t.Errorf("%s is %#x, %v, want word %d", name, v, ok, want)
				}
			}
		}
		if !found {
			t.Errorf("no register %s", name)
		}
	}
	for _, n := range []int{0, len(b) - 1, len(b) + 1} {
		if _, ok := Arch.DecodeRegset(make([]byte, n)); ok {
			t.Errorf("%d bytes are decoded", n)
		}
	}
}

func TestStripPAC(t *testing.T) {
	for _, tt := range []struct{ ra, mask, want uint64 }{
		{0x0000aaaae7d40918, 0, 0x0000aaaae7d40918},
		{0x5a7faaaae7d40918, 0, 0x0000aaaae7d40918},
		// 39 bits of address, as Android has them: bits 39 to 54 are the code.
		{0x007ff85500000918, 0x007fff8000000000, 0x0000005500000918},
		// 52 bits of address.
		{0x003caaaae7d40918, 0x0070000000000000, 0x000caaaae7d40918},
	} {
		if got := Arch.StripPAC(tt.ra, tt.mask); got != tt.want {
			t.Errorf("%#x with mask %#x: %#x, want %#x", tt.ra, tt.mask, got, tt.want)
		}
	}
}

// The encodings are those of GNU as.
func TestAfterCall(t *testing.T) {
	for _, tt := range []struct {
		code uint32
		name string
		want bool
	}{
		{0x94000010, "bl .+64", true},
		{0x97fffff0, "bl .-64", true},
		{0xd63f0060, "blr x3", true},
		{0xd73f0822, "blraa x1, x2", true},
		{0xd73f0c22, "blrab x1, x2", true},
		{0xd63f083f, "blraaz x1", true},
		{0xd63f0c3f, "blrabz x1", true},
		{0x14000010, "b .+64", false},
		{0xd61f0060, "br x3", false},
		{0xd71f0822, "braa x1, x2", false},
		{0xd65f03c0, "ret", false},
		{0xd65f0bff, "retaa", false},
		{0xd4000001, "svc #0", false},
		{0xd503201f, "nop", false},
		{0, "udf #0", false},
	} {
		code := binary.LittleEndian.AppendUint32([]byte{1, 2, 3, 4}, tt.code)
		if got := Arch.AfterCall(code); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		if Arch.AfterCall(code[5:]) {
			t.Errorf("%s: three bytes of it are a call", tt.name)
		}
	}
}

func TestTrampolines(t *testing.T) {
	qemu := testenv.Need(t, "qemu-aarch64", "qemu-user")
	exe := sigtest.Build(t, "aarch64-linux-gnu-gcc-12", "-static", "-fno-pic", "-no-pie")
	for _, info := range []string{"plain", "siginfo"} {
		for _, restorer := range []string{"libc", "own"} {
			t.Run(info+"/"+restorer, func(t *testing.T) {
				want := map[arch.Reg]uint64{}
				for r := X0; r <= LR; r++ {
					want[r] = 0x1000 + uint64(r)
				}
				sigtest.Check(t, Arch, []string{qemu, exe}, []string{info, restorer}, want)
			})
		}
	}
}
