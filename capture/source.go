package capture

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/module"
	"github.com/gatedso/bt/target/live"
)

// Source returns the files and the memory of a running process. Files below
// sysroot, if that is not empty, come before the process's own, and are used
// where they are the same build.
func Source(p *live.Process, sysroot string) module.Source {
	return &liveSource{p, sysroot}
}

type liveSource struct {
	*live.Process
	sysroot string
}

func (s *liveSource) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	if s.sysroot != "" {
		if f, err := module.OpenRegular(filepath.Join(s.sysroot, m.Path)); err == nil {
			return f, "sysroot", isMapped(f, m), nil
		}
	}
	return s.Process.OpenMapping(m)
}

// isMapped reports whether f is the very file that m maps.
func isMapped(f *os.File, m *maps.Mapping) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return st.Ino == m.Inode && unix.Major(st.Dev) == m.Major() && unix.Minor(st.Dev) == m.Minor()
}

// BuildID implements module.Source: the process's memory tells.
func (s *liveSource) BuildID(*maps.Mapping) []byte { return nil }
