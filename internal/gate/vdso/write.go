package vdso

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrExists is the error of Write for a file that is there with other contents.
var ErrExists = errors.New("exists, with other contents")

// Write puts data into the file at path, at once or not at all: whoever opens
// it meanwhile sees the old file, or none, or the whole new one. A file that
// holds the data already is left as it is; another one is replaced only with
// force. mode counts less the umask, as for open(2).
func Write(path string, data []byte, mode fs.FileMode, force bool) (wrote bool, err error) {
	same, err := holds(path, data)
	if same || err != nil && !errors.Is(err, ErrExists) {
		return false, err
	}
	if err != nil && !force {
		return false, err
	}
	dir := filepath.Dir(path)
	tmp, err := createTemp(dir, filepath.Base(path), mode)
	if perr := (*fs.PathError)(nil); errors.As(err, &perr) {
		perr.Path = path // what the user knows
	}
	if err != nil {
		return false, err
	}
	defer func() {
		if !wrote { // once it is renamed, another may have the name
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return false, err
	}
	if force {
		err = os.Rename(tmp.Name(), path)
	} else {
		err = renameNew(tmp.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		// Somebody was faster.
		if same, herr := holds(path, data); same || herr != nil {
			return false, herr
		}
	}
	if err != nil {
		return false, err
	}
	return true, syncDir(dir)
}

// holds reports whether the file at path holds data. Where there is no file,
// the error is nil.
func holds(path string, data []byte) (bool, error) {
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		return false, &fs.PathError{Op: "write", Path: path, Err: unix.EISDIR}
	}
	old, err := ReadRegular(path)
	switch {
	case err == nil && bytes.Equal(old, data):
		return true, nil
	case err == nil:
		return false, fmt.Errorf("%s: %w", path, ErrExists)
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil { // a link to nowhere
			return false, fmt.Errorf("%s: %w", path, ErrExists)
		}
		return false, nil
	}
	return false, err
}

// createTemp makes a file beside the one that it will become.
func createTemp(dir, base string, mode fs.FileMode) (*os.File, error) {
	for i := 0; ; i++ {
		name := filepath.Join(dir, fmt.Sprintf(".%s.%d.%d", base, os.Getpid(), i))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, mode)
		if errors.Is(err, fs.ErrExist) && i < 100 {
			continue
		}
		return f, err
	}
}

// syncDir has the directory's entries reach the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // not on every file system
		return err
	}
	return nil
}
