//go:build linux

package crash

import (
	"fmt"
	"net"
	"os"
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

// toFile appends a line to the file.
func (l *logger) toFile(e *entry) error {
	line := fmt.Sprintf("%s bt[%d]: %s", time.Now().Format(time.RFC3339), os.Getpid(), shorten(e.Message))
	if l.json {
		line = string(e.json())
	}
	f, err := os.OpenFile(l.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return fmt.Errorf("%s: no regular file", l.file)
	}
	_, err = f.WriteString(line + "\n") // at once: other handlers append, too
	return err
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
