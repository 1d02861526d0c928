//go:build linux

package waits

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/stack"
)

// fileLock is a line of /proc/locks (fs/locks.c, lock_get_status).
type fileLock struct {
	id    string // a lock's, which those that wait for it have as well
	waits bool
	kind  string // FLOCK, POSIX, OFDLCK, LEASE
	write bool
	pid   int // not positive where it is no process's, or not visible
	file  string
	from  uint64
	to    uint64 // ^0: to the end of the file
}

// maxLocks bounds /proc/locks.
const maxLocks = 4 << 20

// parseLocks reads lines such as
//
//	1: POSIX  ADVISORY  WRITE 1234 08:01:12345 0 EOF
//	1: -> POSIX  ADVISORY  WRITE 1240 08:01:12345 0 EOF
func parseLocks(text string) []fileLock {
	var list []fileLock
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 2 {
			continue
		}
		l := fileLock{id: w[0]}
		if w = w[1:]; w[0] == "->" {
			l.waits, w = true, w[1:]
		}
		if len(w) != 7 {
			continue
		}
		pid, err := strconv.Atoi(w[3])
		from, err2 := strconv.ParseUint(w[5], 10, 64)
		if err != nil || err2 != nil {
			continue
		}
		l.kind, l.write, l.pid, l.file, l.from, l.to = w[0], w[2] == "WRITE", pid, w[4], from, ^uint64(0)
		if w[6] != "EOF" {
			if l.to, err = strconv.ParseUint(w[6], 10, 64); err != nil {
				continue
			}
		}
		list = append(list, l)
	}
	return list
}

// fileID is how /proc/locks names a file.
func fileID(o fdObject) string {
	return fmt.Sprintf("%02x:%02x:%d", unix.Major(o.dev), unix.Minor(o.dev), o.ino)
}

// lockRange is what of a file a lock is for.
type lockRange struct {
	write    bool
	from, to uint64
}

// blockers are the locks that keep a process from one of a kind on a file: those on
// whose account the kernel says that it waits. Of locks of open files it does not tell
// whose they are: there the range must be the same, nil where that is not known.
func blockers(list []fileLock, pid int, kind, file string, wanted *lockRange) []fileLock {
	var out []fileLock
	for _, l := range list {
		if !l.waits || l.kind != kind || l.file != file {
			continue
		}
		if kind == openFileLock && l.pid == -1 {
			if wanted == nil || *wanted != (lockRange{l.write, l.from, l.to}) {
				continue
			}
		} else if l.pid != pid {
			continue
		}
		for _, h := range list {
			if h.id == l.id && !h.waits && h.file == file && !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	return out
}

// openFileLock is the kernel's word for a lock that an open file has, and no process.
const openFileLock = "OFDLCK"

// lock is flock.
func (d *decoder) lock() (w wait, ok bool) {
	const lockEx = 2
	mode := "shared"
	if d.call.Args[1]&lockEx != 0 {
		mode = "exclusive"
	}
	return d.fileLock("FLOCK", mode+" lock", nil)
}

// fcntl is that of a lock.
func (d *decoder) fcntl() (w wait, ok bool) {
	kind := ""
	switch int32(d.call.Args[1]) {
	case unix.F_SETLKW, 14: // F_SETLKW64 of 32-bit programs, and F_SETLKW of 64-bit ones is 7
		kind = "POSIX"
	case 38: // F_OFD_SETLKW
		kind = openFileLock
	default:
		return w, false
	}
	mode := "lock"
	if v, ok := d.m.Word(d.call.Args[2], 2); ok { // l_type of struct flock
		switch v {
		case unix.F_RDLCK:
			mode = "read lock"
		case unix.F_WRLCK:
			mode = "write lock"
		}
	}
	return d.fileLock(kind, mode, d.lockRange())
}

// lockRange reads a struct flock of a 64-bit program: short type and whence, and the
// start and the length, 8 bytes each; nil where it is relative to the file's position.
func (d *decoder) lockRange() *lockRange {
	if d.t.Arch.PtrSize != 8 {
		return nil
	}
	at := d.call.Args[2]
	kind, ok := d.m.Word(at, 2)
	whence, ok2 := d.m.Word(at+2, 2)
	start, ok3 := d.m.Word(at+8, 8)
	n, ok4 := d.m.Word(at+16, 8)
	if !ok || !ok2 || !ok3 || !ok4 || whence != unix.SEEK_SET || int64(start) < 0 || int64(n) < 0 {
		return nil
	}
	r := &lockRange{write: kind == unix.F_WRLCK, from: start, to: start + n - 1}
	if n == 0 {
		r.to = ^uint64(0)
	}
	return r
}

// fileLock tells who holds the lock on a file.
func (d *decoder) fileLock(kind, mode string, wanted *lockRange) (w wait, ok bool) {
	fd := int(int32(d.call.Args[0]))
	w.FD, w.Kind = &fd, "file lock"
	w.Text = d.name + " for the " + mode + " on fd " + strconv.Itoa(fd)
	f := d.reader.files
	o, known := f.object(fd)
	if !known {
		return w, true
	}
	w.Object = o.text
	w.Text += ": " + o.text
	if o.ino == 0 {
		return w, true
	}
	w.all = true
	for _, l := range blockers(f.fileLocks(), f.pid, kind, fileID(o), wanted) {
		for _, p := range f.holders(o, l) {
			if !slices.ContainsFunc(w.Holders, func(h stack.Party) bool { return h.PID == p.PID }) {
				w.Holders = append(w.Holders, p)
			}
		}
	}
	if len(w.Holders) == 0 {
		w.all = false
		return w, true
	}
	w.Text += ", held by " + parties(w.Holders)
	return w, true
}

// holders are the processes that have a lock. The one that has taken it can have ended,
// and left the open file to others; locks of open files have no process at all.
func (f *files) holders(o fdObject, l fileLock) []stack.Party {
	if l.pid > 0 {
		if p, lives := f.process(l.pid); lives {
			return []stack.Party{p}
		}
	}
	return f.lockHolders(o, l)
}

// fileLocks are all locks that procfs shows.
func (f *files) fileLocks() []fileLock {
	if !f.locked {
		f.locked = true
		if b, err := readBounded(f.run.procfs+"/locks", maxLocks); err == nil {
			f.locks = parseLocks(string(b))
		}
	}
	return f.locks
}

func readBounded(path string, limit int) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []byte
	b := make([]byte, 32<<10)
	for len(out) < limit {
		n, err := file.Read(b)
		out = append(out, b[:n]...)
		if err != nil || n == 0 {
			break
		}
	}
	return out, nil
}
