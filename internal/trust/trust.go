//go:build linux

package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrUnsafe is the error for what others than root can change.
var ErrUnsafe = errors.New("others can write there")

// Path checks that nobody but root can change what path, absolute and without
// symbolic links, leads to: it and every directory above are root's and not
// writable by others. A directory above may be a sticky one like /tmp, where
// others cannot rename what is root's. What path itself leads to may not: others
// could put files there. An access control list shows in the group's bits. The
// error says what to change; it is ErrUnsafe, or a *fs.PathError.
func Path(path string) error {
	for at := path; ; at = filepath.Dir(at) {
		var st unix.Stat_t
		if err := unix.Lstat(at, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: at, Err: err}
		}
		sticky := at != path && st.Mode&unix.S_ISVTX != 0
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			return fmt.Errorf("%w (%s is a symbolic link)", ErrUnsafe, at)
		case st.Uid != 0:
			return fmt.Errorf("%w (%s belongs to user %d): chown it to root", ErrUnsafe, at, st.Uid)
		case st.Mode&0o022 != 0 && !sticky:
			return fmt.Errorf("%w (%s has mode %04o): chmod go-w %[2]s", ErrUnsafe, at, st.Mode&0o7777)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}
