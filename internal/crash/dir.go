//go:build linux

package crash

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/trust"
)

// Dir is the directory of the reports. All files in it are opened relative to
// its descriptor and without following links. The caller must Close it.
type Dir struct {
	Path string
	f    *os.File
}

// OpenDir opens the directory of reports at path. It is refused if it is a
// symbolic link, belongs to another user, can be read by others, or lies where
// others can replace it. Where there is none the error is fs.ErrNotExist.
func OpenDir(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	root := os.Geteuid() == 0
	real := filepath.Join(parent, filepath.Base(path))
	fd, err := unix.Open(real, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.ENOTDIR || err == unix.ELOOP:
		return nil, fmt.Errorf("the directory of crash reports %s is refused: it is a symbolic link, or no directory", path)
	case err == unix.EACCES && !root:
		return nil, fmt.Errorf("%s: %w: crash reports are for root alone", path, err)
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	d := &Dir{path, os.NewFile(uintptr(fd), path)}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("the directory of crash reports %s is refused: it belongs to user %d: chown it, or choose another by --dir", path, st.Uid)
	case st.Mode&0o077 != 0:
		err = fmt.Errorf("the directory of crash reports %s is refused: others may use it (mode %04o): chmod 700 %[1]s", path, st.Mode&0o7777)
	case root:
		if err = trust.Path(real); err != nil {
			err = fmt.Errorf("the directory of crash reports %s is refused: %w, or choose another by --dir", path, err)
		}
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// createDir is OpenDir that makes the directory where there is none.
func createDir(path string) (*Dir, error) {
	d, err := OpenDir(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return OpenDir(path)
}

// Close releases the directory.
func (d *Dir) Close() error { return d.f.Close() }

// open opens a regular file in the directory.
func (d *Dir) open(name string, flags int) (*os.File, error) {
	// A FIFO is opened without waiting for its other end.
	fd, err := unix.Openat(int(d.f.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	path := filepath.Join(d.Path, name)
	if err == unix.ELOOP {
		return nil, fmt.Errorf("%s is refused: it is a symbolic link", path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, fmt.Errorf("%s is refused: it is no regular file", path)
	}
	unix.SetNonblock(fd, false)
	return os.NewFile(uintptr(fd), path), nil
}

// read reads a file of at most max bytes.
func (d *Dir) read(name string, max int64) ([]byte, error) {
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max))
}

// replace writes a file anew, whole or not at all.
func (d *Dir) replace(name string, data []byte) error {
	tmp := fmt.Sprintf("%s%s.%d", tempPrefix, name, os.Getpid())
	d.remove(tmp)
	f, err := d.open(tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = unix.Renameat(int(d.f.Fd()), tmp, int(d.f.Fd()), name)
	}
	if err != nil {
		d.remove(tmp)
	}
	return err
}

// names lists what is in the directory.
func (d *Dir) names() ([]string, error) {
	if _, err := d.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return d.f.Readdirnames(-1)
}

func (d *Dir) remove(name string) error {
	return unix.Unlinkat(int(d.f.Fd()), name, 0)
}

// lock waits for the lock of that name, and returns what releases it.
func (d *Dir) lock(name string) (unlock func(), err error) {
	f, err := d.open(name, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// dirLock is held by whoever changes what is installed, or removes reports.
const dirLock = ".lock"

// tempPrefix is that of files that are being written.
const tempPrefix = ".new-"
