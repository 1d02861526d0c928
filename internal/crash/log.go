//go:build linux

package crash

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
)

// logger writes to where crashes are noted: single lines, or an entry with more for each
// crash.
type logger struct {
	file string // in place of the system's log: see Options.Log; or empty
	json bool   // an entry is a JSON object
	max  int64  // what a file of JSON and the one before it may have together, in bytes; 0: no limit
}

// priority is LOG_DAEMON and LOG_CRIT of RFC 3164.
const priority = 3<<3 | 2

// maxLine bounds a line: LOG_LINE_MAX of kernel/printk/printk.c has 1024.
const maxLine = 900

// printf writes a line.
func (l *logger) printf(format string, args ...any) {
	l.write(&entry{Message: escape.Sprintf(format, args...), Time: time.Now()})
}

// wantsReport says whether entries are to have the report.
func (l *logger) wantsReport() bool {
	_, ok := l.journal()
	return ok || l.file != "" && l.json
}

// journal is the socket of the journal, where the entries go to one.
func (l *logger) journal() (socket string, ok bool) {
	if l.file == Journal {
		return journalSocket, true
	}
	return strings.CutPrefix(l.file, Journal+":")
}

// write writes an entry: to the file or the journal, or its message to the system's log,
// or, where there is none that takes it, to the kernel's.
func (l *logger) write(e *entry) {
	if socket, ok := l.journal(); ok {
		if toJournal(socket, e.journal(l.json)) == nil {
			return
		}
	} else if l.file != "" {
		if l.toFile(e) == nil {
			return
		}
	}
	toSystem(e.Message)
}

// toSystem writes a line to the system's log, or the kernel's.
func toSystem(text string) {
	text = shorten(text)
	line := fmt.Sprintf("<%d>%s bt[%d]: %s", priority, time.Now().Format(time.Stamp), os.Getpid(), text)
	if toSyslog("/dev/log", line) == nil {
		return
	}
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
		fmt.Fprintf(f, "<%d>bt[%d]: %s\n", priority, os.Getpid(), text)
		f.Close()
	}
}

// shorten cuts a line that is too long.
func shorten(text string) string {
	end := maxLine
	if len(text) <= end {
		return text
	}
	for end > maxLine-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// toFile appends an entry to the file. One of JSON has reports, and a user whose programs
// crash again and again is not to fill the disk: the file is kept below a size, and has
// no reports where there is little room.
func (l *logger) toFile(e *entry) error {
	f, err := l.open()
	if err != nil {
		return err
	}
	defer func() { f.Close() }() // the one that it is by then
	line := fmt.Sprintf("%s bt[%d]: %s", time.Now().Format(time.RFC3339), os.Getpid(), shorten(e.Message))
	if l.json {
		if lacks := short(int(f.Fd())); lacks > 0 && e.Report != "" {
			bare := *e
			bare.Report = ""
			bare.Problems = append(slices.Clone(e.Problems), "the report is not in the log, whose file system has little room left")
			e = &bare
		}
		line = string(e.json())
	}
	if f, err = l.rotate(f, int64(len(line))+1); err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n") // at once: other handlers append, too
	return err
}

// How often, and how long apart, the log's file is tried to be locked.
const (
	lockTries = 100
	lockPause = 20 * time.Millisecond
)

// open opens the file, locked against other handlers, unless somebody else keeps the lock:
// then two that rename the file at once may lose the older lines.
func (l *logger) open() (*os.File, error) {
	const tries = 10 // another handler may put another file in its place meanwhile
	for range tries {
		f, err := os.OpenFile(l.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		if err == nil && !st.Mode().IsRegular() {
			err = fmt.Errorf("%s: no regular file", l.file)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		// Whoever may read the file can lock it, for ever.
		for range lockTries {
			if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
				break
			}
			time.Sleep(lockPause)
		}
		if now, err := os.Lstat(l.file); err == nil && os.SameFile(st, now) {
			return f, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("%s: replaced again and again", l.file)
}

// rotate makes room for so many bytes: a file that would get too large is renamed, and
// the one that was renamed before is lost. It returns the file to write to, and closes f
// where that is another.
func (l *logger) rotate(f *os.File, size int64) (*os.File, error) {
	st, err := f.Stat()
	if err != nil || l.max == 0 || !l.json || st.Size() == 0 || st.Size()+size <= l.max/2 {
		return f, err
	}
	if err := os.Rename(l.file, l.file+".1"); err != nil {
		return f, err
	}
	next, err := l.open()
	if err != nil {
		return f, err
	}
	f.Close()
	return next, nil
}

// toSyslog sends a line to the socket that syslogd or journald listens on, and
// does not wait long for one that does not read.
func toSyslog(socket, line string) error {
	const wait = 2 * time.Second
	c, err := net.DialTimeout("unixgram", socket, wait)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(wait))
	_, err = c.Write([]byte(line))
	return err
}
