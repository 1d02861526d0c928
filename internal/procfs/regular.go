package procfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens the regular file at path, for reading. What is no regular file is
// refused, without waiting for anyone at its other end.
func Open(path string) (*os.File, error) {
	return regular(path, path, func(name string, flags int) (int, error) {
		return unix.Open(name, flags|unix.O_CLOEXEC, 0)
	})
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

var errNotRegular = errors.New("not a regular file")

type opener func(name string, flags int) (int, error)

// regular opens name; its errors call it path.
func regular(name, path string, open opener) (*os.File, error) {
	// Opening alone can have effects, on a watchdog or on whoever waits at a
	// FIFO's other end: O_PATH has none.
	probe, err := openAs(name, unix.O_PATH, open)
	if err == nil {
		unix.Close(probe)
		var fd int
		// It may have been replaced in between.
		if fd, err = openAs(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, open); err == nil {
			// NewFile looks at O_NONBLOCK and would hand the file to the poller.
			unix.SetNonblock(fd, false)
			return os.NewFile(uintptr(fd), path), nil
		}
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// openAs opens a file and closes it again if it is no regular one.
func openAs(name string, flags int, open opener) (int, error) {
	fd, err := open(name, flags)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
