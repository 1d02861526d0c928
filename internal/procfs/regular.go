//go:build linux

package procfs

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Open opens the regular file at path, for reading. What is no regular file is
// refused, without waiting for anyone at its other end.
func Open(path string) (*os.File, error) {
	f, _, err := OpenRegular(path, func(flags int) (int, error) { return openat(unix.AT_FDCWD, path, flags) })
	return f, err
}

// In opens the regular file that name is below the directory root: see
// Root.Open. An empty root is that of bt itself.
func In(root, name string) (*os.File, error) {
	if root == "" {
		return Open(name)
	}
	r, err := OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Open(name)
}

// ErrNotRegular is the error for a directory, a device, a FIFO, a socket.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a regular file for reading, and returns its status. open
// opens the file, with the flags given: once with O_PATH, as opening alone can
// have effects, on a watchdog or on whoever waits at a FIFO's other end. An
// error is an *os.PathError for path, which is also the file's name.
func OpenRegular(path string, open func(flags int) (int, error)) (*os.File, *unix.Stat_t, error) {
	fd, st, err := openRegular(open)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), st, nil
}

func openRegular(open func(flags int) (int, error)) (int, *unix.Stat_t, error) {
	probe, err := open(unix.O_PATH)
	if err != nil {
		return -1, nil, err
	}
	defer unix.Close(probe)
	st := new(unix.Stat_t)
	if err := unix.Fstat(probe, st); err != nil {
		return -1, nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, nil, ErrNotRegular
	}
	// Whoever holds a lease on the file could have us wait without O_NONBLOCK.
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	// The link of procfs leads to the file that was looked at, whatever has
	// taken its place meanwhile.
	fd, err := openat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(probe), flags)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		fd, err = again(open, flags, st) // /proc is not mounted
	}
	if err != nil {
		return -1, nil, err
	}
	// NewFile looks at O_NONBLOCK and would hand the file to the poller.
	unix.SetNonblock(fd, false)
	return fd, st, nil
}

// again opens the file whose status is st by its path once more.
func again(open func(flags int) (int, error), flags int, st *unix.Stat_t) (int, error) {
	fd, err := open(flags)
	if err != nil {
		return -1, err
	}
	var now unix.Stat_t
	if err = unix.Fstat(fd, &now); err == nil && (now.Dev != st.Dev || now.Ino != st.Ino) {
		err = unix.ESTALE
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
