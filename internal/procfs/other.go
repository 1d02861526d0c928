//go:build !linux

package procfs

import (
	"errors"
	"os"
)

// ErrNotRegular is the error for a directory, a device, a FIFO, a socket.
var ErrNotRegular = errors.New("not a regular file")

// Open opens the regular file at path, for reading.
func Open(path string) (*os.File, error) { return open(os.Open, os.Stat, path) }

// In opens the regular file that name is below the directory root. Symbolic
// links that lead out of it are refused. An empty root is that of bt itself.
func In(root, name string) (*os.File, error) {
	if root == "" {
		return Open(name)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for len(name) > 0 && os.IsPathSeparator(name[0]) {
		name = name[1:]
	}
	return open(r.Open, r.Stat, name)
}

func open(open func(string) (*os.File, error), stat func(string) (os.FileInfo, error), name string) (*os.File, error) {
	// Opening a FIFO would wait for its other end.
	st, err := stat(name)
	if err == nil && !st.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, err
	}
	return open(name)
}
