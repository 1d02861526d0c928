//go:build linux

package procfs

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Root is a directory that stands for a target's root directory. Its methods
// are safe for concurrent use, except for Close.
type Root struct {
	fd   int
	name string
}

// OpenRoot opens a directory such as /proc/PID/root. The caller closes it.
func OpenRoot(dir string) (*Root, error) {
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Root{fd: fd, name: dir}, nil
}

// Close releases the directory.
func (r *Root) Close() error { return unix.Close(r.fd) }

// Open opens a regular file for reading. Absolute symbolic links and .. are
// resolved within the root. The links of procfs that are none (/proc/self/exe)
// lead nowhere else, either.
func (r *Root) Open(name string) (*os.File, error) {
	f, _, err := OpenRegular(path.Join(r.name, name), func(flags int) (int, error) { return r.OpenFD(name, flags) })
	return f, err
}

// OpenFD opens a path below the root as Open does, but whatever it leads to.
// flags are those of open(2) but for O_CREAT and O_TMPFILE; O_CLOEXEC is added.
// The error is an errno.
func (r *Root) OpenFD(name string, flags int) (int, error) {
	fd, err := openat2(r.fd, name, flags)
	if err == unix.ENOSYS || err == unix.EPERM {
		// Before Linux 5.6, or a filter that does not know it.
		return walk(r.fd, name, flags)
	}
	return fd, err
}

func openat2(root int, name string, flags int) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for range 100 {
		fd, err = unix.Openat2(root, name, &how)
		// EAGAIN: a rename or mount elsewhere raced with a "..", see openat2(2).
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}
