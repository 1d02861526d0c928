package fetch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// getFile answers from a directory tree.
func getFile(path string) (*body, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &body{ReadCloser: f, size: st.Size(), modified: st.ModTime()}, nil
}
