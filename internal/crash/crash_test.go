//go:build linux

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func TestPattern(t *testing.T) {
	const tail = " --pid %P --tid %I --signal %s --uid %u --gid %g --time %t --name %e"
	for _, tt := range []struct {
		binary, dir string
		pidfd       bool
		want, err   string
	}{
		{"/usr/bin/bt", DefaultDir, false, "|/usr/bin/bt crash handle" + tail, ""},
		{"/usr/bin/bt", DefaultDir, true, "|/usr/bin/bt crash handle --pidfd=%F" + tail, ""},
		{"/usr/bin/bt", "/c", false, "|/usr/bin/bt crash handle --dir /c" + tail, ""},
		{"/usr/bin/bt", "/c", true, "|/usr/bin/bt crash handle --dir /c --pidfd=%F" + tail, ""},
		{"/100%/bt", DefaultDir, false, "|/100%%/bt crash handle" + tail, ""},
		{"/usr/bin/bt", "/with blank", false, "", "split at blanks"},
		{"/usr/bin/b\nt", DefaultDir, false, "", "split at blanks"},
		{"/" + strings.Repeat("x", 60), DefaultDir, true, "", "the kernel takes 127"},
		// Where there is no room for it the pattern has no pidfd.
		{"/" + strings.Repeat("x", 43), DefaultDir, true, "|/" + strings.Repeat("x", 43) + " crash handle" + tail, ""},
	} {
		got, err := Pattern(tt.binary, tt.dir, Extra{Pidfd: tt.pidfd})
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s, %s: %q, %v", tt.binary, tt.dir, got, err)
		}
		if tt.want == "" {
			continue
		}
		if dir, ok := ours(got); !ok || dir != tt.dir {
			t.Errorf("%q: not recognized: %q", got, dir)
		}
	}
	// At the limit, and one byte beyond.
	const fixed = len("|" + handle + arguments)
	if _, err := Pattern("/"+strings.Repeat("x", maxPattern-fixed-1), DefaultDir, Extra{}); err != nil {
		t.Error(err)
	}
	if _, err := Pattern("/"+strings.Repeat("x", maxPattern-fixed), DefaultDir, Extra{}); err == nil {
		t.Error("128 bytes are accepted")
	}
	for _, p := range []string{"", "core", "|", "|/usr/lib/systemd/systemd-coredump %P", "/usr/bin/bt crash handle", "|/bt crash handler"} {
		if _, ok := ours(p); ok {
			t.Errorf("%q is taken for bt's", p)
		}
	}
}

func TestFileName(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for name, want := range map[string]string{
		"prog":                    "20261123T010203Z-prog-7",
		"a-b-1":                   "20261123T010203Z-a-b-1-7",
		"":                        "20261123T010203Z-_-7",
		"../../etc":               "20261123T010203Z-.._.._etc-7",
		"\x1b[2J\n":               "20261123T010203Z-__2J_-7",
		strings.Repeat("x", 1000): "20261123T010203Z-" + strings.Repeat("x", 64) + "-7",
	} {
		r := Request{PID: 7, Time: at, Name: name}
		got := r.fileName()
		if got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		for _, file := range []string{got + ".txt", got + ".12.txt"} {
			p, ok := parseFileName(file)
			if !ok || p.PID != 7 || !p.Time.Equal(at) || p.Name != sanitize(name) {
				t.Errorf("%q: %+v", file, p)
			}
		}
	}
	for _, file := range []string{"", ".lock", "settings.json", "x-y-1.txt", "20261123T010203Z-a.txt", "20261123T010203Z-a-b.txt", ".new-20261123T010203Z-a-7.3", "20261123T010203Z-a-7"} {
		if _, ok := parseFileName(file); ok {
			t.Errorf("%q is taken for a report", file)
		}
	}
}

// private makes a directory for reports.
func private(t *testing.T) *Dir {
	t.Helper()
	d, err := createDir(filepath.Join(t.TempDir(), "a/b/crashes"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// put makes a report.
func put(t *testing.T, d *Dir, r Request, text string) string {
	t.Helper()
	f, err := d.create(&r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	name, err := f.keep(&r)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func files(t *testing.T, d *Dir) (list []string) {
	t.Helper()
	reports, err := d.Reports()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reports {
		list = append(list, r.File)
	}
	return list
}

func TestReports(t *testing.T) {
	d := private(t)
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var want []string
	for i := range 5 {
		r := Request{PID: 100 - i, Time: base.Add(time.Duration(i) * time.Second), Name: "prog"}
		want = append(want, put(t, d, r, strings.Repeat("x", 99)+"\n"))
	}
	slices.Reverse(want)
	if got := files(t, d); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// The same second, process and name: nothing is replaced.
	again := put(t, d, Request{PID: 96, Time: base.Add(4 * time.Second), Name: "prog"}, "# crash signal SIGBUS\n")
	if again == want[0] {
		t.Error("a report was replaced")
	}
	list, _ := d.Reports()
	if i := slices.IndexFunc(list, func(r Report) bool { return r.File == again }); i < 0 || list[i].Signal != "SIGBUS" || list[i].PID != 96 {
		t.Errorf("%+v", list)
	}
	// Of those of one second the last is the newest, whatever its name.
	older := time.Now().Add(-time.Hour)
	os.Chtimes(filepath.Join(d.Path, want[0]), older, older)
	if got := files(t, d); got[0] != again || got[1] != want[0] {
		t.Errorf("%q", got)
	}
	if err := d.remove(again); err != nil {
		t.Fatal(err)
	}
	// What is no report stays, whatever it is called.
	fifo := filepath.Join(d.Path, "20200101T000000Z-fifo-1.txt")
	link := filepath.Join(d.Path, "20200101T000000Z-link-2.txt")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink("/etc/passwd", link)); err != nil {
		t.Fatal(err)
	}
	if got := files(t, d); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, name := range []string{filepath.Base(fifo), filepath.Base(link), "../a", settingsFile, ""} {
		if f, err := d.Open(name); err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
	}
	limits := DefaultLimits
	for _, tt := range []struct {
		reports int
		bytes   int64
		left    int
	}{{5, 1000, 5}, {3, 1000, 3}, {3, 200, 2}, {3, 50, 1}} {
		limits.MaxReports, limits.MaxBytes = tt.reports, tt.bytes
		if err := d.prune(limits, 0); err != nil {
			t.Fatal(err)
		}
		if got := files(t, d); !slices.Equal(got, want[:tt.left]) {
			t.Errorf("%d reports, %d bytes: %q, want %q", tt.reports, tt.bytes, got, want[:tt.left])
		}
	}
	for _, path := range []string{fifo, link} {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}

// On a file system that is almost full old reports go first, before the new one is
// written; the newest stays.
func TestKeepFree(t *testing.T) {
	d := private(t)
	if err := unix.Mount("tmpfs", d.Path, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(d.Path, unix.MNT_DETACH) })
	d, err := OpenDir(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	put := func(second, size int) error {
		r := Request{PID: 1, Time: time.Unix(int64(second), 0), Name: "x"}
		f, err := d.create(&r)
		if err != nil {
			return err
		}
		if _, err := f.Write(make([]byte, size)); err != nil {
			f.drop()
			return err
		}
		_, err = f.keep(&r)
		return err
	}
	for i := range 9 {
		if err := put(1000+i, 100<<10); err != nil {
			t.Fatal(err)
		}
	}
	if d.short() == 0 {
		t.Fatal("900 KiB of 1 MiB are used, and nothing is short")
	}
	if err := d.prune(DefaultLimits, 1); err != nil {
		t.Fatal(err)
	}
	// 15 % of 1 MiB are 154 KiB: eight reports, 800 KiB, leave as much.
	if got := files(t, d); len(got) != 8 || !strings.HasPrefix(got[0], "19700101T001648Z") {
		t.Errorf("%q", got)
	}
	// Full of others' files: the newest report stays.
	for _, name := range files(t, d)[2:] {
		d.remove(name)
	}
	os.WriteFile(filepath.Join(d.Path, "big"), make([]byte, 1<<20), 0o600)
	if err := d.prune(DefaultLimits, 1); err != nil {
		t.Fatal(err)
	}
	if got := files(t, d); len(got) != 1 {
		t.Errorf("%q", got)
	}
	s, err := Look(kernel(t, "core", "0").procfs, d.Path)
	if err != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "free: only the newest report is kept") {
		t.Errorf("%+v, %v", s, err)
	}
}

// Drafts of handlers that were killed do not pile up.
func TestOldDrafts(t *testing.T) {
	d := private(t)
	r := Request{PID: 1, Time: time.Now(), Name: "x"}
	f, err := d.create(&r)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(d.Path, f.temp)
	d.prune(DefaultLimits, 0)
	if _, err := os.Lstat(path); err != nil {
		t.Error("a draft that is being written was removed")
	}
	old := time.Now().Add(-24 * time.Hour)
	os.Chtimes(path, old, old)
	d.prune(DefaultLimits, 0)
	if _, err := os.Lstat(path); err == nil {
		t.Error("an old draft was left")
	}
}

// A directory that others have a hand in is refused.
func TestOpenDir(t *testing.T) {
	top := t.TempDir()
	os.Mkdir(filepath.Join(top, "real"), 0o700)
	os.Symlink("real", filepath.Join(top, "link"))
	os.Mkdir(filepath.Join(top, "open"), 0o755)
	os.WriteFile(filepath.Join(top, "file"), nil, 0o600)
	unix.Mkfifo(filepath.Join(top, "fifo"), 0o600)
	for name, want := range map[string]string{
		"real": "", "link": "symbolic link", "open": "chmod 700", "file": "no directory", "fifo": "no directory", "none": "no such file",
	} {
		d, err := OpenDir(filepath.Join(top, name))
		if err == nil {
			d.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("the rest needs root")
	}
	os.MkdirAll(filepath.Join(top, "theirs"), 0o700)
	os.Chown(filepath.Join(top, "theirs"), 12345, 12345)
	os.MkdirAll(filepath.Join(top, "below"), 0o755)
	os.Mkdir(filepath.Join(top, "below/dir"), 0o700)
	os.Chown(filepath.Join(top, "below"), 12345, 12345)
	os.Mkdir(filepath.Join(top, "writable"), 0o777)
	os.Chmod(filepath.Join(top, "writable"), 0o777)
	os.Mkdir(filepath.Join(top, "writable/dir"), 0o700)
	for name, want := range map[string]string{"theirs": "belongs to user 12345", "below/dir": "belongs to user 12345", "writable/dir": "chmod go-w"} {
		d, err := createDir(filepath.Join(top, name))
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// kernel makes a procfs with the two settings.
func kernel(t *testing.T, pattern, limit string) sysctls {
	t.Helper()
	k := sysctls{t.TempDir()}
	os.MkdirAll(filepath.Join(k.procfs, "sys/kernel"), 0o755)
	for name, value := range map[string]string{corePattern: pattern, corePipeLimit: limit} {
		if err := os.WriteFile(k.path(name), []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (s sysctls) want(t *testing.T, pattern, limit string) {
	t.Helper()
	p, err1 := s.read(corePattern)
	l, err2 := s.read(corePipeLimit)
	if p != pattern || l != limit || err1 != nil || err2 != nil {
		t.Errorf("core_pattern %q, core_pipe_limit %q, want %q, %q", p, l, pattern, limit)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// program makes a file that the kernel could run.
func program(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "bt")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInstall(t *testing.T) {
	needRoot(t)
	for _, before := range []struct{ pattern, limit string }{
		{"core", "0"}, {"|/usr/share/apport/apport -p%p -s%s", "10"}, {"", "0"}, {"/var/core/%e %p", "4"},
	} {
		k := kernel(t, before.pattern, before.limit)
		dir, err := os.MkdirTemp("", "c")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := Options{Procfs: k.procfs, Binary: program(t), Dir: dir, Limits: DefaultLimits}
		s, err := Install(o)
		if err != nil {
			t.Fatal(err)
		}
		k.want(t, s.Pattern, "128")
		if st, err := os.Stat(filepath.Join(dir, settingsFile)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", st, err)
		}
		// Once more, with other limits: what was replaced is remembered.
		o.Limits.MaxReports = 7
		if _, err := Install(o); err != nil {
			t.Fatal(err)
		}
		status, err := Look(k.procfs, "")
		if err != nil || !status.Installed || status.Dir != dir || len(status.Problems) > 0 ||
			status.Settings.Limits.MaxReports != 7 || status.Settings.Previous != before.pattern {
			t.Errorf("%+v, %v", status, err)
		}
		if got, err := Uninstall(k.procfs, "", false); err != nil || got != before.pattern {
			t.Errorf("%q, %v", got, err)
		}
		k.want(t, before.pattern, before.limit)
		if _, err := Uninstall(k.procfs, "", false); err == nil {
			t.Error("uninstalled twice")
		}
		k.want(t, before.pattern, before.limit)
	}
}

func TestInstallRefused(t *testing.T) {
	needRoot(t)
	k := kernel(t, "core", "0")
	good := program(t)
	theirs := program(t)
	os.Chown(theirs, 12345, 12345)
	writable := program(t)
	os.Chmod(writable, 0o775)
	below := program(t)
	os.Chmod(filepath.Dir(below), 0o777)
	link := filepath.Join(filepath.Dir(good), "link")
	os.Symlink(good, link)
	noProgram := program(t)
	os.Chmod(noProgram, 0o644)
	for _, tt := range []struct{ binary, dir, err string }{
		{theirs, "", "belongs to user 12345"},
		{writable, "", "chmod go-w"},
		{below, "", "chmod go-w"},
		{link, "", "symbolic link"},
		{noProgram, "", "not a program"},
		{"bt", "", "not where bt is"},
		{good + " (deleted)", "", "not where bt is"},
		{good, "/" + strings.Repeat("d", 90), "the kernel takes 127"},
	} {
		dir := tt.dir
		if dir == "" {
			dir = filepath.Join(filepath.Dir(good), "d")
		}
		_, err := Install(Options{Procfs: k.procfs, Binary: tt.binary, Dir: dir, Limits: DefaultLimits})
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.binary, err)
		}
		k.want(t, "core", "0")
	}
}

// Where the kernel does not take the pattern everything stays as it was, the
// settings of an earlier installation included.
func TestInstallFails(t *testing.T) {
	needRoot(t)
	k := kernel(t, "core", "3")
	bt := program(t)
	dir := filepath.Join(filepath.Dir(bt), "d")
	o := Options{Procfs: k.procfs, Binary: bt, Dir: dir, Limits: DefaultLimits}
	settings := filepath.Join(dir, settingsFile)

	// A file of procfs that root can open, but nobody write to.
	fail := func() {
		t.Helper()
		os.Remove(k.path(corePattern))
		if err := os.Symlink("/proc/version", k.path(corePattern)); err != nil {
			t.Fatal(err)
		}
		if _, err := Install(o); err == nil {
			t.Error("installed")
		}
		if limit, _ := k.read(corePipeLimit); limit != "3" {
			t.Errorf("core_pipe_limit %s", limit)
		}
	}
	fail()
	if _, err := os.Stat(settings); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the settings are there: %v", err)
	}
	if err := os.WriteFile(settings, []byte("earlier"), 0o600); err != nil {
		t.Fatal(err)
	}
	fail()
	if b, err := os.ReadFile(settings); string(b) != "earlier" {
		t.Errorf("settings %q, %v", b, err)
	}
}

func TestUninstallForeign(t *testing.T) {
	needRoot(t)
	k := kernel(t, "before", "3")
	dir := filepath.Join(filepath.Dir(program(t)), "d")
	if _, err := Install(Options{Procfs: k.procfs, Binary: program(t), Dir: dir, Limits: DefaultLimits}); err != nil {
		t.Fatal(err)
	}
	// Somebody else has come after.
	if err := k.write(corePattern, "|/usr/bin/other"); err != nil {
		t.Fatal(err)
	}
	if _, err := Uninstall(k.procfs, dir, false); err == nil || !strings.Contains(err.Error(), "/usr/bin/other") {
		t.Errorf("%v", err)
	}
	k.want(t, "|/usr/bin/other", "128")
	if got, err := Uninstall(k.procfs, dir, true); err != nil || got != "before" {
		t.Errorf("%q, %v", got, err)
	}
	k.want(t, "before", "3")

	// What was replaced was lost.
	s, err := Install(Options{Procfs: k.procfs, Binary: program(t), Dir: dir, Limits: DefaultLimits})
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, settingsFile))
	if _, err := Uninstall(k.procfs, "", false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("%v", err)
	}
	k.want(t, s.Pattern, "128")
	if _, err := Install(Options{Procfs: k.procfs, Binary: program(t), Dir: dir, Limits: DefaultLimits}); err == nil {
		t.Error("installed over a handler that remembers nothing")
	}
	if status, err := Look(k.procfs, ""); err != nil || len(status.Problems) != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	if got, err := Uninstall(k.procfs, "", true); err != nil || got != "core" {
		t.Errorf("%q, %v", got, err)
	}
	k.want(t, "core", "0")
}

// Settings that make no sense leave the defaults.
func TestSettings(t *testing.T) {
	d := private(t)
	path := filepath.Join(d.Path, settingsFile)
	for _, text := range []string{"", "{", "[1]", "\x00", `{"limits":"x"}`} {
		os.Remove(path)
		os.WriteFile(path, []byte(text), 0o600)
		if s, err := d.Settings(); err == nil || s.Limits != DefaultLimits {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	os.Remove(path)
	unix.Mkfifo(path, 0o600)
	if _, err := d.Settings(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a FIFO: %v", err)
	}
	if got := (Limits{MaxReports: -1}).sane(); got != DefaultLimits {
		t.Errorf("%+v", got)
	}
}

func TestBounded(t *testing.T) {
	var out bytes.Buffer
	b := bounded{w: &out, left: 12}
	for _, s := range []string{"ab", "c\nde\n", "", "f\n", "no"} {
		if n, err := b.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if out.String() != "abc\nde\nf\n" || b.cut {
		t.Errorf("%q", out.String())
	}
	b.Write([]byte(" end\nx\n"))
	if out.String() != "abc\nde\nf\n" || !b.cut {
		t.Errorf("%q, %v", out.String(), b.cut)
	}
	out.Reset()
	b = bounded{w: &out, left: 1 << 30}
	for range 100 {
		b.Write(bytes.Repeat([]byte("x"), 1000))
	}
	if !b.cut || len(b.line) > maxReportLine+1000 {
		t.Errorf("a line of %d bytes", len(b.line))
	}
}

// What a process makes of its own command line drives no terminal.
func TestQuoteArgs(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"a\x00b c\x00\x00":         `a "b c" ""`,
		"./x\x00\x1b[2J\x00\n\x00": `./x "\x1b[2J" "\n"`,
		"$HOME\x00":                `"$HOME"`,
		"\xff\x00":                 `"\xff"`,
		"cut":                      "cut",
	} {
		if got := quoteArgs([]byte(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// gather sees its own process, and refuses one of another user.
func TestLook(t *testing.T) {
	r := Request{PID: os.Getpid(), UID: os.Getuid()}
	p := openProc("/proc", &r).look(&r, time.Minute)
	exe, _ := os.Executable()
	if p.exe != exe || len(p.maps) == 0 || len(p.threads) == 0 || !strings.Contains(p.cmdline, "-test.") {
		t.Errorf("%+v", p)
	}
	if os.Geteuid() == 0 {
		if len(p.files) == 0 {
			t.Errorf("no file was opened: %q", p.problems)
		}
		for _, m := range p.files {
			m.f.Close()
		}
	}
	r.UID++
	if p := openProc("/proc", &r).look(&r, time.Minute); len(p.maps) > 0 || len(p.files) > 0 || len(p.problems) != 1 {
		t.Errorf("%+v", p)
	}
	r.PID = 1 << 30
	if p := openProc("/proc", &r).look(&r, time.Minute); len(p.problems) != 1 || !strings.Contains(p.problems[0], "gone") {
		t.Errorf("%+v", p)
	}
}

// A procfs whose files do not answer is not waited for.
func TestLookHangs(t *testing.T) {
	procfs := t.TempDir()
	os.Mkdir(filepath.Join(procfs, "7"), 0o755)
	os.WriteFile(filepath.Join(procfs, "7/status"), []byte("Name:\tx\nUid:\t5\t5\t5\t5\n"), 0o644)
	if err := unix.Mkfifo(filepath.Join(procfs, "7/maps"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := Request{PID: 7, UID: 5}
	p := openProc(procfs, &r).look(&r, 10*time.Millisecond)
	if len(p.problems) != 1 || !strings.Contains(p.problems[0], "within") {
		t.Errorf("%+v", p)
	}
	// Let go of the reader.
	if f, err := os.OpenFile(filepath.Join(procfs, "7/maps"), os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
		f.Close()
	}
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	l := logger{file: filepath.Join(dir, "log")}
	l.printf("one\x1b[2J\n%s", strings.Repeat("x", 2*maxLine))
	l.printf("two")
	data, err := os.ReadFile(l.file)
	lines := strings.Split(string(data), "\n")
	if err != nil || len(lines) != 3 || len(lines[0]) > 2*maxLine || !strings.Contains(lines[0], `one\x1b[2J\x0a`) || !strings.HasSuffix(lines[1], fmt.Sprintf("bt[%d]: two", os.Getpid())) {
		t.Errorf("%q, %v", lines, err)
	}
	for _, s := range []string{"ä", "語", "🂡"} {
		for i := range 4 {
			l.file = filepath.Join(dir, fmt.Sprint(s, i))
			l.printf("%s", strings.Repeat("x", i)+strings.Repeat(s, maxLine))
			if data, err := os.ReadFile(l.file); err != nil || !utf8.Valid(data) || len(data) < maxLine-4 {
				t.Errorf("%s from byte %d: %q, %v", s, i, data, err)
			}
		}
	}
	os.Symlink("log", filepath.Join(dir, "link"))
	l.file = filepath.Join(dir, "link")
	if err := l.toFile(&entry{Message: "x"}); err == nil {
		t.Error("a link was followed")
	}
}

func TestSyslog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	if err := toSyslog(socket, "x"); err == nil {
		t.Error("sent to nobody")
	}
	c, err := net.ListenPacket("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := toSyslog(socket, "<26>one line"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, _, err := c.ReadFrom(b)
	if err != nil || string(b[:n]) != "<26>one line" {
		t.Errorf("%q, %v", b[:n], err)
	}
}
