//go:build linux

package crash

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Report is one report in a Dir.
type Report struct {
	File   string // its name in the directory
	Time   time.Time
	PID    int
	Name   string
	Signal string // "SIGSEGV"; empty if the report does not tell
	Size   int64

	written time.Time // tells the order of those of the same second
}

const (
	suffix     = ".txt"
	timeFormat = "20060102T150405Z"
)

// fileName is the name of a request's report: names sort by time.
func (r *Request) fileName() string {
	return r.Time.UTC().Format(timeFormat) + "-" + sanitize(r.Name) + "-" + strconv.Itoa(r.PID)
}

// sanitize makes a part of a file name of a name that a process chose itself.
func sanitize(name string) string {
	const most = 64
	b := []byte(name[:min(len(name), most)])
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '.', c == '_', c == '-':
		default:
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "_"
	}
	return string(b)
}

// parseFileName undoes fileName.
func parseFileName(file string) (r Report, ok bool) {
	base, ok := strings.CutSuffix(file, suffix)
	at, rest, ok2 := strings.Cut(base, "-")
	i := strings.LastIndexByte(rest, '-')
	if !ok || !ok2 || i < 0 {
		return r, false
	}
	t, err := time.Parse(timeFormat, at)
	if err != nil {
		return r, false
	}
	number, _, _ := strings.Cut(rest[i+1:], ".")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return r, false
	}
	return Report{File: file, Time: t, PID: pid, Name: rest[:i]}, true
}

// Reports lists the reports, the newest first.
func (d *Dir) Reports() ([]Report, error) {
	list, err := d.reports()
	for i := range list {
		list[i].Signal = d.signal(list[i].File)
	}
	return list, err
}

// reports is Reports without what the files themselves tell.
func (d *Dir) reports() ([]Report, error) {
	names, err := d.names()
	var list []Report
	for _, name := range names {
		r, ok := parseFileName(name)
		if !ok {
			continue
		}
		var st unix.Stat_t
		if unix.Fstatat(int(d.f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		r.Size, r.written = st.Size, time.Unix(st.Mtim.Unix())
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Report) int {
		return cmp.Or(b.Time.Compare(a.Time), b.written.Compare(a.written), cmp.Compare(b.File, a.File))
	})
	return list, err
}

// signal reads the signal in a report's head.
func (d *Dir) signal(file string) string {
	f, err := d.open(file, unix.O_RDONLY)
	if err != nil {
		return ""
	}
	defer f.Close()
	sc := bufio.NewScanner(io.LimitReader(f, 16<<10))
	for sc.Scan() {
		if s, ok := strings.CutPrefix(sc.Text(), headPrefix+"signal "); ok {
			return s
		}
	}
	return ""
}

// Open opens a report for reading. Only names of Reports are opened. The caller
// closes it.
func (d *Dir) Open(file string) (*os.File, error) {
	if _, ok := parseFileName(file); !ok || strings.Contains(file, "/") {
		return nil, fmt.Errorf("%q is not the name of a crash report", file)
	}
	return d.open(file, unix.O_RDONLY)
}

// draft is a report that is being written.
type draft struct {
	*os.File
	dir  *Dir
	temp string
}

// create makes a file for a report. It is a report once it was kept.
func (d *Dir) create(r *Request) (*draft, error) {
	temp := fmt.Sprintf("%s%s.%d", tempPrefix, r.fileName(), os.Getpid())
	f, err := d.open(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	return &draft{f, d, temp}, nil
}

// keep makes the draft a report and returns its name.
func (f *draft) keep(r *Request) (string, error) {
	err := f.Close()
	dir := int(f.dir.f.Fd())
	const most = 1000 // of one process, name and second
	for i := 0; err == nil; i++ {
		name := r.fileName()
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		name += suffix
		// Linkat, unlike rename, replaces nothing.
		err = unix.Linkat(dir, f.temp, dir, name, 0)
		if err == nil {
			f.dir.remove(f.temp)
			return name, nil
		}
		if err == unix.EEXIST && i < most {
			err = nil
		}
	}
	f.dir.remove(f.temp)
	return "", err
}

func (f *draft) drop() {
	f.Close()
	f.dir.remove(f.temp)
}

// A directory of reports leaves so much of its file system free, in percent, but
// no more than a number of bytes: systemd-coredump's KeepFree=.
const (
	keepFree    = 15
	keepFreeMax = 4 << 30
)

// short reports how many bytes the directory's file system lacks to have as much
// free as it should. 0 where it cannot be told.
func (d *Dir) short() int64 { return short(int(d.f.Fd())) }

// short is Dir.short for the file system of an open file.
func short(fd int) int64 {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0
	}
	size := float64(st.Bsize)
	want := min(float64(st.Blocks)*size/100*keepFree, keepFreeMax)
	return max(0, int64(want-float64(st.Bavail)*size))
}

// prune removes the oldest reports until the limits are kept with so many more to
// come, and until the file system has enough room free, but never the newest; and
// what handlers that were killed have left.
func (d *Dir) prune(l Limits, coming int) error {
	unlock, err := d.lock(dirLock)
	if err != nil {
		return err
	}
	defer unlock()
	d.removeDrafts(time.Now().Add(-2*l.Timeout - time.Hour))
	list, err := d.reports()
	if err != nil {
		return err
	}
	var bytes int64
	var failed []error
	remove := func(r *Report) {
		if err := d.remove(r.File); err != nil && err != unix.ENOENT {
			failed = append(failed, &fs.PathError{Op: "remove", Path: r.File, Err: err})
		}
	}
	kept := 0
	for i := range list {
		bytes += list[i].Size
		if i > 0 && (i+coming >= l.MaxReports || bytes > l.MaxBytes) {
			bytes -= list[i].Size
			remove(&list[i])
			continue
		}
		list[kept] = list[i]
		kept++
	}
	// Asked anew each time: what was removed may be in use still.
	for ; kept > 1 && d.short() > 0; kept-- {
		remove(&list[kept-1])
	}
	return errors.Join(failed...)
}

// removeDrafts removes drafts that were last written to before a time.
func (d *Dir) removeDrafts(before time.Time) {
	names, _ := d.names()
	for _, name := range names {
		var st unix.Stat_t
		if strings.HasPrefix(name, tempPrefix) &&
			unix.Fstatat(int(d.f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mtim.Sec < before.Unix() {
			d.remove(name)
		}
	}
}
