package jitmap

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var errNotRegular = errors.New("not a regular file")

// openat opens a file of the process's directory; links of procfs lead to where
// they point.
func (p *process) openat(name string, flags int) (int, error) {
	return retry(func() (int, error) { return unix.Openat(int(p.dir.Fd()), name, flags|unix.O_CLOEXEC, 0) })
}

// openBelow opens a file by a path of the process, whose root is given: symbolic
// links on the way count from there.
func openBelow(root int, path string, flags int) (*os.File, *unix.Stat_t, error) {
	return openRegular(path, func(path string, more int) (int, error) {
		how := unix.OpenHow{
			Flags:   uint64(flags | more | unix.O_CLOEXEC),
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		}
		return retry(func() (int, error) {
			fd, err := unix.Openat2(root, path, &how)
			if err == unix.ENOSYS || err == unix.EPERM {
				// Before Linux 5.6, or a filter that does not know it. What
				// is found is checked all the same.
				return unix.Openat(root, strings.TrimLeft(path, "/"), flags|more|unix.O_CLOEXEC, 0)
			}
			return fd, err
		})
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

// retry repeats what was interrupted, or, inside a root, overtaken by a rename.
func retry(open func() (int, error)) (fd int, err error) {
	for range 100 {
		if fd, err = open(); err != unix.EINTR && err != unix.EAGAIN {
			break
		}
	}
	return fd, err
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
