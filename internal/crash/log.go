//go:build linux

package crash

import (
	"fmt"
	"net"
	"os"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/escape"
)

// logger writes single lines to where crashes are noted.
type logger struct {
	file string // in place of the system's log, or empty
}

// priority is LOG_DAEMON and LOG_CRIT of RFC 3164.
const priority = 3<<3 | 2

// maxLine bounds a line: LOG_LINE_MAX of kernel/printk/printk.c has 1024.
const maxLine = 900

// printf writes a line: to the file, or to the system's log, or, where there is
// none that takes it, to the kernel's.
func (l *logger) printf(format string, args ...any) {
	text := escape.Sprintf(format, args...)
	if end := maxLine; len(text) > end {
		for end > maxLine-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	if l.file != "" {
		if l.toFile(text) == nil {
			return
		}
	}
	line := fmt.Sprintf("<%d>%s bt[%d]: %s", priority, time.Now().Format(time.Stamp), os.Getpid(), text)
	if toSyslog("/dev/log", line) == nil {
		return
	}
	if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
		fmt.Fprintf(f, "<%d>bt[%d]: %s\n", priority, os.Getpid(), text)
		f.Close()
	}
}

// toFile appends a line to the file.
func (l *logger) toFile(text string) error {
	f, err := os.OpenFile(l.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return fmt.Errorf("%s: no regular file", l.file)
	}
	_, err = fmt.Fprintf(f, "%s bt[%d]: %s\n", time.Now().Format(time.RFC3339), os.Getpid(), text)
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
