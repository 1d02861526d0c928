package gate

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/maps"
)

// Lines of maps: with a gate line that carries a path or none, or without one.
const (
	progLine = "00400000-00401000 r-xp 00000000 08:01 11 /bin/prog\n"
	vdsoLine = "7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0 [vdso]\n"
	gateLine = "a000000000020000-a000000000024000 ---p 00000000 00:00 0          %s\n"
)

func parse(t *testing.T, text string) *maps.Map {
	t.Helper()
	m, err := maps.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ptr(s string) *string { return &s }

// sysctl makes a procfs whose gate_dso holds text.
func sysctl(t *testing.T, text string) (procfs, file string) {
	t.Helper()
	procfs = t.TempDir()
	file = filepath.Join(procfs, "sys/kernel/gate_dso")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return procfs, file
}

// Each source with each kind of value, and all that comes behind it set to
// something else: the first that is set decides, also where it says "unset".
func TestPrecedence(t *testing.T) {
	procfs, file := sysctl(t, "/from/sysctl\n")
	unsetProcfs, unsetFile := sysctl(t, "\n")
	none := t.TempDir()
	withPath := progLine + fmt.Sprintf(gateLine, "/from/maps")
	noPath := progLine + fmt.Sprintf(gateLine, "")
	for _, value := range []string{"/a/path", "", Live} {
		for _, maps := range []string{withPath, noPath, progLine + vdsoLine, ""} {
			s := Sources{Flag: ptr(value), Env: ptr("/from/env"), Procfs: procfs}
			if got := s.Decide(parse(t, maps)); got != (Setting{Value: value, From: "--gate-dso"}) {
				t.Errorf("flag %q: %+v", value, got)
			}
			s = Sources{Env: ptr(value), Procfs: procfs}
			if got := s.Decide(parse(t, maps)); got != (Setting{Value: value, From: "BT_GATE_DSO"}) {
				t.Errorf("environment %q: %+v", value, got)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		maps   string
		procfs string
		want   Setting
	}{
		{"maps before sysctl", withPath, procfs, Setting{Value: "/from/maps", From: "maps"}},
		{"maps before an empty sysctl", withPath, unsetProcfs, Setting{Value: "/from/maps", From: "maps"}},
		{"maps alone", withPath, none, Setting{Value: "/from/maps", From: "maps"}},
		{"gate line without a path", noPath, procfs, Setting{Value: "/from/sysctl", From: file}},
		{"no gate line", progLine + vdsoLine, procfs, Setting{Value: "/from/sysctl", From: file}},
		{"sysctl is empty", noPath, unsetProcfs, Setting{Value: "", From: unsetFile}},
		{"sysctl is empty, vdso", progLine + vdsoLine, unsetProcfs, Setting{Value: "", From: unsetFile}},
		{"nothing", progLine + vdsoLine, none, Setting{Value: Live, From: "default"}},
		{"nothing, gate line without a path", noPath, none, Setting{Value: Live, From: "default"}},
		{"no maps", "", none, Setting{Value: Live, From: "default"}},
		{"no procfs at all", progLine, filepath.Join(none, "x"), Setting{Value: Live, From: "default"}},
		// A line that merely looks like it: not the last one, or a file.
		{"no gate: a line in between", fmt.Sprintf(gateLine, "/from/maps") + progLine, none, Setting{Value: Live, From: "default"}},
		{"no gate: a name in brackets", progLine + fmt.Sprintf(gateLine, "[heap]"), none, Setting{Value: Live, From: "default"}},
		{"no gate: a file", progLine, none, Setting{Value: Live, From: "default"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Sources{Procfs: tt.procfs}.Decide(parse(t, tt.maps))
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if got.Unset() != (tt.want.Value == "") || got.IsLive() != (tt.want.Value == Live) {
				t.Errorf("unset %v, live %v: %+v", got.Unset(), got.IsLive(), got)
			}
		})
	}
}

// The prefix is for what the maps name, and for nothing else.
func TestSysroot(t *testing.T) {
	procfs, file := sysctl(t, "/from/sysctl\n")
	m := parse(t, progLine+fmt.Sprintf(gateLine, "/from/maps"))
	s := Sources{Procfs: procfs, Sysroot: "/root"}
	if got := s.Decide(m); got != (Setting{Value: "/root/from/maps", From: "maps"}) {
		t.Errorf("maps: %+v", got)
	}
	if got := s.Decide(parse(t, progLine)); got != (Setting{Value: "/from/sysctl", From: file}) {
		t.Errorf("sysctl: %+v", got)
	}
	s.Env = ptr("/env")
	if got := s.Decide(m); got.Value != "/env" {
		t.Errorf("environment: %+v", got)
	}
	s.Flag = ptr("/flag")
	if got := s.Decide(m); got.Value != "/flag" {
		t.Errorf("flag: %+v", got)
	}
}

// The kernel ends the value with a newline, and only this is not of the path.
func TestSysctlContents(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"\n":                    "",
		"/lib/gate.so\n":        "/lib/gate.so",
		"/lib/gate.so":          "/lib/gate.so",
		"/lib/the gate.so \n":   "/lib/the gate.so ",
		" /lib/gate.so\n":       " /lib/gate.so",
		"/lib/two\nlines.so\n":  "/lib/two\nlines.so",
		"/lib/gate.so\n\n":      "/lib/gate.so\n",
		"live\n":                "live",
		"/" + long(4096) + "\n": "/" + long(4096),
	} {
		procfs, file := sysctl(t, text)
		if got := (Sources{Procfs: procfs}).Decide(parse(t, "")); got != (Setting{Value: want, From: file}) {
			t.Errorf("%.20q: %.40q from %s, want %.20q", text, got.Value, got.From, want)
		}
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// A procfs that somebody made: bt waits for no FIFO, and reads no file without
// end.
func TestHostileSysctl(t *testing.T) {
	for name, replace := range map[string]func(string) error{
		"FIFO":      func(p string) error { return unix.Mkfifo(p, 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"device":    func(p string) error { return os.Symlink("/dev/zero", p) },
		"loop":      func(p string) error { return os.Symlink(p, p) },
		"large":     func(p string) error { return os.WriteFile(p, make([]byte, 10<<20), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			procfs, file := sysctl(t, "")
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := replace(file); err != nil {
				t.Fatal(err)
			}
			if got := (Sources{Procfs: procfs}).Decide(parse(t, "")); got != (Setting{Value: Live, From: "default"}) {
				t.Errorf("%.40q from %s", got.Value, got.From)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gateFile := func(id []byte) []byte {
		return testelf.File{
			Machine: elf.EM_IA_64, Base: 0xa000000000020000, BuildID: id,
			Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0xa000000000020640, Data: make([]byte, 64)}},
		}.Bytes()
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	id := []byte{0xca, 0xfe, 0xba, 0xbe}
	good, noID := file("good.so", gateFile(id)), file("noid.so", gateFile(nil))
	for _, tt := range []struct {
		name    string
		path    string
		want    []byte // build ID of the mapped image
		texts   []string
		refused bool
	}{
		{"same build ID", good, id, nil, false},
		{"build ID of the image not known", good, nil, nil, false},
		{"no build ID anywhere", noID, nil, nil, false},
		{"another build ID", good, []byte{0xde, 0xad}, []string{"refused", "cafebabe", "dead"}, true},
		{"a build ID that begins alike", good, id[:2], []string{"refused"}, true},
		{"no build ID in the file", noID, id, []string{"refused", "none", "cafebabe"}, true},
		{"missing", filepath.Join(dir, "none.so"), id, []string{"does not exist", "--gate-dso live"}, false},
		{"below a file", good + "/x", id, []string{"not a directory"}, false},
		{"not ELF", file("text", []byte(strings.Repeat("text\n", 50))), id, []string{"cannot be used"}, false},
		{"empty", file("empty", nil), id, []string{"cannot be used"}, false},
		{"cut short", file("cut.so", gateFile(id)[:80]), id, []string{"cannot be used"}, false},
		{"FIFO", fifo, id, []string{"not a regular file"}, false},
		{"directory", dir, id, []string{"not a regular file"}, false},
		{"device", "/dev/null", id, []string{"not a regular file"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			im, err := Setting{Value: tt.path, From: "the test"}.Open(Mapped{BuildID: tt.want})
			if tt.texts == nil {
				if err != nil {
					t.Fatal(err)
				}
				if err := im.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it was opened")
			}
			if errors.Is(err, ErrRefused) != tt.refused {
				t.Errorf("refused: %v", !tt.refused)
			}
			// What it is, who said so, and what becomes of the frames.
			for _, text := range append(tt.texts, fmt.Sprintf("%q", tt.path), "set by the test", "gate frames stay raw") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("no %q in %q", text, err)
				}
			}
		})
	}
}

// The three entry points, each `mov $nr,%rax; syscall; ret`, and the int3
// around them, which belong to nobody.
func TestVsyscall(t *testing.T) {
	const page = 0xffffffffff600000
	for _, tt := range []struct {
		addr uint64
		name string
		off  uint64
	}{
		{page, "gettimeofday", 0},
		{page + 9, "gettimeofday", 9},
		{page + 10, "", 0},
		{page + 0x3ff, "", 0},
		{page + 0x400, "time", 0},
		{page + 0x409, "time", 9},
		{page + 0x800, "getcpu", 0},
		{page + 0x802, "getcpu", 2},
		{page + 0x80a, "", 0},
		{page + 0xc00, "", 0},
		{page + 0xfff, "", 0},
		{page - 1, "", 0},
		{0, "", 0},
		{^uint64(0), "", 0},
	} {
		name, start, ok := Vsyscall(tt.addr)
		if name != tt.name || ok != (tt.name != "") || ok && tt.addr-start != tt.off {
			t.Errorf("%x: %q at %x, %v", tt.addr, name, start, ok)
		}
	}
}
