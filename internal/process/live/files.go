package live

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/maps"
)

// OpenMapping opens the file that m maps, wherever the process's mount
// namespace and root have it, deleted or not. via says by which way: map_files,
// exe, root (a path below the process's root), or path (one of bt's own).
//
// same tells that it is the mapped file for certain, by device and inode. When
// it is false the file stands under the right name but may be another one, as
// after an update: the caller must compare build IDs before using it. The
// caller closes the file.
func (p *Process) OpenMapping(m *maps.Mapping) (f *os.File, via string, same bool, err error) {
	if !m.IsFile() {
		return nil, "", false, fmt.Errorf("%x-%x %s: no file is mapped there", m.Start, m.End, m.Path)
	}
	shared := p.sameMounts()
	err = p.through(func(dir, _ int) error {
		c := candidate{m: m, fd: -1, err: unix.ENOENT}
		c.find(dir, shared)
		if c.fd < 0 {
			return c.err
		}
		// Only the opening had to be kept from waiting.
		unix.SetNonblock(c.fd, false)
		f, via, same = os.NewFile(uintptr(c.fd), m.Path), c.via, c.same
		return nil
	})
	if err != nil {
		return nil, "", false, &os.PathError{Op: "open", Path: m.Path, Err: err}
	}
	return f, via, same, nil
}

// candidate is the best file for m so far.
type candidate struct {
	m    *maps.Mapping
	fd   int
	via  string
	same bool
	err  error // why the last one could not be opened
}

// find tries every way until one leads to the mapped file itself. sameMounts
// says that the process is in bt's mount namespace.
func (c *candidate) find(dir int, sameMounts bool) {
	m := c.m
	// The kernel's own link to the file. It needs CAP_CHECKPOINT_RESTORE.
	link := "map_files/" + strconv.FormatUint(m.Start, 16) + "-" + strconv.FormatUint(m.End, 16)
	if c.try(dir, link, "map_files", plain); c.fd >= 0 {
		if !c.same {
			// Where an old overlayfs maps a file of its lower layer, the
			// numbers differ although the link is right. What it may not be
			// is the link of a mapping that has taken this one's place.
			c.same = c.named(dir, link)
		}
		if c.same {
			return
		}
	}
	if c.named(dir, "exe") && c.try(dir, "exe", "exe", plain) {
		return
	}

	paths := []string{m.Path}
	if m.Deleted {
		paths = append(paths, m.Path+" (deleted)") // a file that is really called so
	}
	if strings.Contains(m.Path, "\n") {
		// The kernel writes a newline as \012, and \012 as it is.
		paths = append(paths, strings.ReplaceAll(m.Path, "\n", `\012`))
	}
	rootPath := readlinkat(dir, "root")
	root, err := openat(dir, "root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		c.fail(err)
	} else {
		defer unix.Close(root)
	}
	for _, path := range paths {
		if sameMounts && c.try(unix.AT_FDCWD, path, "path", plain) {
			return
		}
		if root < 0 {
			continue
		}
		// The paths in maps count from the top of the mount namespace, not
		// from the process's root: below a chroot they repeat its path.
		if below, ok := strings.CutPrefix(path, rootPath+"/"); ok && rootPath != "/" {
			if c.try(root, below, "root", inRoot) {
				return
			}
		}
		if c.try(root, path, "root", inRoot) {
			return
		}
	}
}

// named reports whether the link is to a file of the mapping's name. A newline
// in that may be a \012.
func (c *candidate) named(dir int, link string) bool {
	s := strings.ReplaceAll(readlinkat(dir, link), `\012`, "\n")
	return s == c.m.Path || c.m.Deleted && s == c.m.Path+" (deleted)"
}

// try looks at one file and keeps it if it is better than what there is. It
// reports whether it is the mapped one.
func (c *candidate) try(dir int, path, via string, open opener) bool {
	fd, st, err := openRegular(dir, path, open)
	if err != nil {
		c.fail(err)
		return false
	}
	same := st.Ino == c.m.Inode && maps.MakeDev(unix.Major(st.Dev), unix.Minor(st.Dev)) == c.m.Dev
	if c.fd >= 0 {
		if !same {
			unix.Close(fd)
			return false
		}
		unix.Close(c.fd)
	}
	c.fd, c.via, c.same = fd, via, same
	return same
}

// fail keeps the error that tells most: not "no such file" where another way
// was not permitted.
func (c *candidate) fail(err error) {
	if c.err == unix.ENOENT {
		c.err = err
	}
}

var errNotRegular = errors.New("not a regular file")

type opener func(dir int, path string, flags int) (int, error)

// openRegular opens a regular file and nothing else: a device or a FIFO must
// not notice that bt was here.
func openRegular(dir int, path string, open opener) (int, *unix.Stat_t, error) {
	var st unix.Stat_t
	probe, err := open(dir, path, unix.O_PATH)
	if err != nil {
		return -1, nil, err
	}
	err = unix.Fstat(probe, &st)
	unix.Close(probe)
	if err != nil {
		return -1, nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, nil, errNotRegular
	}
	fd, err := open(dir, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return -1, nil, err
	}
	// It may have been replaced in between.
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return -1, nil, errNotRegular
	}
	return fd, &st, nil
}

func plain(dir int, path string, flags int) (int, error) { return openat(dir, path, flags) }

// inRoot opens a path of the process: its symbolic links count from its root.
func inRoot(dir int, path string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(dir, path, &how)
		switch {
		case (err == unix.EINTR || err == unix.EAGAIN) && try < 100:
			continue
		case err == unix.ENOSYS || err == unix.EPERM:
			// Before Linux 5.6, or a filter that does not know it. Device
			// and inode are compared all the same.
			return openat(dir, strings.TrimLeft(path, "/"), flags)
		}
		return fd, err
	}
}

func readlinkat(dir int, name string) string {
	b := make([]byte, 4096+64)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// compareMounts reports whether the process is in bt's own mount namespace: a
// path in its maps then is one of bt's own, even if its root is another.
func (p *Process) compareMounts() bool {
	var theirs string
	p.through(func(dir, _ int) error {
		if theirs = readlinkat(dir, "ns/mnt"); theirs == "" {
			return unix.ENOENT
		}
		return nil
	})
	own := readlinkat(unix.AT_FDCWD, "/proc/self/ns/mnt")
	return own != "" && own == theirs
}
