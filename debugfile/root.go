package debugfile

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Root opens files below a directory as if that were the root directory.
type Root struct {
	fd   int
	name string
}

// OpenRoot opens a directory such as /proc/PID/root. It fails where the kernel
// has no openat2 (before Linux 5.6, or where a sandbox forbids it).
func OpenRoot(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	r := &Root{fd: fd, name: dir}
	probe, err := r.openat2(".", unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		r.Close()
		return nil, &os.PathError{Op: "openat2", Path: dir, Err: err}
	}
	unix.Close(probe)
	return r, nil
}

// Open opens a regular file for reading. Absolute symbolic links and .. are
// resolved within the root, as for a process that was chrooted there: the
// target's links cannot lead to files of the host. The links of procfs that
// are none (/proc/self/exe) are not followed at all.
func (r *Root) Open(name string) (*os.File, error) {
	fd, err := r.openat2(name, openFlags)
	return regular(fd, err, path.Join(r.name, name))
}

func (r *Root) openat2(name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(r.fd, name, &how)
		// EAGAIN: a rename or mount elsewhere raced with a "..", see openat2(2).
		if (err == unix.EAGAIN || err == unix.EINTR) && tries < 10 {
			continue
		}
		return fd, err
	}
}

// Close releases the directory.
func (r *Root) Close() error { return unix.Close(r.fd) }
