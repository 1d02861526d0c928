//go:build linux

package live

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
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
	err = p.through(func(dir procfs.Dir, _ int) error {
		c := candidate{m: m, err: unix.ENOENT}
		c.find(dir, shared)
		f, via, same = c.f, c.via, c.same
		if f == nil {
			return c.err
		}
		return nil
	})
	if err != nil {
		return nil, "", false, &os.PathError{Op: "open", Path: m.Path, Err: refused(err, os.Geteuid() == 0)}
	}
	return f, via, same, nil
}

// refused adds to the error of a file that root may not open what that means.
func refused(err error, root bool) error {
	if root && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
		return fmt.Errorf("%w, to root, too: on a FUSE mount of another user, run bt as that user or mount with -o allow_root", err)
	}
	return err
}

// candidate is the best file for m so far.
type candidate struct {
	m    *maps.Mapping
	f    *os.File
	via  string
	same bool
	err  error // why the last one could not be opened
}

// find tries every way until one leads to the mapped file itself. sameMounts
// says that the process is in bt's mount namespace.
func (c *candidate) find(dir procfs.Dir, sameMounts bool) {
	m := c.m
	// The kernel's own link to the file. It needs CAP_CHECKPOINT_RESTORE.
	link := procfs.MapFile(m.Start, m.End)
	if c.try("map_files", dir.Open, link); c.f != nil {
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
	if c.named(dir, "exe") && c.try("exe", dir.Open, "exe") {
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
	rootPath := dir.Readlink("root")
	root, err := dir.Root()
	if err != nil {
		c.fail(err)
	} else {
		defer root.Close()
	}
	for _, path := range paths {
		if sameMounts && c.try("path", procfs.Dir(unix.AT_FDCWD).Open, path) {
			return
		}
		if root == nil {
			continue
		}
		// The paths in maps count from the top of the mount namespace, not
		// from the process's root: below a chroot they repeat its path.
		if below, ok := strings.CutPrefix(path, rootPath+"/"); ok && rootPath != "/" {
			if c.try("root", root.OpenFD, below) {
				return
			}
		}
		if c.try("root", root.OpenFD, path) {
			return
		}
	}
}

// named reports whether the link is to a file of the mapping's name. A newline
// in that may be a \012.
func (c *candidate) named(dir procfs.Dir, link string) bool {
	s := strings.ReplaceAll(dir.Readlink(link), `\012`, "\n")
	return s == c.m.Path || c.m.Deleted && s == c.m.Path+" (deleted)"
}

// try looks at one file and keeps it if it is better than what there is. It
// reports whether it is the mapped one.
func (c *candidate) try(via string, open func(name string, flags int) (int, error), name string) bool {
	f, st, err := procfs.OpenRegular(c.m.Path, func(flags int) (int, error) { return open(name, flags) })
	if err != nil {
		c.fail(err)
		return false
	}
	same := st.Ino == c.m.Inode && maps.MakeDev(unix.Major(st.Dev), unix.Minor(st.Dev)) == c.m.Dev
	if c.f != nil {
		if !same {
			f.Close()
			return false
		}
		c.f.Close()
	}
	c.f, c.via, c.same = f, via, same
	return same
}

// fail keeps the error that tells most: not "no such file" where another way
// was not permitted.
func (c *candidate) fail(err error) {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	if c.err == unix.ENOENT {
		c.err = err
	}
}

// compareMounts reports whether the process is in bt's own mount namespace: a
// path in its maps then is one of bt's own, even if its root is another.
func (p *Process) compareMounts() bool {
	var theirs string
	p.through(func(dir procfs.Dir, _ int) error {
		if theirs = dir.Readlink("ns/mnt"); theirs == "" {
			return unix.ENOENT
		}
		return nil
	})
	own := procfs.Dir(unix.AT_FDCWD).Readlink("/proc/self/ns/mnt")
	return own != "" && own == theirs
}
