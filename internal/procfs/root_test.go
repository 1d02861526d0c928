//go:build linux

package procfs

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/testenv"
)

func write(t testing.TB, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, to, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// root makes a directory with a secret beside it.
func root(t testing.TB) (top, secret string) {
	dir := t.TempDir()
	secret = filepath.Join(dir, "secret")
	write(t, secret, "host")
	top = filepath.Join(dir, "top")
	write(t, top+"/in", "target")
	write(t, top+"/usr/lib/x/file", "target")
	write(t, top+secret, "target") // under the name that the host has for it, too
	link(t, secret, top+"/absolute")
	link(t, "../secret", top+"/relative")
	link(t, "/../../secret", top+"/dots")
	link(t, "usr/lib", top+"/lib")
	link(t, "/usr/lib/x", top+"/abs")
	link(t, "/abs/../x/./file", top+"/usr/chain")
	link(t, "/in", top+"/ok")
	link(t, "loop", top+"/loop")
	link(t, "/proc/self/exe", top+"/proc")
	link(t, "in/", top+"/slash")
	link(t, "none", top+"/dangling")
	if err := unix.Mkfifo(top+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	return top, secret
}

// cases are paths below the root, and what they lead to; "" is nothing.
var cases = map[string]string{
	"in": "target", "/in": "target", "//in": "target", "./in": "target", "../in": "target", "/../../in": "target", "/usr/../in": "target",
	"usr/lib/../../../../in": "target", "lib/x/file": "target", "abs/file": "target", "/usr/chain": "target", "abs/../x/file": "target",
	"absolute": "target", "ok": "target",
	"relative": "", "dots": "", "../secret": "", "loop": "", "loop/x": "", "proc": "", "slash": "", "in/": "", "in/.": "", "in/..": "",
	"fifo": "", "/": "", "": "", ".": "", "..": "", "usr": "", "none": "", "none/../in": "", "dangling": "", "a\x00b": "", "in/x": "",
}

func check(t *testing.T, how string, cases map[string]string, open func(name string) (*os.File, error)) {
	t.Helper()
	before := descriptors(t)
	for name, want := range cases {
		f, err := open(name)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %q: %v", how, name, err)
			}
			continue
		}
		data, _ := io.ReadAll(f)
		if string(data) != want {
			t.Errorf("%s: %q leads to %q, want %q", how, name, data, want)
		}
		f.Close()
	}
	if after := descriptors(t); after != before {
		t.Errorf("%s: %d descriptors were open, now %d", how, before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// What is no regular file is refused at once, whatever it is.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/file"
	write(t, path, "x")
	link(t, path, dir+"/link")
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, dir + "/link"} {
		f, err := Open(p)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		if fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || fl&unix.O_NONBLOCK != 0 {
			t.Errorf("%s: flags %x, %v", p, fl, err)
		}
		if fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: passed on to children", p)
		}
		f.Close()
	}
	before := descriptors(t)
	for _, p := range []string{dir + "/fifo", dir, "/dev/null", dir + "/none", "", "a\x00b"} {
		f, err := Open(p)
		if err == nil {
			f.Close()
			t.Errorf("%q was opened", p)
		} else if !strings.Contains(err.Error(), p) {
			t.Errorf("%q: the error does not name it: %v", p, err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d file descriptors, %d before", after, before)
	}
}

// The kernel's way and the one that stands in for it agree.
func TestOpenIn(t *testing.T) {
	top, secret := root(t)
	r, err := OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cases := maps.Clone(cases)
	cases[secret] = "target"
	check(t, "openat2", cases, r.Open)
	check(t, "In", cases, func(name string) (*os.File, error) { return In(top, name) })
	check(t, "walk", cases, func(name string) (*os.File, error) {
		f, _, err := OpenRegular(name, func(flags int) (int, error) { return walk(r.fd, name, flags) })
		return f, err
	})
}

// Both ways give the same error and the same kind of file, also with
// O_NOFOLLOW.
func TestWalkLikeOpenat2(t *testing.T) {
	top, _ := root(t)
	r, err := OpenRoot(top)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	probe, err := openat2(r.fd, ".", unix.O_PATH)
	if err != nil {
		testenv.Skip(t, "no openat2: needs Linux 5.6")
	}
	unix.Close(probe)
	identity := func(fd int, err error) (unix.Stat_t, error) {
		var st unix.Stat_t
		if err == nil {
			unix.Fstat(fd, &st)
			unix.Close(fd)
		}
		return unix.Stat_t{Dev: st.Dev, Ino: st.Ino}, err
	}
	for name := range cases {
		for _, flags := range []int{unix.O_PATH, unix.O_PATH | unix.O_NOFOLLOW, unix.O_PATH | unix.O_DIRECTORY} {
			a, aerr := identity(openat2(r.fd, name, flags))
			b, berr := identity(walk(r.fd, name, flags))
			if name == "proc" && flags == unix.O_PATH { // one stops at the link, the other finds no /proc
				continue
			}
			if a != b || aerr != berr {
				t.Errorf("%q, flags %x: openat2 %v, %v; walk %v, %v", name, flags, a.Ino, aerr, b.Ino, berr)
			}
		}
	}
}

func TestWalkEnds(t *testing.T) {
	dir := t.TempDir()
	r, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	before := descriptors(t)
	// A link that makes the path longer each time.
	link(t, strings.Repeat("grow/", 800), dir+"/grow")
	if _, err := walk(r.fd, "grow", unix.O_PATH); err != unix.ELOOP {
		t.Error(err)
	}
	deep := strings.Repeat("d/", maxDepth)
	if err := os.MkdirAll(filepath.Join(dir, deep, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, deep, "f"), "x")
	fd, err := walk(r.fd, deep+"f", unix.O_PATH)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if _, err := walk(r.fd, deep+"d/f", unix.O_PATH); err != unix.ENAMETOOLONG {
		t.Error(err)
	}
	if _, err := walk(r.fd, strings.Repeat("x", 300), unix.O_PATH); err != unix.ENAMETOOLONG {
		t.Error(err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors were open, now %d", before, after)
	}
}

func TestErrorsNameTheFile(t *testing.T) {
	top, _ := root(t)
	for _, name := range []string{"/none", "/fifo", "/usr", "/loop"} {
		if _, err := In(top, name); err == nil || !strings.Contains(err.Error(), top+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := In(top+"/none", "/in"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), top+"/none") {
		t.Error(err)
	}
	f, err := In("", top+"/in")
	if err != nil || f.Name() != top+"/in" {
		t.Error(f, err)
	}
	f.Close()
}

// Files of a process by the kernel's link to its root.
func TestRootOfProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := In("/proc/self/root", self)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}
