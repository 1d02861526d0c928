//go:build linux

package procfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// What a walk may come across: as many links as in the kernel (MAXSYMLINKS in
// include/linux/namei.h), and no more directories within each other than it is
// fair to hold open.
const (
	maxLinks = 40
	maxDepth = 128
)

// walk resolves a path one component at a time, where the kernel cannot. It
// holds every directory on the way open and goes back to these for a "..": so
// it stays below root even where somebody moves directories meanwhile.
func walk(root int, name string, flags int) (int, error) {
	var dirs []int
	leave := func(n int) {
		for _, fd := range dirs[n:] {
			unix.Close(fd)
		}
		dirs = dirs[:n]
	}
	defer func() { leave(0) }()

	if name == "" {
		return -1, unix.ENOENT
	}
	links := 0
	if name[0] == '/' {
		name = "." + name
	}
	for {
		dir := root
		if len(dirs) > 0 {
			dir = dirs[len(dirs)-1]
		}
		comp, rest, more := strings.Cut(name, "/")
		switch comp {
		case "", ".", "..":
			if comp == ".." {
				leave(max(len(dirs)-1, 0))
			} else if !more {
				return openat(dir, ".", flags)
			}
			if !more {
				rest = "."
			}
			name = rest
			continue
		}
		fd, err := openat(dir, comp, unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return -1, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
			return -1, err
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK && (more || flags&unix.O_NOFOLLOW == 0):
			target, err := readlink(fd)
			unix.Close(fd)
			if links++; links > maxLinks {
				err = unix.ELOOP
			}
			if err != nil {
				return -1, err
			}
			if target[0] == '/' {
				leave(0)
			}
			if more {
				target += "/" + rest
			}
			name = target
		case !more:
			unix.Close(fd)
			// What has become a link since is not followed.
			return openat(dir, comp, flags|unix.O_NOFOLLOW)
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			unix.Close(fd)
			return -1, unix.ENOTDIR
		case len(dirs) == maxDepth:
			unix.Close(fd)
			return -1, unix.ENAMETOOLONG
		default:
			dirs = append(dirs, fd)
			name = rest
		}
	}
}

// readlink returns where an open symbolic link leads to.
func readlink(fd int) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", b)
	switch {
	case err != nil:
		return "", err
	case n == 0:
		return "", unix.ENOENT
	case n == len(b):
		return "", unix.ENAMETOOLONG
	}
	return string(b[:n]), nil
}
