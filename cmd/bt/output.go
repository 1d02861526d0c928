//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/guard"
)

// output is where the output goes: standard output, or the file of --output.
//
// A regular file is replaced once everything is written, and never emptied
// before: it can be the input, and what is in it already is lost only for
// something new. Devices, pipes and what /dev/fd leads to are written to
// directly.
type output struct {
	*os.File        // where to write to meanwhile
	replaces string // the file to be replaced; empty where File is written to directly
	name     string // that File has meanwhile; empty if it has none
	mu       sync.Mutex
	signals  chan os.Signal
}

// openFile opens the file of --output; "-" is standard output. The caller calls end.
func openFile(path string) (*output, error) {
	if path == "-" {
		return openOwn(path, "out")
	}
	if m := ownFile().FindStringSubmatch(filepath.Clean(path)); m != nil {
		return openOwn(path, m[1])
	}
	real, err := followLinks(path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Stat(real, &st)
	switch {
	case err == unix.ENOENT:
		return newFile(real, nil)
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG:
		// Another could be put in its place all the same.
		if err = unix.Faccessat(unix.AT_FDCWD, real, unix.W_OK, unix.AT_EACCESS); err == nil {
			return newFile(real, &st)
		}
	case err == nil:
		f, err := os.OpenFile(real, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &output{File: f}, nil
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// ownFile matches the names of files that bt was started with.
var ownFile = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^/(?:dev/fd/|dev/std|proc/self/fd/)(\d+|out|err)$`)
})

// openOwn opens a file that bt was started with: not anew, as that would begin
// again at its beginning.
func openOwn(path, which string) (*output, error) {
	fd, err := strconv.Atoi(which)
	switch which {
	case "out":
		fd, err = 1, nil
	case "err":
		fd, err = 2, nil
	}
	if err == nil {
		fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &output{File: os.NewFile(uintptr(fd), path)}, nil
}

// followLinks returns what path leads to, if that is there or could be made.
func followLinks(path string) (string, error) {
	for range 40 {
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or nothing there
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
}

// newFile makes the file that is to replace the one at path, whose status is st,
// nil if there is none.
func newFile(path string, st *unix.Stat_t) (*output, error) {
	o := &output{replaces: path}
	dir := filepath.Dir(path)
	// A file without a name is gone with bt, however that ends.
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o666)
	switch {
	case err == nil:
		o.File = os.NewFile(uintptr(fd), path)
	case err == unix.ENOENT || err == unix.ENOTDIR || st == nil && (err == unix.EACCES || err == unix.EROFS):
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	default:
		if o.File, err = namedFile(dir, path); err == nil {
			o.name = o.File.Name()
		} else if o.File, err = os.CreateTemp("", "bt-"); err == nil {
			// Nothing can be made beside it: it is copied into the file.
			os.Remove(o.File.Name())
		} else {
			return nil, err
		}
	}
	if st != nil {
		o.Chown(int(st.Uid), int(st.Gid))
		err = o.Chmod(os.FileMode(st.Mode & 0o777))
	}
	if err != nil {
		o.discard()
		return nil, err
	}
	return o, nil
}

// namedFile makes a file beside the one at path, for file systems that know no
// files without a name.
func namedFile(dir, path string) (*os.File, error) {
	name := fmt.Sprintf(".%.200s.%d.new", filepath.Base(path), os.Getpid())
	return os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
}

// follow has a signal that ends bt put what has been written so far in place, if
// what is read cannot be read again.
func (o *output) follow(in *os.File) {
	if st, err := in.Stat(); o.replaces == "" || err != nil || st.Mode().IsRegular() {
		return
	}
	o.signals = make(chan os.Signal, 1)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(o.signals, sig)
		}
	}
	go guard.Run(func() {
		for sig := range o.signals {
			o.place()
			signal.Stop(o.signals)
			signal.Reset(sig)
			unix.Kill(os.Getpid(), sig.(unix.Signal))
		}
	})
}

// end puts the file in place and closes it. With an error, which it returns, what
// was to be replaced stays.
func (o *output) end(err error) error {
	if err != nil {
		o.discard()
		return err
	}
	err = o.place()
	if o.signals != nil {
		signal.Stop(o.signals)
	}
	if cerr := o.close(); err == nil {
		err = cerr
	}
	return err
}

// close closes the file, unless it was bt's from the beginning.
func (o *output) close() error {
	if o.File == os.Stdout || o.File == os.Stderr {
		return nil
	}
	return o.Close()
}

// discard closes the file.
func (o *output) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.signals != nil {
		signal.Stop(o.signals)
	}
	o.close()
	if o.name != "" {
		os.Remove(o.name)
	}
	o.replaces = ""
}

// place puts the file in place, as far as it is written. What is written later
// follows.
func (o *output) place() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.replaces == "" {
		return nil
	}
	if o.name == "" {
		o.name = o.link()
	}
	var err error = unix.EXDEV
	if o.name != "" {
		err = os.Rename(o.name, o.replaces)
		if err != nil {
			os.Remove(o.name)
		}
	}
	if err != nil {
		// Not there, or not that file: a sticky directory, a mount.
		err = o.copy()
	}
	o.replaces, o.name = "", ""
	return err
}

// link gives the file a name beside the one that it replaces, "" if it cannot.
func (o *output) link() string {
	for i := range 100 {
		name := filepath.Join(filepath.Dir(o.replaces), fmt.Sprintf(".%.200s.%d.%d.new", filepath.Base(o.replaces), os.Getpid(), i))
		err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(o.Fd())), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
		if err == nil {
			return name
		}
		if !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	return ""
}

// copy writes what the file holds into the one that it replaces, and goes on
// there.
func (o *output) copy() error {
	to, err := os.OpenFile(o.replaces, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	if _, err = o.Seek(0, io.SeekStart); err == nil {
		_, err = io.Copy(to, o.File)
	}
	from := o.File
	o.File = to
	return errors.Join(err, from.Close())
}
