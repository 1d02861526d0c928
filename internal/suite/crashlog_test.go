//go:build linux

package suite

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/render/json/schematest"
)

// journal is a socket in the place of journald's.
type journal struct {
	t      *testing.T
	socket string
	c      *net.UnixConn
}

func newJournal(t *testing.T) *journal {
	t.Helper()
	dir, _ := shortDir(t)
	j := &journal{t: t, socket: filepath.Join(dir, "socket")}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: j.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	j.c = c
	return j
}

// entry reads an entry that came as a datagram; of its fields those whose values have
// lines are kept as they are in the protocol.
func (j *journal) entry() map[string]string {
	j.t.Helper()
	j.c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 1<<20)
	n, err := j.c.Read(b)
	if err != nil || n == 0 {
		j.t.Fatal(n, err)
	}
	fields := make(map[string]string)
	for rest := string(b[:n]); rest != ""; {
		end := strings.IndexByte(rest, '\n')
		if name, value, ok := strings.Cut(rest[:end], "="); ok {
			fields[name], rest = value, rest[end+1:]
			continue
		}
		name := rest[:end]
		size := 0
		for i := range 8 {
			size |= int(rest[end+1+i]) << (8 * i)
		}
		value := rest[end+9:]
		fields[name], rest = value[:size], value[size+1:]
	}
	return fields
}

// The journal gets an entry for each crash, with the report. What /proc told is in it only
// where it is certain that it told that of the crashed process.
func TestCrashJournal(t *testing.T) {
	j := newJournal(t)
	c := newCrashes(t, "--log", "journal:"+j.socket)
	prog := build(t, "gcc", "threads.c", "-O1")
	p := start(t, prog, "2", "4")
	p.freeze(t)
	core := p.gcore(t)
	handle := func(pid int) map[string]string {
		t.Helper()
		cmd := c.handler(t, pid, 0)
		cmd.Stdin = open(t, core)
		run(t, cmd).want(t, 0)
		return j.entry()
	}
	e := handle(p.pid)
	report, err := os.ReadFile(e["BT_REPORT_FILE"])
	if err != nil || e["BT_REPORT"] != string(report) || !strings.Contains(e["BT_REPORT"], "\n# thread ") {
		t.Errorf("%v: the report is not that of the file:\n%s", err, head(e["BT_REPORT"]))
	}
	for name, want := range map[string]string{
		"MESSAGE_ID": "7260b43bf1b749ab9ded1cc31dadd34b", "PRIORITY": "2", "SYSLOG_IDENTIFIER": "bt",
		"COREDUMP_PID": itoa(p.pid), "COREDUMP_UID": "0", "COREDUMP_SIGNAL": "11", "COREDUMP_SIGNAL_NAME": "SIGSEGV",
		"COREDUMP_COMM": "prog", "COREDUMP_EXE": prog, "COREDUMP_CMDLINE": prog + " 2 4",
		"MESSAGE": "prog[" + itoa(p.pid) + "] of user 0 died of SIGSEGV: report " + e["BT_REPORT_FILE"],
	} {
		if e[name] != want {
			t.Errorf("%s is %q, want %q", name, e[name], want)
		}
	}

	other := start(t, build(t, "gcc", "deep.c", "-O1"), "3")
	other.freeze(t)
	e = handle(other.pid)
	if e["COREDUMP_EXE"] != "" || e["COREDUMP_CMDLINE"] != "" || e["COREDUMP_CGROUP"] != "" || !strings.Contains(e["BT_REPORT"], "is not the one whose core this is") {
		t.Errorf("an entry tells of the innocent: %q", e)
	}

	// A second time install changes the options.
	cmd := btCmd(t, "crash", "install", "--procfs", c.procfs, "--dir", c.dir, "--log", "journal:"+j.socket, "--format", "json")
	cmd.Path = c.bt
	run(t, cmd).want(t, 0)
	if status := bt(t, "crash", "status", "--procfs", c.procfs).stdout; !strings.Contains(status, "journal:"+j.socket+" (JSON)") {
		t.Errorf("status:\n%s", status)
	}
	wantObject(t, handle(p.pid)["MESSAGE"], prog)
}

// wantObject checks an entry that is a JSON object.
func wantObject(t *testing.T, text, exe string) {
	t.Helper()
	if err := schematest.Check([]byte(text)); err != nil {
		t.Errorf("%v\n%.500s", err, text)
	}
	var e struct{ Exe, Report, File string }
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile(e.File)
	if err != nil || e.Report != string(report) || e.Exe != exe {
		t.Errorf("%v: %q\n%s", err, e.Exe, head(e.Report))
	}
}

// A file gets an object a line; and a journal that does not listen does not keep a crash
// from being reported.
func TestCrashLogFile(t *testing.T) {
	c := newCrashes(t, "--format", "json")
	prog := build(t, "gcc", "threads.c", "-O1")
	p := start(t, prog, "2", "4")
	p.freeze(t)
	core := p.gcore(t)
	for range 2 {
		cmd := c.handler(t, p.pid, 0)
		cmd.Stdin = open(t, core)
		run(t, cmd).want(t, 0)
	}
	log, err := os.ReadFile(c.log)
	lines := strings.Split(strings.TrimSuffix(string(log), "\n"), "\n")
	if err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for _, line := range lines {
		wantObject(t, line, prog)
	}

	silent := newCrashes(t, "--log", "journal:"+filepath.Join(filepath.Dir(c.dir), "nobody"))
	cmd := silent.handler(t, p.pid, 0)
	cmd.Stdin = open(t, core)
	run(t, cmd).want(t, 0)
	if list, _ := filepath.Glob(silent.dir + "/*.txt"); len(list) != 1 {
		t.Errorf("reports: %q", list)
	}
}
