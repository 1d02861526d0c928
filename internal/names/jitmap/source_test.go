//go:build linux

package jitmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/maps"
)

// fakeProc makes a procfs with one process, number 12 and in its own namespace
// 5, that started now. It returns procfs and the process's root.
func fakeProc(t *testing.T) (procfs, root string) {
	t.Helper()
	procfs, root = t.TempDir(), t.TempDir()
	dir := filepath.Join(procfs, "12")
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	ticks := now.Nano() / int64(time.Second/100)
	for _, err := range []error{
		os.MkdirAll(dir, 0o755), os.Mkdir(filepath.Join(root, "tmp"), 0o777),
		os.Symlink(root, filepath.Join(dir, "root")),
		os.WriteFile(filepath.Join(dir, "status"), fmt.Appendf(nil, "Name:\tx\nPid:\t12\nUid:\t0\t%d\t0\t0\nNSpid:\t12\t5\n", os.Geteuid()), 0o644),
		os.WriteFile(filepath.Join(dir, "stat"), fmt.Appendf(nil, "12 (a) b) S 1%s %d 0\n", strings.Repeat(" 0", 17), ticks), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return procfs, root
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func lookup(s *Source, addr uint64) string {
	name, start, from, ok := s.Lookup(addr)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s+%#x %s", name, addr-start, from)
}

// ErrNone is the error of Find where there is nothing to read.
var ErrNone = errors.New("no perf map and no jitdump file")

// Find opens a source and reads it. It returns none where no file could be read.
func Find(pid int, procfs string, mm *maps.Map) (*Source, error) {
	s, err := Open(pid, procfs, mm)
	if err != nil {
		return nil, err
	}
	_, err = s.Refresh()
	for _, f := range s.files {
		if t := f.table.Load(); t != nil && (t.Len() > 0 || f.g.rd.offset() > 0) {
			return s, err
		}
	}
	s.Close()
	if err == nil {
		err = ErrNone
	}
	return nil, err
}

func TestFindPerfMap(t *testing.T) {
	procfs, root := fakeProc(t)
	none := maps.New(nil)
	if s, err := Find(12, procfs, none); s != nil || !errors.Is(err, ErrNone) {
		t.Fatal(s, err)
	}
	if s, err := Find(13, procfs, none); s != nil || !errors.Is(err, os.ErrNotExist) {
		t.Fatal(s, err)
	}
	write(t, filepath.Join(root, "tmp/perf-12.map"), "1000 10 not of its namespace\n")
	path := write(t, filepath.Join(root, "tmp/perf-5.map"), "1000 10 a\n")
	s, err := Find(12, procfs, none)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := lookup(s, 0x1001); got != "a+0x1 /tmp/perf-5.map" {
		t.Error(got)
	}
	refresh := func(want bool, wantErr string) {
		t.Helper()
		changed, err := s.Refresh()
		if changed != want || (err != nil) != (wantErr != "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("Refresh: %v, %v", changed, err)
		}
	}
	refresh(false, "")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("2000 10 b\n3000 1")
	f.Close()
	refresh(true, "")
	if got := lookup(s, 0x2000); got != "b+0x0 /tmp/perf-5.map" {
		t.Error(got)
	}
	// Another file of the same beginning under its name.
	other := write(t, filepath.Join(root, "tmp/other"), "1000 10 a\n2000 10 b\n3000 10 c\n")
	os.Rename(other, path)
	refresh(true, "")
	if got := lookup(s, 0x3000); got != "c+0x0 /tmp/perf-5.map" {
		t.Error(got)
	}
	os.Remove(path)
	refresh(false, "")
	write(t, path, "")
	os.Truncate(path, maxPerfMap+1)
	refresh(true, "too large")
	os.Remove(path)
	os.Remove(filepath.Join(procfs, "12/root"))
	refresh(false, "")
	s.Close()
	refresh(false, "bad file descriptor")
}

// What must not be trusted, or not even be opened.
func TestFindRefuses(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"another user's", func(t *testing.T, path string) {
			testenv.NeedRoot(t)
			write(t, path, "1000 10 a\n")
			os.Chown(path, 12345, 0)
		}, "/tmp/perf-5.map: belongs to user 12345"},
		{"left behind", func(t *testing.T, path string) {
			write(t, path, "1000 10 a\n")
			os.Chtimes(path, old, old)
		}, "/tmp/perf-5.map: is older than the process"},
		{"link", func(t *testing.T, path string) {
			write(t, path+".x", "1000 10 a\n")
			os.Symlink(path+".x", path)
		}, "/tmp/perf-5.map: "},
		{"FIFO", func(t *testing.T, path string) { unix.Mkfifo(path, 0o600) }, "/tmp/perf-5.map: not a regular file"},
		{"directory", func(t *testing.T, path string) { os.Mkdir(path, 0o700) }, "/tmp/perf-5.map: not a regular file"},
		{"large", func(t *testing.T, path string) {
			write(t, path, "1000 10 a\n")
			os.Truncate(path, maxPerfMap+1)
		}, "/tmp/perf-5.map: too large"},
		{"empty", func(t *testing.T, path string) { write(t, path, "") }, ErrNone.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			procfs, root := fakeProc(t)
			tt.make(t, filepath.Join(root, "tmp/perf-5.map"))
			s, err := Find(12, procfs, maps.New(nil))
			if s != nil || err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

// Root's file is trusted, and links on the way are the process's own.
func TestFindAccepts(t *testing.T) {
	procfs, root := fakeProc(t)
	os.Rename(filepath.Join(root, "tmp"), filepath.Join(root, "real"))
	os.Symlink("/real", filepath.Join(root, "tmp"))
	write(t, filepath.Join(root, "real/perf-5.map"), "1000 10 a\n")
	if os.Geteuid() == 0 {
		write(t, filepath.Join(procfs, "12/status"), "Uid:\t1\t12345\t1\t1\nNSpid:\t12\t5\n")
	}
	s, err := Find(12, procfs, maps.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := lookup(s, 0x1000); got != "a+0x0 /tmp/perf-5.map" {
		t.Error(got)
	}
}

func TestStatus(t *testing.T) {
	procfs, _ := fakeProc(t)
	for _, text := range []string{"", "Name:\tx\n", "Uid:\t0\n", "Uid:\tx\ty\tz\n"} {
		write(t, filepath.Join(procfs, "12/status"), text)
		if _, err := Find(12, procfs, maps.New(nil)); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", text, err)
		}
	}
	// Before Linux 4.1, and a process whose stat tells nothing.
	write(t, filepath.Join(procfs, "12/status"), fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", os.Geteuid()))
	for _, text := range []string{"", "12 (x", "12 (x) S 1", "12 (x) S" + strings.Repeat(" -1", 30)} {
		write(t, filepath.Join(procfs, "12/stat"), text)
		p, err := openProcess(12, procfs)
		if err != nil || len(p.pids) != 1 || p.pids[0] != 12 || !p.start.IsZero() {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
		p.Close()
	}
}

// mapping makes the maps entry of a file's first page.
func mapping(t *testing.T, root, path string) maps.Mapping {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, path), &st); err != nil {
		t.Fatal(err)
	}
	return maps.Mapping{Start: 0x7f0000000000, End: 0x7f0000001000, Perm: maps.Read | maps.Exec,
		Dev: maps.MakeDev(unix.Major(st.Dev), unix.Minor(st.Dev)), Inode: st.Ino, Path: path}
}

func TestFindDump(t *testing.T) {
	procfs, root := fakeProc(t)
	d := newDumper(binary.LittleEndian, 40)
	d.load("a", 0x1000, 0x10, 1)
	file := filepath.Join(root, "jit-5.dump")
	write(t, file, string(d.b))
	write(t, filepath.Join(root, "tmp/perf-5.map"), "1000 10 perf\n2000 10 perf\n")
	marker := mapping(t, root, "/jit-5.dump")
	find := func(m maps.Mapping) (*Source, error) {
		return Find(12, procfs, maps.New([]maps.Mapping{m}))
	}

	s, err := find(marker)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if lookup(s, 0x1000) != "a+0x0 /jit-5.dump" || lookup(s, 0x2000) != "perf+0x0 /tmp/perf-5.map" || lookup(s, 0x3000) != "" {
		t.Error(lookup(s, 0x1000), lookup(s, 0x2000))
	}

	// Tables may be asked while they are refreshed.
	var wg sync.WaitGroup
	stop := make(chan bool)
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if got := lookup(s, 0x1000); got != "a+0x0 /jit-5.dump" {
						t.Error(got)
						return
					}
				}
			}
		})
	}
	for i := range uint64(50) {
		d.load("b", 0x2000+i*16, 0x10, 2+i)
		f, _ := os.OpenFile(file, os.O_WRONLY, 0)
		f.Write(d.b)
		f.Close()
		if changed, err := s.Refresh(); !changed || err != nil {
			t.Error(changed, err)
		}
	}
	close(stop)
	wg.Wait()
	if got := lookup(s, 0x2000+49*16); got != "b+0x0 /jit-5.dump" {
		t.Error(got)
	}

	// What is no marker.
	for name, change := range map[string]func(m *maps.Mapping){
		"not executable": func(m *maps.Mapping) { m.Perm = maps.Read },
		"the parent's":   func(m *maps.Mapping) { m.Path = "/jit-6.dump" },
		"no number":      func(m *maps.Mapping) { m.Path = "/jit-x.dump" },
		"no dump":        func(m *maps.Mapping) { m.Path = "/jit-5.so" },
		"another name":   func(m *maps.Mapping) { m.Path = "/x.so" },
		"no file":        func(m *maps.Mapping) { m.Inode = 0 },
	} {
		m := marker
		change(&m)
		s, err := find(m)
		if err != nil || lookup(s, 0x1000) != "perf+0x0 /tmp/perf-5.map" {
			t.Errorf("%s: %v, %v", name, lookup(s, 0x1000), err)
		}
		s.Close()
	}
	// Another file under the marker's name: said, and the rest is used.
	m := marker
	m.Inode++
	s2, err := find(m)
	if err == nil || !strings.Contains(err.Error(), "/jit-5.dump: not the file that is mapped") || lookup(s2, 0x1000) != "perf+0x0 /tmp/perf-5.map" {
		t.Errorf("%v", err)
	}
	s2.Close()
	// No jitdump file at all, as its bytes show.
	write(t, file, "something else, longer than a header would have to be")
	os.Remove(filepath.Join(root, "tmp/perf-5.map"))
	if s, err := find(marker); s != nil || !errors.Is(err, errNoDump) {
		t.Error(s, err)
	}
}

// TestCurrent follows a perf map that is not there at first, grows, and has code
// put in the place of other code.
func TestCurrent(t *testing.T) {
	procfs, root := fakeProc(t)
	s, err := Open(12, procfs, maps.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var notes []string
	s.Note = func(err error) { notes = append(notes, err.Error()) }
	current := func(addr uint64) string {
		name, _, _, _ := s.Current(addr)
		return name
	}
	if got := current(0x1001); got != "" {
		t.Error(got)
	}
	path := filepath.Join(root, "tmp/perf-5.map")
	text := ""
	for _, step := range []struct {
		line string
		addr uint64
		want string
	}{{"1000 10 a\n", 0x1001, "a"}, {"2000 10 b\n", 0x2001, "b"}, {"1000 10 c\n", 0x1001, "c"}} {
		text += step.line
		write(t, path, text)
		for end := time.Now().Add(30 * time.Second); current(step.addr) != step.want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%#x is %q, not %s", step.addr, current(step.addr), step.want)
			}
		}
	}
	// What cannot be read any longer stays known, and is told once.
	os.Remove(path)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.stale.Store(0)
		if got := current(0x1001); got != "c" {
			t.Error(got)
		}
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "not a regular file") {
		t.Errorf("%q", notes)
	}
}

// TestCurrentIsCheap counts how often the files are looked at.
func TestCurrentIsCheap(t *testing.T) {
	procfs, root := fakeProc(t)
	write(t, filepath.Join(root, "tmp/perf-5.map"), "1000 10 a\n")
	s, err := Open(12, procfs, maps.New(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Current(0)
	s.stale.Store(int64(time.Hour))
	if n := testing.AllocsPerRun(1000, func() { s.Current(0x1001); s.Current(0x9999) }); n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
	// Reading that takes long makes for longer breaks.
	s.stale.Store(0)
	s.renew()
	if got := time.Duration(s.stale.Load()) - time.Since(s.opened); got > time.Minute {
		t.Errorf("looks again in %v", got)
	}
}
