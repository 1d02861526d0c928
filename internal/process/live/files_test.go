//go:build linux

package live_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/maps"
)

// mapping returns the first mapping whose path contains name.
func mapping(t *testing.T, p *live.Process, name string) *maps.Mapping {
	t.Helper()
	mm := readMaps(t, p)
	for i := range mm.Entries {
		if m := &mm.Entries[i]; m.IsFile() && strings.Contains(m.Path, name) {
			return m
		}
	}
	t.Fatalf("nothing is mapped from %s", name)
	return nil
}

type opened struct {
	text, via string
	same      bool
	err       error
}

func openMapping(p *live.Process, m *maps.Mapping) (o opened) {
	f, via, same, err := p.OpenMapping(m)
	o.via, o.same, o.err = via, same, err
	if err == nil {
		b, _ := io.ReadAll(f)
		o.text = string(b)
		f.Close()
	}
	return o
}

// Each way finds the file, whatever has happened to its name. The files say
// which one they are.
func TestOpenMapping(t *testing.T) {
	testenv.NeedRoot(t)
	bin := build(t, "modes", "-static")
	binText, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		change func(path string)
		text   string // of what is opened without map_files
		same   bool
	}{
		{"as it was", func(string) {}, "right", true},
		{"deleted", remove, "", false},
		{"replaced", func(path string) { remove(path); write(path, "wrong") }, "wrong", false},
		{"a FIFO now", func(path string) { remove(path); unix.Mkfifo(path, 0o600) }, "", false},
		{"a directory now", func(path string) { remove(path); os.Mkdir(path, 0o700) }, "", false},
		{"a link to elsewhere now", func(path string) { remove(path); os.Symlink("/dev/zero", path) }, "", false},
		{"a link to it now", func(path string) { os.Rename(path, path+"2"); os.Symlink(filepath.Base(path)+"2", path) }, "right", true},
	} {
		for _, name := range []string{"lib.so", " spaces  and\ttab", "new\nline", "lib (deleted)"} {
			t.Run(c.name+strings.ReplaceAll(name, "\n", "N"), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, name)
				write(path, "right")
				ch := mode(t, "mapfile", path)
				c.change(path)
				p := open(t, ch.pid)
				m := mapping(t, p, dir+"/")
				if o := openMapping(p, m); o.text != "right" || o.via != "map_files" || !o.same || o.err != nil {
					t.Errorf("%+v", o)
				}
				// The other ways, which everybody has: an address range
				// that map_files does not know.
				other := *m
				other.End += 4096
				o := openMapping(p, &other)
				if o.text != c.text || o.same != c.same || (o.err == nil) != (c.text != "") {
					t.Errorf("without map_files: %+v", o)
				}
			})
		}
	}

	t.Run("executable", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "prog")
		write(path, string(binText))
		ch := start(t, exec.Command(path, "work"))
		remove(path)
		write(path, "wrong")
		p := open(t, ch.pid)
		m := *mapping(t, p, "/prog")
		m.End += 4096
		if o := openMapping(p, &m); o.text != string(binText) || o.via != "exe" || !o.same {
			t.Errorf("via %s same %v err %v", o.via, o.same, o.err)
		}
	})

	// The paths in maps count from the top of the mount namespace, the
	// process's root is below it, and bt's own files are decoys.
	for _, unshare := range []uintptr{0, syscall.CLONE_NEWNS} {
		t.Run(map[uintptr]string{0: "chroot", syscall.CLONE_NEWNS: "chroot in a mount namespace"}[unshare], func(t *testing.T) {
			dir := t.TempDir()
			inner := filepath.Join(dir, "inner")
			os.Mkdir(inner, 0o755)
			script := `exec "$1" chroot "$2"`
			if unshare != 0 {
				// There, inner is another file system.
				script = `mount -t tmpfs none "$2" && cp "$1" "$2/prog" && exec "$2/prog" chroot "$2"`
				write(filepath.Join(inner, "prog"), "wrong")
			} else {
				write(filepath.Join(inner, "prog"), string(binText))
				script = `exec "$2/prog" chroot "$2"`
			}
			cmd := exec.Command("sh", "-c", script, "sh", bin, inner)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unshare}
			if unshare != 0 {
				try := exec.Command("true")
				try.SysProcAttr = cmd.SysProcAttr
				if err := try.Run(); err != nil { // the root of a chroot is no mount point
					testenv.Skip(t, "no new mount namespace can be made here: %v", err)
				}
			}
			ch := start(t, cmd)
			p := open(t, ch.pid)
			m := mapping(t, p, "/prog")
			if o := openMapping(p, m); o.text != string(binText) || o.via != "map_files" || !o.same {
				t.Errorf("via %s same %v err %v", o.via, o.same, o.err)
			}
			// By path alone: neither map_files nor exe's name fits.
			other := *m
			other.End += 4096
			other.Path = strings.Replace(m.Path, "/prog", "/./prog", 1)
			o := openMapping(p, &other)
			if o.text != string(binText) || !o.same || o.via != "root" && unshare != 0 {
				t.Errorf("path %s, root %s: via %s same %v err %v", m.Path, inner, o.via, o.same, o.err)
			}
		})
	}
}

func TestOpenMappingRefuses(t *testing.T) {
	ch := mode(t, "work")
	p := open(t, ch.pid)
	for _, m := range []maps.Mapping{
		{Path: "[vdso]", Start: 0x1000, End: 0x2000},
		{Path: "", Start: 0x1000, End: 0x2000},
		{Path: "anon_inode:[x]", Inode: 5, Start: 0x1000, End: 0x2000},
		{Path: "/dev/zero", Inode: 5, Start: 0x1000, End: 0x2000},
		{Path: "/proc/self/mem\x00", Inode: 5, Start: 0x1000, End: 0x2000},
		{Path: "/" + strings.Repeat("x", 10000), Inode: 5, Start: 0x1000, End: 0x2000},
	} {
		if f, via, _, err := p.OpenMapping(&m); err == nil {
			f.Close()
			t.Errorf("%.30q was opened via %s", m.Path, via)
		}
	}
}
