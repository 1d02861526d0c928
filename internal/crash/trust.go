package crash

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrUnsafe is the error for what others than root can change.
var ErrUnsafe = errors.New("others than root can change it")

// trusted checks that nobody but root can change what path, absolute and
// without symbolic links, leads to: it and every directory above are root's and
// not writable by others, or sticky directories like /tmp, where others cannot
// rename what is root's. An access control list shows in the group's bits.
func trusted(path string) error {
	for at := path; ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Lstat(at, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: at, Err: err}
		}
		switch {
		case st.Uid != 0:
			return fmt.Errorf("%s is refused: %w: %s belongs to user %d: chown root %[3]s, or choose another place", path, ErrUnsafe, at, st.Uid)
		case st.Mode&0o022 != 0 && (st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&unix.S_ISVTX == 0):
			return fmt.Errorf("%s is refused: %w: %s has mode %04o: chmod go-w %[3]s, or choose another place", path, ErrUnsafe, at, st.Mode&0o7777)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}
