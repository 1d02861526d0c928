package amd64

import (
	"encoding/binary"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

// set is a register set with orig_rax, rax and the arguments 1 to 6.
func set(nr, result int64) []byte {
	b := make([]byte, regsetSize)
	put := func(word int, v uint64) { binary.LittleEndian.PutUint64(b[8*word:], v) }
	put(origRAXWord, uint64(nr))
	for reg, word := range regsetWords {
		if arch.Reg(reg) == RAX {
			put(word, uint64(result))
		}
		for i, r := range syscallArgs {
			if arch.Reg(reg) == r {
				put(word, uint64(i+1))
			}
		}
	}
	return b
}

func TestAsleep(t *testing.T) {
	const eintr, restartSys, restartBlock, again = -4, -512, -516, -11
	for _, tt := range []struct {
		nr, result int64
		ok, ended  bool
	}{
		{202, restartSys, true, false},
		{202, restartBlock, true, false},
		{202, eintr, true, false},
		{202, again, true, true}, // it has a result
		{1, 5, true, true},
		{0, restartSys, true, false},
		{-1, 0, false, false}, // in no call
		{int64(len(syscallNames)), restartSys, false, false},
		{1 << 40, restartSys, false, false},
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
	for nr, name := range map[int]string{0: "read", 7: "poll", 35: "nanosleep", 61: "wait4", 202: "futex", 219: "restart_syscall", 230: "clock_nanosleep", 281: "epoll_pwait"} {
		if got := Arch.Syscalls.Name(nr); got != name {
			t.Errorf("%d: %s, want %s", nr, got, name)
		}
	}
	if Arch.Syscalls.Name(-1) != "" || Arch.Syscalls.Name(1<<20) != "" {
		t.Error("a number that is none has a name")
	}
}
