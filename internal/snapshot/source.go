//go:build linux

package snapshot

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/procfs"
	"github.com/gatedso/bt/maps"
)

// Source returns the files and the memory of a running process. Files below
// sysroot, if that is not empty, come before the process's own, and are used
// where they are the same build.
func Source(p *live.Process, sysroot string) image.Source {
	return &liveSource{p, sysroot}
}

type liveSource struct {
	*live.Process
	sysroot string
}

func (s *liveSource) OpenMapping(m *maps.Mapping) (*os.File, string, bool, error) {
	if s.sysroot == "" {
		return s.Process.OpenMapping(m)
	}
	f, err := procfs.In(s.sysroot, m.Path)
	if err != nil {
		return s.Process.OpenMapping(m)
	}
	if isMapped(f, m) {
		return f, "sysroot", true, nil
	}
	own, via, same, err := s.Process.OpenMapping(m)
	if err != nil {
		return f, "sysroot", false, nil // the memory may tell
	}
	if id := image.FileBuildID(f); id != nil && bytes.Equal(id, image.FileBuildID(own)) {
		own.Close()
		return f, "sysroot", same, nil
	}
	f.Close()
	return own, via, same, nil
}

// isMapped reports whether f is the very file that m maps.
func isMapped(f *os.File, m *maps.Mapping) bool {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return false
	}
	return st.Ino == m.Inode && unix.Major(st.Dev) == m.Major() && unix.Minor(st.Dev) == m.Minor()
}

// BuildID implements image.Source: the process's memory tells.
func (s *liveSource) BuildID(*maps.Mapping) []byte { return nil }
