//go:build linux

package crash

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/render/json/schematest"
)

// decode reads an entry in the journal's protocol: its fields, in order, with repeated
// ones as they are.
func decode(t *testing.T, b []byte) (fields [][2]string) {
	t.Helper()
	for len(b) > 0 {
		i := bytes.IndexAny(b, "=\n")
		if i <= 0 || strings.Trim(string(b[:i]), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || b[0] == '_' || i > 64 {
			t.Fatalf("no field: %.40q", b)
		}
		name, value := string(b[:i]), b[i+1:]
		n := bytes.IndexByte(value, '\n')
		if b[i] == '\n' {
			n = int(binary.LittleEndian.Uint64(value))
			value = value[8:]
		}
		if n < 0 || n >= len(value) || value[n] != '\n' {
			t.Fatalf("%s has no end", name)
		}
		fields = append(fields, [2]string{name, string(value[:n])})
		b = value[n+1:]
	}
	return fields
}

// fakeJournal listens as journald does.
func fakeJournal(t *testing.T) (socket string, read func() (entry []byte, sealed bool)) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "socket")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return socket, func() ([]byte, bool) {
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
		b, oob := make([]byte, 1<<20), make([]byte, 256)
		n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
		if err != nil {
			t.Fatal(err)
		}
		if oobn == 0 {
			return b[:n], false
		}
		m, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(m) != 1 || n != 0 {
			t.Fatalf("%v %d %d", err, len(m), n)
		}
		fds, err := unix.ParseUnixRights(&m[0])
		if err != nil || len(fds) != 1 {
			t.Fatal(err, fds)
		}
		f := os.NewFile(uintptr(fds[0]), "entry")
		defer f.Close()
		// journald refuses a file that can still be changed (journald-native.c).
		seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
		if want := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE; err != nil || seals&want != want {
			t.Errorf("seals %x, %v", seals, err)
		}
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return data, true
	}
}

func testEntry() *entry {
	uid, gid := 1000, 0
	return &entry{
		Time: time.Date(2026, 11, 27, 5, 0, 0, 1e6, time.UTC), Host: "h", Message: "x[12] of user 1000 died of SIGSEGV: report /r/1.txt",
		PID: 12, TID: 13, UID: &uid, GID: &gid, Signal: 11, SigName: "SIGSEGV", Name: "x", Exe: "/bin/x=y", Command: "x --a=b",
		Cgroup: "/system.slice/x.service", Unit: "x.service", Problems: []string{"one", "two"}, File: "/r/1.txt",
		Report: "# crash process 12\nMESSAGE=no field\n", Version: "1.0",
	}
}

func TestJournal(t *testing.T) {
	socket, read := fakeJournal(t)
	l := logger{file: Journal + ":" + socket}
	e := testEntry()
	want := [][2]string{
		{"MESSAGE", e.Message}, {"PRIORITY", "2"}, {"SYSLOG_FACILITY", "3"}, {"SYSLOG_IDENTIFIER", "bt"}, {"SYSLOG_PID", fmt.Sprint(os.Getpid())},
		{"MESSAGE_ID", messageID}, {"COREDUMP_PID", "12"}, {"COREDUMP_TID", "13"}, {"COREDUMP_UID", "1000"}, {"COREDUMP_GID", "0"},
		{"COREDUMP_SIGNAL", "11"}, {"COREDUMP_SIGNAL_NAME", "SIGSEGV"}, {"COREDUMP_TIMESTAMP", "1795755600001000"}, {"COREDUMP_HOSTNAME", "h"},
		{"COREDUMP_COMM", "x"}, {"COREDUMP_EXE", "/bin/x=y"}, {"COREDUMP_CMDLINE", "x --a=b"}, {"COREDUMP_CGROUP", "/system.slice/x.service"},
		{"COREDUMP_UNIT", "x.service"}, {"BT_PROBLEM", "one"}, {"BT_PROBLEM", "two"}, {"BT_VERSION", "1.0"}, {"BT_REPORT_FILE", "/r/1.txt"},
		{"BT_REPORT", e.Report},
	}
	l.write(e)
	data, _ := read()
	if d := cmp.Diff(want, decode(t, data)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}

	// What no datagram holds comes in memory.
	e.Report = strings.Repeat("0000000000401000 <main+0x10>\n", 100_000)
	want[len(want)-1][1] = e.Report
	l.write(e)
	data, inMemory := read()
	if d := cmp.Diff(want, decode(t, data)); d != "" || !inMemory {
		t.Errorf("in memory: %t\n%.2000s", inMemory, d)
	}

	// A line without a crash.
	l.printf("old crash reports could not be removed: %v", errors.New("no\nroom"))
	data, _ = read()
	if got := decode(t, data); len(got) != 5 || got[0][1] != `old crash reports could not be removed: no\x0aroom` {
		t.Errorf("%q", got)
	}

	l.json = true
	l.write(testEntry())
	data, _ = read()
	got := decode(t, data)
	if err := schematest.Check([]byte(got[0][1])); err != nil || !strings.Contains(got[0][1], `MESSAGE=no field\n"`) || len(got) != len(want)-1 {
		t.Errorf("%v\n%q", err, got)
	}
}

// Entries in a file are objects, one a line.
func TestLogJSON(t *testing.T) {
	l := logger{file: filepath.Join(t.TempDir(), "log"), json: true}
	l.write(testEntry())
	l.printf("no report: %s", "x\x1b[2J\n")
	data, err := os.ReadFile(l.file)
	if err != nil || bytes.Count(data, []byte("\n")) != 2 {
		t.Fatalf("%q, %v", data, err)
	}
	if err := schematest.Check(data); err != nil {
		t.Error(err)
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	var got entry
	if err := json.Unmarshal(first, &got); err != nil || got.Report != testEntry().Report || *got.UID != 1000 {
		t.Errorf("%+v, %v", got, err)
	}
	if !bytes.Contains(rest, []byte(`"no report: x\\x1b[2J\\x0a"`)) {
		t.Errorf("%s", rest)
	}
}

// A file of objects does not grow without end, however many handlers write to it, and no
// line is torn.
func TestLogBounded(t *testing.T) {
	l := logger{file: filepath.Join(t.TempDir(), "log"), json: true, max: 100_000}
	e := testEntry()
	e.Report = strings.Repeat("# a report\n", 200)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				l.write(e)
			}
		})
	}
	all.Wait()
	total, lines := 0, 0
	for _, name := range []string{l.file, l.file + ".1"} {
		data, err := os.ReadFile(name)
		if err != nil || len(data) > 50_000 {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
		for line := range bytes.Lines(data) {
			var got entry
			if err := json.Unmarshal(line, &got); err != nil || got.PID != 12 {
				t.Errorf("%v: %.100q", err, line)
			}
			lines++
		}
		total += len(data)
	}
	if list, _ := filepath.Glob(filepath.Dir(l.file) + "/*"); len(list) != 2 || total < 40_000 || lines < 10 {
		t.Errorf("%q: %d lines of %d bytes", list, lines, total)
	}
	// One that is larger than all that may be is there all the same, alone.
	e.Report = strings.Repeat("# a report\n", 20_000)
	l.write(e)
	if data, err := os.ReadFile(l.file); err != nil || bytes.Count(data, []byte("\n")) != 1 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// Nobody who locks the log keeps a crash from being noted there.
func TestLogLocked(t *testing.T) {
	l := logger{file: filepath.Join(t.TempDir(), "log"), json: true, max: 1000}
	for want := 1; want <= 2; want++ {
		l.write(testEntry())
		f, err := os.Open(l.file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		data, _ := io.ReadAll(f)
		if bytes.Count(data, []byte("\n")) != 1 {
			t.Errorf("%q", data)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(l.file + ".1"); err != nil {
		t.Error(err)
	}
}

// Where there is little room the log goes without reports.
func TestLogLittleRoom(t *testing.T) {
	d := private(t)
	if err := unix.Mount("tmpfs", d.Path, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(d.Path, unix.MNT_DETACH) })
	l := logger{file: filepath.Join(d.Path, "log"), json: true}
	for _, want := range []bool{true, false} {
		l.write(testEntry())
		data, err := os.ReadFile(l.file)
		var last string
		for line := range strings.Lines(string(data)) {
			last = line
		}
		if err != nil || strings.Contains(last, `"report":`) != want || strings.Contains(last, "little room") == want {
			t.Errorf("%s, %v", last, err)
		}
		os.WriteFile(filepath.Join(d.Path, "big"), make([]byte, 900<<10), 0o600)
	}
}

func TestUnitOf(t *testing.T) {
	for cgroup, want := range map[string]string{
		"":                                 "",
		"/":                                "",
		"/system.slice/nginx.service":      "nginx.service",
		"/system.slice/app.service/worker": "app.service",
		"/user.slice/user-1000.slice/session-2.scope":                           "session-2.scope",
		"/user.slice/user-1000.slice/user@1000.service/app.slice/gnome.service": "gnome.service",
		"/kubepods/burstable/pod1234/0123":                                      "",
		"a/b":                                                                   "",
	} {
		if got := unitOf(cgroup); got != want {
			t.Errorf("%s: %q, want %q", cgroup, got, want)
		}
	}
}

// What of a report goes into the log: whole lines that drive no terminal.
func TestLimitedLines(t *testing.T) {
	b := limitedBuffer{max: 20}
	b.Write([]byte("one\x1b[2J\ntwo\n"))
	if got := b.lines(); got != "one\\x1b[2J\ntwo\n" {
		t.Errorf("%q", got)
	}
	b.Write([]byte("three and more\n"))
	if got := b.lines(); got != "one\\x1b[2J\ntwo\n# crash incomplete: the log has the first 15 bytes of the report\n" {
		t.Errorf("%q", got)
	}
}
