// Package gate decides what names the gate DSO: the code that the kernel itself
// maps into every process. Today that is [vdso] and [vsyscall]; on a kernel
// with the gate_dso sysctl it is the last line of /proc/PID/maps.
//
// The gate's setting decides names only. Unwinding through the gate always
// works from the image in memory.
package gate

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/gate/store"
	"github.com/gatedso/bt/internal/gate/vdso"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/maps"
)

// Live as a setting's value stands for the image in the process itself.
const Live = "live"

// Registered as a setting's value stands for the registered image of the build
// that is mapped, or Live where there is none.
const Registered = "registered"

// Env is the environment variable that names the gate DSO.
const Env = "BT_GATE_DSO"

// What set a Setting, besides Env and the path of a sysctl or a directory.
const (
	fromFlag    = "--gate-dso"
	fromMaps    = "maps"
	fromDefault = "default"
)

// Setting says which file names the gate DSO.
type Setting struct {
	// Value is a path, Live, Registered, or "" for unset: gate frames stay
	// raw.
	Value string
	// From says what set it: "--gate-dso", "BT_GATE_DSO", "maps", a sysctl's
	// path, a state directory, or "default".
	From string

	registered *registered // where to look for the mapped build first
	err        error       // why nothing that it names can be trusted
}

// Sources is all that can set the gate DSO, besides the maps.
type Sources struct {
	Flag      *string  // --gate-dso; nil: not given
	Env       *string  // BT_GATE_DSO; nil: not in the environment
	Procfs    string   // where procfs is mounted
	Sysroot   string   // prefix for a path that comes from the maps
	StateDirs []string // of registered images
}

// Decide applies the precedence: the flag, the environment, the path that the
// gate of m carries, the sysctl, what is registered, and else the image in the
// process.
func (s Sources) Decide(m *maps.Map) Setting {
	if s.Flag != nil {
		return Setting{Value: *s.Flag, From: fromFlag}
	}
	if s.Env != nil {
		return Setting{Value: *s.Env, From: Env}
	}
	for _, e := range m.Gates() {
		if m.GateOf(e) == maps.Line && e.Path != "" || m.GateOf(e) == maps.VDSO && filepath.IsAbs(e.Path) {
			path := e.Path
			if s.Sysroot != "" {
				path = filepath.Join(s.Sysroot, path)
			}
			return Setting{Value: path, From: fromMaps, err: ambiguous(m, e)}
		}
	}
	reg, regErr := openRegistered(s.StateDirs)
	if value, ok := store.ReadSysctl(s.Procfs); ok {
		set := Setting{Value: value, From: store.Sysctl(s.Procfs)}
		if reg.holds(value) {
			// It names the image of one ABI; processes of the others have
			// theirs beside it.
			set.registered = reg
		}
		return set
	}
	if regErr != nil {
		return Setting{Value: Registered, From: "bt gate register", err: regErr}
	}
	if reg != nil {
		return Setting{Value: Registered, From: reg.stores[0].Dir, registered: reg}
	}
	return Setting{Value: Live, From: fromDefault}
}

// Step is the number of the source in the precedence: 1 for the flag up to 6
// for none.
func (s Setting) Step() int {
	switch {
	case s.From == fromFlag:
		return 1
	case s.From == Env:
		return 2
	case s.From == fromMaps:
		return 3
	case s.Value == Registered:
		return 5
	case s.From == fromDefault:
		return 6
	}
	return 4
}

// Unset reports whether gate frames stay raw.
func (s Setting) Unset() bool { return s.Value == "" }

// IsLive reports whether the image in the process names the gate.
func (s Setting) IsLive() bool { return s.Value == Live }

var (
	// ErrRefused is the error of Open for a file that is not the mapped image.
	ErrRefused = errors.New("refused")

	// ErrNotRegistered is the error of Open where images are registered, but
	// none of the build that is mapped: the image in the process names the
	// gate.
	ErrNotRegistered = errors.New("is not registered")
)

// Mapped is what is known of the image that is mapped.
type Mapped struct {
	BuildID []byte      // nil when it is not known
	Machine elf.Machine // EM_NONE when it is not known
}

// Open opens the file that the setting names. One that is another build than
// the mapped image is refused, as is one of another machine. Without an error
// and an image, the setting stands for the image in the process. The caller
// closes the image.
func (s Setting) Open(m Mapped) (*elfsym.Image, error) {
	switch path, ok := s.registered.lookup(m.BuildID); {
	case s.err != nil:
		return nil, fmt.Errorf("%w; gate frames stay raw", s.err)
	case ok:
		s.Value = path
	case s.Value == Registered && s.registered != nil:
		if m.BuildID == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("the gate DSO of build ID %x %w in %s: its image in the process names it; to register it, bt gate register", m.BuildID, ErrNotRegistered, s.From)
	case s.IsLive():
		return nil, nil
	}
	im, err := elfsym.OpenPath(s.Value)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gate DSO %q (set by %s) does not exist: gate frames stay raw; dump it again, or use --gate-dso live", s.Value, s.From)
	}
	if err != nil {
		return nil, fmt.Errorf("gate DSO %q (set by %s) cannot be used: %w; gate frames stay raw", s.Value, s.From, err)
	}
	if err := check(im, m); err != nil {
		im.Close()
		return nil, fmt.Errorf("gate DSO %q (set by %s) %w; gate frames stay raw", s.Value, s.From, err)
	}
	return im, nil
}

// check refuses a file that is not the mapped image, or not all of it.
func check(im *elfsym.Image, m Mapped) error {
	if m.Machine != elf.EM_NONE && im.Machine != m.Machine {
		return fmt.Errorf("%w: it is for another machine, %s, and the mapped image for %s", ErrRefused, im.Machine, m.Machine)
	}
	if m.BuildID != nil && !bytes.Equal(im.BuildID(), m.BuildID) {
		got := "none"
		if id := im.BuildID(); id != nil {
			got = fmt.Sprintf("%x", id)
		}
		return fmt.Errorf("%w: its build ID is %s, that of the mapped image %x", ErrRefused, got, m.BuildID)
	}
	if err := guard.Read(func() error { return vdso.Complete(im.Data()) }); err != nil {
		return fmt.Errorf("cannot be used: %w: dump it again", err)
	}
	return nil
}
