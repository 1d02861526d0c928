//go:build linux

package procfs

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stat is what bt wants of /proc/PID/stat (proc_pid_stat(5)).
type Stat struct {
	Comm  string
	State byte
	PPID  int
	PGRP  int
	CPU   time.Duration // that it has run, in the kernel and outside, to 10 ms
	flags uint64
	start int64 // when it started, in ticks since the machine did
}

// ParseStat reads a stat line. The name in it may hold parentheses and spaces:
// it ends at the last one.
func ParseStat(b []byte) (st Stat, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return st, false
	}
	// Fields 3 and on: state ppid pgrp session tty_nr tpgid flags …
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 7 || len(f[0]) != 1 {
		return st, false
	}
	st.Comm, st.State, st.start = string(b[open+1:end]), f[0][0], -1
	st.PPID, _ = strconv.Atoi(f[1])
	st.PGRP, _ = strconv.Atoi(f[2])
	st.flags, _ = strconv.ParseUint(f[6], 10, 64)
	if len(f) > 12 {
		user, _ := strconv.ParseUint(f[11], 10, 38) // so that the sum is a Duration
		system, _ := strconv.ParseUint(f[12], 10, 38)
		st.CPU = time.Duration(user+system) * tick
	}
	if len(f) > 19 {
		if n, err := strconv.ParseInt(f[19], 10, 64); err == nil && n >= 0 {
			st.start = n
		}
	}
	return st, true
}

// Stat reads the state of a thread; name is "stat", or "task/TID/stat". The
// error is an errno.
func (d Dir) Stat(name string) (Stat, error) {
	b, err := d.ReadUpTo(name, 1024, maxSmall)
	if err != nil {
		return Stat{}, err
	}
	st, ok := ParseStat(b)
	if !ok {
		return Stat{}, unix.EBADMSG
	}
	return st, nil
}

// Dead reports whether the thread has exited and only its remains are there.
func (st Stat) Dead() bool { return st.State == 'Z' || st.State == 'X' || st.State == 'x' }

// KernelThread reports whether the thread runs inside the kernel alone: the
// flag PF_KTHREAD of task_struct (include/linux/sched.h).
func (st Stat) KernelThread() bool { return st.flags&0x00200000 != 0 }

// userHZ is the unit of times in procfs, USER_HZ, on all but the oldest CPUs.
const (
	userHZ = 100
	tick   = time.Second / userHZ
)

// Started says when the thread started, zero if that is not known. It is exact
// to one tick of 10 ms.
func (st Stat) Started() time.Time {
	var now unix.Timespec
	// The ticks count the time asleep, too.
	if st.start < 0 || st.start > 1<<62/int64(time.Second/userHZ) || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return time.Time{}
	}
	age := time.Duration(now.Nano()) - time.Duration(st.start)*(time.Second/userHZ)
	return time.Now().Add(-age)
}

// Status is what a status file holds (proc_pid_status(5)): the values by their
// keys, without the space around them. The kernel escapes the newlines of the
// one that a process can choose, its name.
type Status map[string]string

// ParseStatus reads "Key:\tvalue" lines.
func ParseStatus(b []byte) Status {
	m := make(Status)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}

// Status reads the status of a thread; name is "status", or "task/TID/status".
func (d Dir) Status(name string) (Status, error) {
	b, err := d.Read(name)
	if err != nil {
		return nil, err
	}
	return ParseStatus(b), nil
}

// Int returns the first number of a value, 0 if there is none.
func (s Status) Int(key string) int {
	word, _, _ := strings.Cut(s[key], "\t")
	n, _ := strconv.Atoi(word)
	return n
}

// UIDs returns the thread's user IDs: real, effective, saved, file system.
func (s Status) UIDs() (ids [4]uint32, ok bool) {
	f := strings.Fields(s["Uid"])
	if len(f) != len(ids) {
		return ids, false
	}
	for i, w := range f {
		id, err := strconv.ParseUint(w, 10, 32)
		if err != nil {
			return ids, false
		}
		ids[i] = uint32(id)
	}
	return ids, true
}

// NSpid returns the thread's numbers, that of procfs's PID namespace first and
// that of its own last. It is empty before Linux 4.1.
func (s Status) NSpid() []int {
	var ids []int
	for _, w := range strings.Fields(s["NSpid"]) {
		if n, err := strconv.Atoi(w); err == nil && n > 0 {
			ids = append(ids, n)
		}
	}
	return ids
}

// HasSignal reports whether a signal is in a set such as SigCgt.
func (s Status) HasSignal(key string, signo int) bool {
	set, err := strconv.ParseUint(s[key], 16, 64)
	return err == nil && signo > 0 && set>>(signo-1)&1 != 0
}
