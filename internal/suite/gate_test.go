//go:build linux

package suite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// gateImage finds [vdso] in a process's maps and copies it out of its memory.
func gateImage(t *testing.T, pid int) (lo, hi uint64, image []byte) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasSuffix(line, "[vdso]\n") {
			if _, err := fmt.Sscanf(line, "%x-%x", &lo, &hi); err != nil {
				t.Fatal(err)
			}
		}
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	image = make([]byte, hi-lo)
	if _, err := mem.ReadAt(image, int64(lo)); err != nil || lo == 0 {
		t.Fatalf("[vdso] at %x: %v", lo, err)
	}
	return lo, hi, image
}

// withOtherBuildID is an image whose build ID differs in one bit.
func withOtherBuildID(t *testing.T, image []byte) []byte {
	t.Helper()
	// A note of type 3 whose owner is "GNU" (gABI, "Note Section").
	note := append(binary.LittleEndian.AppendUint32(nil, 3), "GNU\x00"...)
	i := bytes.Index(image, note)
	if i < 0 {
		t.Fatal("the vDSO has no build ID")
	}
	other := slices.Clone(image)
	other[i+len(note)] ^= 1
	return other
}

// The listing that bt was first made for: a 32-bit program across a signal
// handler, with the gate DSO unset and set. The names come and go; the stack
// stays the same down to _start.
func TestGateNames(t *testing.T) {
	for _, tc := range []struct{ mode, chain, tramp string }{
		{"plain", "libc block on_signal SIG?SIGUSR1 libc interrupted main libc _start", "__kernel_sigreturn"},
		{"siginfo", "libc block on_siginfo SIG:SIGUSR1 libc interrupted main libc _start", "__kernel_rt_sigreturn"},
	} {
		for _, flags := range [][]string{{"-O1"}, {"-O1", "-static"}} {
			t.Run(tc.mode+strings.Join(flags, ""), func(t *testing.T) {
				t.Parallel()
				p := start(t, build(t, "gcc", "signals.c", append(slices.Clone(flags), "-m32")...), tc.mode)
				lo, hi, image := gateImage(t, p.pid)
				dir := tempDir(t)
				file := filepath.Join(dir, "gate.so")
				other := filepath.Join(dir, "other.so")
				os.WriteFile(file, image, 0o644)
				os.WriteFile(other, withOtherBuildID(t, image), 0o644)

				plain := snapshot(t, p.pid).main(t)
				check := func(how string, th thread, named bool) {
					t.Helper()
					th.wantChain(t, tc.chain)
					if !slices.Equal(th.addrs(), plain.addrs()) {
						t.Errorf("%s: other addresses:\n%swithout:\n%s", how, th, plain)
					}
					var gate []string
					for _, f := range th.frames {
						if f.digits != 8 {
							t.Errorf("%s: an address of %d digits", how, f.digits)
						}
						if f.addr >= lo && f.addr < hi {
							gate = append(gate, f.name)
						}
					}
					want := []string{"__kernel_vsyscall", tc.tramp, "__kernel_vsyscall"}
					if !named {
						want = []string{"", "", ""}
					}
					if !slices.Equal(gate, want) {
						t.Errorf("%s: gate frames %q, want %q:\n%s", how, gate, want, th)
					}
				}
				check("default", plain, true)
				check("live", snapshot(t, p.pid, "--gate-dso", "live").main(t), true)
				check("file", snapshot(t, p.pid, "--gate-dso", file).main(t), true)
				check("unset", snapshot(t, p.pid, "--gate-dso", "").main(t), false)

				env := func(value string, args ...string) thread {
					cmd := btCmd(t, append([]string{"--pid", itoa(p.pid)}, args...)...)
					cmd.Env = append(cmd.Env, "BT_GATE_DSO="+value)
					return only(t, run(t, cmd).want(t, 0), p.pid).main(t)
				}
				check("environment unset", env(""), false)
				check("environment file", env(file), true)
				check("flag before environment", env("", "--gate-dso", "live"), true)

				for how, path := range map[string]string{"refused": other, "missing": filepath.Join(dir, "none.so")} {
					r := bt(t, "--pid", itoa(p.pid), "--gate-dso", path).want(t, 3)
					check(how, only(t, r, p.pid).main(t), false)
					if !strings.Contains(r.stderr, path) || !strings.HasPrefix(r.stderr, "bt: ") {
						t.Errorf("%s: stderr: %q", how, r.stderr)
					}
				}
			})
		}
	}
}
