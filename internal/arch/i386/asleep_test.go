package i386

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

// set is a register set with orig_eax, eax and the arguments 1 to 6.
func set(nr, result int32) []byte {
	b := make([]byte, regsetSize)
	put := func(word int, v uint32) { binary.LittleEndian.PutUint32(b[4*word:], v) }
	put(origEAXWord, uint32(nr))
	for reg, word := range regsetWords {
		if arch.Reg(reg) == EAX {
			put(word, uint32(result))
		}
		for i, r := range syscallArgs {
			if arch.Reg(reg) == r {
				put(word, uint32(i+1))
			}
		}
	}
	return b
}

func TestAsleep(t *testing.T) {
	const eintr, restartSys, restartBlock, again = -4, -512, -516, -11
	for _, tt := range []struct {
		nr, result int32
		ok, ended  bool
	}{
		{240, restartSys, true, false},
		{240, restartBlock, true, false},
		{240, eintr, true, false},
		{240, again, true, true}, // it has a result
		{1, 5, true, true},
		{0, restartSys, true, false},
		{-1, 0, false, false}, // in no call
		{int32(len(syscallNames)), restartSys, false, false},
		{1 << 30, restartSys, false, false},
	} {
		c, ok := Arch.Syscalls.Asleep(set(tt.nr, tt.result))
		if ok != tt.ok || c.Ended != tt.ended || ok && (c.Nr != int(tt.nr) || c.Args != [6]uint64{1, 2, 3, 4, 5, 6}) {
			t.Errorf("call %d, result %d: %+v, %v", tt.nr, tt.result, c, ok)
		}
	}
	if _, ok := Arch.Syscalls.Asleep(make([]byte, regsetSize-1)); ok {
		t.Error("a register set that is cut is read")
	}
}

// The numbers are the kernel's, by its own headers.
func TestSyscallNames(t *testing.T) {
	for nr, name := range map[int]string{0: "restart_syscall", 3: "read", 7: "waitpid", 162: "nanosleep", 168: "poll", 240: "futex", 422: "futex_time64"} {
		if got := Arch.Syscalls.Name(nr); got != name {
			t.Errorf("%d: %s, want %s", nr, got, name)
		}
	}
	if Arch.Syscalls.Name(-1) != "" || Arch.Syscalls.Name(1<<20) != "" {
		t.Error("a number that is none has a name")
	}
}
