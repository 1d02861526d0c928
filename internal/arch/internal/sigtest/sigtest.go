// Package sigtest checks a CPU's trampolines against real signal frames.
package sigtest

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/testenv"
)

//go:embed testdata/signal.c
var source []byte

// Build compiles the test program with the compiler and flags given.
func Build(t *testing.T, cc string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	src, exe := filepath.Join(dir, "signal.c"), filepath.Join(dir, "signal")
	if err := os.WriteFile(src, source, 0o666); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-w", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", src}, flags...)
	testenv.Compile(t, exe, cc, args...)
	return exe
}

// frame is what the program prints.
type frame struct {
	code, stack []byte
	sp, pc      uint64
}

func run(t *testing.T, command ...string) frame {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	var f frame
	for _, line := range strings.Split(string(out), "\n") {
		name, val, _ := strings.Cut(line, " ")
		var err error
		switch name {
		case "code":
			f.code, err = hex.DecodeString(val)
		case "stack":
			f.stack, err = hex.DecodeString(val)
		case "sp":
			_, err = fmt.Sscanf(val, "%x", &f.sp)
		case "pc":
			_, err = fmt.Sscanf(val, "%x", &f.pc)
		}
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
	}
	return f
}

// Check runs the program, by command and args, and checks that one of the trampolines of a is the
// one it has, and finds in its frame the registers, which the program has set
// to want, the signal and its mask.
func Check(t *testing.T, a *arch.Arch, command, args []string, want map[arch.Reg]uint64) {
	t.Helper()
	f := run(t, slices.Concat(command, args)...)
	word := func(off int64, size int) uint64 {
		if off < 0 || off+int64(size) > int64(len(f.stack)) {
			t.Fatalf("offset %d is not in the frame", off)
		}
		if size == 4 {
			return uint64(binary.LittleEndian.Uint32(f.stack[off:]))
		}
		return binary.LittleEndian.Uint64(f.stack[off:])
	}
	for _, tr := range a.Trampolines {
		if !bytes.HasPrefix(f.code, tr.Code) {
			continue
		}
		got := map[arch.Reg]uint64{}
		for _, r := range tr.Regs {
			got[r.Reg] = word(r.Offset, a.PtrSize)
		}
		if len(got) != a.NumRegs {
			t.Errorf("%s has %d registers, want %d", tr.Name, len(got), a.NumRegs)
		}
		want[a.SP], want[a.PC] = f.sp, f.pc
		for r, v := range want {
			if got[r] != v {
				t.Errorf("%s: %s is %#x, want %#x", tr.Name, a.Names[r], got[r], v)
			}
		}
		if s := tr.Signal; s.Signo != arch.NoOffset && word(s.Signo, 4) != uint64(syscall.SIGILL) {
			t.Errorf("%s: signal %d", tr.Name, word(s.Signo, 4))
		}
		// The kernel fills it in only where the handler asks for it.
		if s := tr.Signal; s.Siginfo != arch.NoOffset && args[0] == "siginfo" && word(s.Siginfo, 4) != uint64(syscall.SIGILL) {
			t.Errorf("%s: siginfo of signal %d", tr.Name, word(s.Siginfo, 4))
		}
		mask := uint64(1<<(syscall.SIGUSR1-1) | 1<<(syscall.SIGUSR2-1))
		if s := tr.Signal; s.Mask != arch.NoOffset && word(s.Mask, 8) != mask {
			t.Errorf("%s: mask %#x, want %#x", tr.Name, word(s.Mask, 8), mask)
		}
		return
	}
	t.Errorf("no trampoline is % x", f.code)
}
