// Package gate decides what names the gate DSO: the code that the kernel itself
// maps into every process. Today that is [vdso] and [vsyscall]; on a kernel
// with the gate_dso sysctl it is the last line of /proc/PID/maps.
//
// The gate's setting decides names only. Unwinding through the gate always
// works from the image in memory.
package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/maps"
)

// Live as a setting's value stands for the image in the process itself.
const Live = "live"

// Env is the environment variable that names the gate DSO.
const Env = "BT_GATE_DSO"

// Setting says which file names the gate DSO.
type Setting struct {
	// Value is a path, Live, or "" for unset: gate frames stay raw.
	Value string
	// From says what set it: "--gate-dso", "BT_GATE_DSO", "maps",
	// a sysctl's path, or "default".
	From string
}

// Sources is all that can set the gate DSO, besides the maps.
type Sources struct {
	Flag    *string // --gate-dso; nil: not given
	Env     *string // BT_GATE_DSO; nil: not in the environment
	Procfs  string  // where procfs is mounted
	Sysroot string  // prefix for a path that comes from the maps
}

// Decide applies the precedence: the flag, the environment, the path that the
// gate line of m carries, the sysctl, and else the image in the process.
func (s Sources) Decide(m *maps.Map) Setting {
	if s.Flag != nil {
		return Setting{*s.Flag, "--gate-dso"}
	}
	if s.Env != nil {
		return Setting{*s.Env, Env}
	}
	for _, e := range m.Gates() {
		if m.GateOf(e) == maps.Line && e.Path != "" {
			path := e.Path
			if s.Sysroot != "" {
				path = filepath.Join(s.Sysroot, path)
			}
			return Setting{path, "maps"}
		}
	}
	sysctl := filepath.Join(s.Procfs, "sys/kernel/gate_dso")
	if text, ok := readSysctl(sysctl); ok {
		return Setting{strings.TrimSuffix(text, "\n"), sysctl}
	}
	return Setting{Live, "default"}
}

// maxSysctl bounds what a sysctl holds, in bytes: more than any path.
const maxSysctl = 64 << 10

// readSysctl reads a file of procfs, or of a saved copy, where anything may lie.
func readSysctl(path string) (text string, ok bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", false
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSysctl+1))
	return string(b), err == nil && len(b) <= maxSysctl
}

// Unset reports whether gate frames stay raw.
func (s Setting) Unset() bool { return s.Value == "" }

// IsLive reports whether the image in the process names the gate.
func (s Setting) IsLive() bool { return s.Value == Live }

// ErrRefused is the error of Open for a file that is not the mapped image.
var ErrRefused = errors.New("refused")

// Open opens the file that the setting names. wantID is the build ID of the
// image that is mapped, nil when it is not known: a file that has another one
// is refused. The caller closes the image.
func (s Setting) Open(wantID []byte) (*elfsym.Image, error) {
	im, err := elfsym.OpenPath(s.Value)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gate DSO %q (set by %s) does not exist: gate frames stay raw; dump it again, or use --gate-dso live", s.Value, s.From)
	}
	if err != nil {
		return nil, fmt.Errorf("gate DSO %q (set by %s) cannot be used: %w; gate frames stay raw", s.Value, s.From, err)
	}
	if wantID != nil && !bytes.Equal(im.BuildID(), wantID) {
		got := "none"
		if id := im.BuildID(); id != nil {
			got = fmt.Sprintf("%x", id)
		}
		im.Close()
		return nil, fmt.Errorf("gate DSO %q (set by %s) %w: its build ID is %s, that of the mapped image %x; gate frames stay raw", s.Value, s.From, ErrRefused, got, wantID)
	}
	return im, nil
}

// A fixed entry point of the vsyscall page.
type entry struct {
	addr uint64
	name string
}

// vsyscalls are the entry points of the page at ffffffffff600000, whose place
// is ABI. Each is `mov $nr,%rax; syscall; ret`, padded with int3
// (arch/x86/entry/vsyscall/vsyscall_emu_64.S).
var vsyscalls = [...]entry{
	{0xffffffffff600000, "gettimeofday"},
	{0xffffffffff600400, "time"},
	{0xffffffffff600800, "getcpu"},
}

// vsyscallSize is the size in bytes of an entry point's code.
const vsyscallSize = 7 + 2 + 1

// Vsyscall names an address in the vsyscall page.
func Vsyscall(addr uint64) (name string, start uint64, ok bool) {
	for _, e := range vsyscalls {
		if addr-e.addr < vsyscallSize {
			return e.name, e.addr, true
		}
	}
	return "", 0, false
}
