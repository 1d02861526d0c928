//go:build linux

package procfs

import "golang.org/x/sys/unix"

// Lister reads the numbers that a directory of procfs lists, such as
// /proc/PID/task, again and again, without allocating once its buffers are
// large enough.
type Lister struct {
	Dir Dir
	buf []byte
	ids []int
	// zero says that 0 is among the numbers.
	zero bool
}

// OpenTasks opens the list of the process's threads. size is how many bytes are
// read at a time. The caller closes l.Dir.
func (d Dir) OpenTasks(size int) (l Lister, err error) {
	dir, err := d.Dir("task", unix.O_RDONLY)
	return Lister{Dir: dir, buf: make([]byte, size)}, err
}

// OpenFDs opens the list of the process's descriptors, see OpenTasks.
func (d Dir) OpenFDs(size int) (l Lister, err error) {
	dir, err := d.Dir("fd", unix.O_RDONLY)
	return Lister{Dir: dir, buf: make([]byte, size), zero: true}, err
}

// List returns the numbers. They are valid until the next call.
func (l *Lister) List() ([]int, error) {
	l.ids = l.ids[:0]
	if _, err := unix.Seek(int(l.Dir), 0, 0); err != nil {
		return nil, err
	}
	for {
		n, err := unix.Getdents(int(l.Dir), l.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return l.ids, nil
		}
		// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
		for b := l.buf[:n]; len(b) > 19; {
			reclen := int(b[16]) | int(b[17])<<8
			if reclen <= 19 || reclen > len(b) {
				break
			}
			if id := number(b[19:reclen]); id > 0 || l.zero && b[19] == '0' {
				l.ids = append(l.ids, id)
			}
			b = b[reclen:]
		}
	}
}

// number is the number that a name, up to a NUL, is; 0 if it is none.
func number(name []byte) int {
	id := 0
	for _, c := range name {
		if c == 0 {
			break
		}
		if c < '0' || c > '9' || id > 1<<30 {
			return 0
		}
		id = id*10 + int(c-'0')
	}
	return id
}
