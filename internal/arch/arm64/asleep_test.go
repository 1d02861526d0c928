package arm64

import (
	"encoding/binary"
	"testing"
)

// The register set has x0 to x30, sp, pc and pstate, 8 bytes each.
func TestAsleep(t *testing.T) {
	set := func(nr uint64, x0 int64) []byte {
		b := make([]byte, 34*8)
		binary.LittleEndian.PutUint64(b, uint64(x0))
		for i := 1; i < 6; i++ {
			binary.LittleEndian.PutUint64(b[8*i:], uint64(i+1))
		}
		binary.LittleEndian.PutUint64(b[8*8:], nr)
		return b
	}
	const restartSys = -512
	for _, tt := range []struct {
		nr       uint64
		x0       int64
		ok, lost bool
		first    uint64
	}{
		{98, 1, true, false, 1}, // the pc was put back to the svc
		{98, restartSys, true, true, 0},
		{98, -4, true, true, 0},
		{98, -11, true, false, 1<<64 - 11},
		{1 << 20, 1, false, false, 0},
		{1<<64 - 1, 1, false, false, 0},
	} {
		c, ok := Arch.Syscalls.Asleep(set(tt.nr, tt.x0))
		if ok != tt.ok || c.Lost != tt.lost || c.Args[0] != tt.first || ok && (c.Nr != int(tt.nr) || !c.Unproved || c.Args[5] != 6 || (c.Behind == 4) != tt.lost) {
			t.Errorf("call %d, x0 %d: %+v, %v", tt.nr, tt.x0, c, ok)
		}
	}
	if _, ok := Arch.Syscalls.Asleep(make([]byte, 8)); ok {
		t.Error("a register set that is cut is read")
	}
	for nr, name := range map[int]string{63: "read", 98: "futex", 101: "nanosleep", 128: "restart_syscall", 260: "wait4"} {
		if got := Arch.Syscalls.Name(nr); got != name {
			t.Errorf("%d: %s, want %s", nr, got, name)
		}
	}
}
