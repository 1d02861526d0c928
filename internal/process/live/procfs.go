package live

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// stat is what bt wants of /proc/PID/stat (proc_pid_stat(5)).
type stat struct {
	comm  string
	state byte
	ppid  int
	flags uint64
}

// The flag of task_struct that marks a kernel thread (include/linux/sched.h).
const pfKthread = 0x00200000

// parseStat reads a stat line. The name in it may hold parentheses and spaces:
// it ends at the last one.
func parseStat(b []byte) (st stat, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return st, false
	}
	// state ppid pgrp session tty_nr tpgid flags …
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 7 || len(f[0]) != 1 {
		return st, false
	}
	st.comm, st.state = string(b[open+1:end]), f[0][0]
	st.ppid, _ = strconv.Atoi(f[1])
	st.flags, _ = strconv.ParseUint(f[6], 10, 64)
	return st, true
}

// dead reports whether the thread has exited and only its remains are there.
func (st stat) dead() bool { return st.state == 'Z' || st.state == 'X' || st.state == 'x' }

// parseStatus reads "Key:\tvalue" lines.
func parseStatus(b []byte) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}

// parseSyscall reads /proc/PID/task/TID/syscall: "nr arg1 … arg6 sp pc", or
// "-1 sp pc" outside a system call, or "running". nr is -1 when unknown.
func parseSyscall(s string) (nr int, args []uint64, sp, pc uint64, ok bool) {
	f := strings.Fields(s)
	if len(f) != 3 && len(f) != 9 {
		return -1, nil, 0, 0, false
	}
	nr, err := strconv.Atoi(f[0])
	if err != nil {
		return -1, nil, 0, 0, false
	}
	v := make([]uint64, 0, 8)
	for _, w := range f[1:] {
		x, err := strconv.ParseUint(strings.TrimPrefix(w, "0x"), 16, 64)
		if err != nil {
			return -1, nil, 0, 0, false
		}
		v = append(v, x)
	}
	n := len(v) - 2
	return nr, v[:n], v[n], v[n+1], true
}

// maxSmall bounds the procfs files that are read whole, the maps excepted.
const maxSmall = 1 << 20

// readFileAt reads the file name below the directory dir.
func readFileAt(dir int, name string, size, limit int) ([]byte, error) {
	fd, err := openat(dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, size)
	n := 0
	for {
		if n == len(b) {
			if len(b) >= limit {
				return b[:n], nil
			}
			b = append(b, make([]byte, len(b))...)
		}
		k, err := unix.Read(fd, b[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return b[:n], &os.PathError{Op: "read", Path: name, Err: err}
		}
		if k <= 0 {
			return b[:n], nil
		}
		n += k
	}
}

func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// statOf reads the state of a thread; name is "stat" or "task/TID/stat".
func statOf(dir int, name string) (stat, error) {
	b, err := readFileAt(dir, name, 1024, maxSmall)
	if err != nil {
		return stat{}, err
	}
	st, ok := parseStat(b)
	if !ok {
		return stat{}, &os.PathError{Op: "read", Path: name, Err: unix.EBADMSG}
	}
	return st, nil
}

// lister reads the numbers that a directory of /proc lists, without
// allocating once its buffer and result are large enough.
type lister struct {
	fd  int
	buf []byte
	ids []int
}

func (l *lister) list() ([]int, error) {
	l.ids = l.ids[:0]
	if _, err := unix.Seek(l.fd, 0, 0); err != nil {
		return nil, err
	}
	for {
		n, err := unix.Getdents(l.fd, l.buf)
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
			id := 0
			for _, c := range b[19:reclen] {
				if c < '0' || c > '9' || id > 1<<30 {
					if c != 0 {
						id = 0
					}
					break
				}
				id = id*10 + int(c-'0')
			}
			if id > 0 {
				l.ids = append(l.ids, id)
			}
			b = b[reclen:]
		}
	}
}
