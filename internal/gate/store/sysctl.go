package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxSysctl is the length in bytes of the longest path that the sysctl
// kernel.gate_dso holds: a buffer of 256, the last for the NUL.
const MaxSysctl = 255

// Sysctl returns the file of the sysctl in a procfs.
func Sysctl(procfs string) string { return filepath.Join(procfs, "sys/kernel/gate_dso") }

// maxRead bounds what is read of a sysctl in bytes: more than any path.
const maxRead = 64 << 10

// ReadSysctl reads the sysctl, or a saved copy, in whose place anything may
// lie. It reports false where the kernel has none. What is left of the value
// is without the newline that the kernel ends it with.
func ReadSysctl(procfs string) (value string, ok bool) {
	f, err := openSysctl(procfs, os.O_RDONLY)
	if err != nil {
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRead+1))
	if err != nil || len(b) > maxRead {
		return "", false
	}
	return strings.TrimSuffix(string(b), "\n"), true
}

// ErrNoSysctl is the error for a kernel without the sysctl.
var ErrNoSysctl = errors.New("the kernel has no sysctl kernel.gate_dso")

// WriteSysctl sets the sysctl to a path, or empties it.
func WriteSysctl(procfs, path string) error {
	switch {
	case len(path) > MaxSysctl:
		return fmt.Errorf("%s: the path %.60q… has %d bytes, and kernel.gate_dso holds at most %d: use a shorter --state-dir", Sysctl(procfs), path, len(path), MaxSysctl)
	case strings.ContainsAny(path, "\n\x00"):
		return fmt.Errorf("%s: kernel.gate_dso cannot hold the path %q: it ends at a newline", Sysctl(procfs), path)
	}
	f, err := openSysctl(procfs, os.O_WRONLY|os.O_TRUNC)
	if os.IsNotExist(err) {
		return ErrNoSysctl
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(path + "\n") // all at once: the kernel takes each write as a whole value
	return errors.Join(err, f.Close())
}

func openSysctl(procfs string, flag int) (*os.File, error) {
	name := Sysctl(procfs)
	// Opening a device, or a FIFO for writing, has effects.
	if st, err := os.Stat(name); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	return os.OpenFile(name, flag|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
}
