package jitmap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

var errNotRegular = errors.New("not a regular file")

// openat opens a file of the process's directory; links of procfs lead to where
// they point.
func (p *process) openat(name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(int(p.dir.Fd()), name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openBelow opens a file by a path of the process, whose root is given: symbolic
// links on the way count from there.
func openBelow(root int, path string, flags int) (*os.File, *unix.Stat_t, error) {
	return openRegular(path, func(path string, more int) (int, error) {
		return procfs.OpenAt(root, path, flags|more)
	})
}

// openRegular opens a regular file and nothing else: a device or a FIFO must
// not notice.
func openRegular(path string, open func(path string, flags int) (int, error)) (*os.File, *unix.Stat_t, error) {
	probe, _, err := openAs(path, unix.O_PATH, open)
	if err != nil {
		return nil, nil, err
	}
	unix.Close(probe)
	// It may have been replaced in between.
	fd, st, err := openAs(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, open)
	if err != nil {
		return nil, nil, err
	}
	unix.SetNonblock(fd, false)
	return os.NewFile(uintptr(fd), path), st, nil
}

// openAs opens a file and closes it again if it is no regular one.
func openAs(path string, flags int, open func(path string, flags int) (int, error)) (int, *unix.Stat_t, error) {
	fd, err := open(path, flags)
	if err != nil {
		return -1, nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, &st, nil
}

// fileID tells whether a path still leads to the same file.
type fileID struct{ dev, ino uint64 }

// identify returns a file's identity and size.
func identify(f *os.File) (fileID, int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileID{}, 0, err
	}
	return fileID{uint64(st.Dev), st.Ino}, st.Size, nil
}
