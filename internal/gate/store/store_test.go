package store

import (
	"debug/elf"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/gate/vdso"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/trust"
)

func TestDirs(t *testing.T) {
	const user = 1000
	for _, tt := range []struct {
		name string
		flag string
		env  map[string]string
		uid  int
		want []string
	}{
		{"root", "", map[string]string{"HOME": "/root", "XDG_STATE_HOME": "/x"}, 0, []string{System}},
		{"user", "", map[string]string{"HOME": "/home/u"}, user, []string{"/home/u/.local/state/bt/gate", System}},
		{"XDG", "", map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/x"}, user, []string{"/x/bt/gate", System}},
		{"relative XDG", "", map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "x"}, user, []string{"/home/u/.local/state/bt/gate", System}},
		{"homeless", "", nil, user, []string{System}},
		{"environment", "", map[string]string{"HOME": "/home/u", Env: "/state"}, user, []string{"/state"}},
		{"environment, root", "", map[string]string{Env: "/state"}, 0, []string{"/state"}},
		{"empty environment", "", map[string]string{Env: ""}, 0, []string{System}},
		{"flag", "here", map[string]string{Env: "/state"}, user, []string{"here"}},
	} {
		if got := Dirs(tt.flag, func(k string) string { return tt.env[k] }, tt.uid); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func gateImage(t *testing.T, id string, full bool) *vdso.Image {
	t.Helper()
	f := testelf.File{
		BuildID:  []byte(id),
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x800, Data: make([]byte, 0x40)}},
		Segments: []testelf.Segment{{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Filesz: 0x840, Align: 0x1000}},
	}
	if full {
		f.Symbols = []testelf.Symbol{{Name: "inner", Value: 0x820, Size: 0x10, Type: elf.STT_FUNC, Section: ".text"}}
	}
	path := filepath.Join(t.TempDir(), "image.so")
	if err := os.WriteFile(path, f.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	im, err := vdso.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func create(t *testing.T) *Store {
	t.Helper()
	s, err := Create(filepath.Join(t.TempDir(), "a/b/gate"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAdd(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	s := create(t)
	add := func(what string, im *vdso.Image, wantWrote bool, holds *vdso.Image) string {
		t.Helper()
		path, wrote, err := s.Add(im)
		if err != nil || wrote != wantWrote {
			t.Fatalf("%s: wrote %v, %v", what, wrote, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != string(holds.File) {
			t.Errorf("%s: the file holds something else: %v", what, err)
		}
		if st, err := os.Lstat(path); err != nil || st.Mode() != 0o644 {
			t.Errorf("%s: mode %v, %v", what, st.Mode(), err)
		}
		return path
	}
	plain, full, other := gateImage(t, "\xca\xfe", false), gateImage(t, "\xca\xfe", true), gateImage(t, "\xbe\xef", false)
	path := add("new", plain, true, plain)
	if want := filepath.Join(s.Dir, "cafe.so"); path != want {
		t.Errorf("%s, want %s", path, want)
	}
	add("again", plain, false, plain)
	add("richer", full, true, full)
	add("poorer", plain, false, full)
	add("another", other, true, other)

	// What lies there and is no image is replaced; a link is not followed.
	victim := filepath.Join(t.TempDir(), "victim")
	for name, mk := range map[string]func() error{
		"text":      func() error { return os.WriteFile(path, []byte("text"), 0o666) },
		"truncated": func() error { return os.WriteFile(path, plain.File[:len(plain.File)-1], 0o644) },
		"FIFO":      func() error { return unix.Mkfifo(path, 0o644) },
		"link": func() error {
			return errors.Join(os.WriteFile(victim, []byte("kept"), 0o644), os.Symlink(victim, path))
		},
		"dangling link": func() error { return os.Symlink("nowhere", path) },
		"directory":     func() error { return os.Mkdir(path, 0o755) },
	} {
		os.Remove(path)
		if err := mk(); err != nil {
			t.Fatal(err)
		}
		add(name, plain, true, plain)
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "kept" {
		t.Errorf("what a link led to holds %q: %v", got, err)
	}

	// Lookup and List see these two and nothing else.
	for _, name := range []string{"notes.txt", "xyz.so", ".so", ".cafe.so.1.0", strings.Repeat("ab", 65) + ".so"} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].BuildID != "beef" || list[1] != (Entry{"cafe", path}) {
		t.Errorf("%v, %v", list, err)
	}
	for id, want := range map[string]bool{"cafe": true, "beef": true, "ca": false, "cafe00": false, "": false, strings.Repeat("ab", 65): false} {
		b, _ := hex.DecodeString(id)
		if _, ok := s.Lookup(b); ok != want {
			t.Errorf("Lookup(%s): %v", id, ok)
		}
	}
	if err := s.Remove(list[0]); err != nil {
		t.Error(err)
	}
	if _, ok := s.Lookup([]byte("\xbe\xef")); ok {
		t.Error("it is still there")
	}
	if _, _, err := s.Add(gateImage(t, "", false)); err == nil {
		t.Error("an image without a build ID was stored")
	}
}

// Run as root, a directory counts only where nobody else can change what it
// leads to.
func TestSafe(t *testing.T) {
	testenv.NeedRoot(t)
	for _, tt := range []struct {
		name  string
		spoil func(parent, dir string) error
		want  string // "" where it is safe
	}{
		{"as made", func(_, _ string) error { return nil }, ""},
		{"writable by all", func(_, dir string) error { return os.Chmod(dir, 0o777) }, "/gate has mode 0777"},
		{"writable by the group", func(_, dir string) error { return os.Chmod(dir, 0o775) }, "/gate has mode 0775"},
		{"sticky", func(_, dir string) error { return unix.Chmod(dir, 0o1777) }, "/gate has mode 1777"},
		{"a user's", func(_, dir string) error { return os.Chown(dir, 65534, 65534) }, "/gate belongs to user 65534"},
		{"below a writable one", func(p, _ string) error { return os.Chmod(p, 0o777) }, "/p has mode 0777"},
		{"below a sticky one", func(p, _ string) error { return unix.Chmod(p, 0o1777) }, ""},
		{"below a user's", func(p, _ string) error { return os.Chown(p, 65534, 65534) }, "/p belongs to user 65534"},
		{"below a user's sticky one", func(p, _ string) error {
			return errors.Join(os.Chown(p, 65534, 65534), unix.Chmod(p, 0o1755))
		}, "/p belongs to user 65534"},
	} {
		parent := filepath.Join(t.TempDir(), "p")
		dir := filepath.Join(parent, "gate")
		if _, err := Create(dir); err != nil {
			t.Fatal(err)
		}
		if err := tt.spoil(parent, dir); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		for _, by := range []string{dir, link, dir + "/../gate/"} {
			s, err := Open(by)
			switch {
			case tt.want == "" && (err != nil || s.Dir != dir):
				t.Errorf("%s by %s: %v, %v", tt.name, by, s, err)
			case tt.want != "" && (!errors.Is(err, trust.ErrUnsafe) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%s by %s: %v", tt.name, by, err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nowhere: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Create(filepath.Join(file, "x")); err == nil {
		t.Error("a directory below a file")
	}
}

func TestSysctl(t *testing.T) {
	procfs := t.TempDir()
	if _, ok := ReadSysctl(procfs); ok {
		t.Error("read what is not there")
	}
	if err := WriteSysctl(procfs, "/x"); !errors.Is(err, ErrNoSysctl) {
		t.Errorf("written what is not there: %v", err)
	}
	if _, err := os.Stat(Sysctl(procfs)); err == nil {
		t.Error("it was created")
	}
	if err := os.MkdirAll(filepath.Dir(Sysctl(procfs)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Sysctl(procfs), []byte("/a/rather/long/path/before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	longest := "/" + strings.Repeat("x", MaxSysctl-1)
	for _, path := range []string{"/x", longest, "", "/with blanks\t"} {
		if err := WriteSysctl(procfs, path); err != nil {
			t.Errorf("%.20s: %v", path, err)
		}
		if got, ok := ReadSysctl(procfs); !ok || got != path {
			t.Errorf("%.20s: read back as %.20q", path, got)
		}
	}
	for _, path := range []string{longest + "x", "/two\nlines", "/nul\x00"} {
		if err := WriteSysctl(procfs, path); err == nil || !strings.Contains(err.Error(), "gate_dso") {
			t.Errorf("%.20q: %v", path, err)
		}
	}
	if got, _ := ReadSysctl(procfs); got != "/with blanks\t" {
		t.Errorf("a refused path has changed it to %q", got)
	}
	if err := WriteSysctl(procfs, longest+"x"); !strings.Contains(err.Error(), "255") {
		t.Errorf("the limit is not named: %v", err)
	}
	os.Remove(Sysctl(procfs))
	if err := unix.Mkfifo(Sysctl(procfs), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteSysctl(procfs, "/x"); err == nil {
		t.Error("wrote to a FIFO")
	}
}
