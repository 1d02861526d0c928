//go:build linux

package debugfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/procfs"
)

// idPath is where a debug directory has the debug file of an image.
func idPath(t *testing.T, data []byte) string {
	id := hex.EncodeToString(image(t, data, "id").BuildID())
	if len(id) < 4 {
		t.Fatal("no build ID")
	}
	return ".build-id/" + id[:2] + "/" + id[2:] + ".debug"
}

// TestFind finds the debug file of dir/opt/app/lib.so, or refuses it.
func TestFind(t *testing.T) {
	lib := build(t, "3")
	other := build(t, "5")
	bare := build(t, "3", noBuildID)
	byID := idPath(t, lib.whole)
	type files map[string][]byte
	tests := []struct {
		name  string
		im    []byte
		files files  // below the test's directory
		via   string // "" if nothing may be found
		from  string // which of files
		err   string // part of the error
	}{
		{name: "nothing there", im: lib.stripped},
		{name: "build ID", im: lib.stripped, files: files{"debug/" + byID: lib.debug},
			via: ViaBuildID, from: "debug/" + byID},
		{name: "build ID in the second directory", im: lib.stripped, files: files{"debug2/" + byID: lib.debug},
			via: ViaBuildID, from: "debug2/" + byID},
		{name: "an unstripped copy by build ID", im: lib.stripped, files: files{"debug/" + byID: lib.whole},
			via: ViaBuildID, from: "debug/" + byID},
		{name: "wrong file by build ID", im: lib.stripped, files: files{"debug/" + byID: other.debug},
			err: "build ID is"},
		{name: "file without build ID by build ID", im: lib.stripped, files: files{"debug/" + byID: bare.debug},
			err: "build ID is , not"},
		{name: "stripped file by build ID", im: lib.stripped, files: files{"debug/" + byID: lib.stripped},
			err: "no .symtab"},
		{name: "no ELF file by build ID", im: lib.stripped, files: files{"debug/" + byID: []byte("a long text that is no ELF file")},
			err: "not an ELF file"},
		{name: "wrong by build ID, right by link", im: lib.stripped,
			files: files{"debug/" + byID: other.debug, "opt/app/lib.debug": lib.debug},
			via:   ViaDebuglink, from: "opt/app/lib.debug"},

		{name: "link, same directory", im: bare.stripped, files: files{"opt/app/lib.debug": bare.debug},
			via: ViaDebuglink, from: "opt/app/lib.debug"},
		{name: "link, .debug", im: bare.stripped, files: files{"opt/app/.debug/lib.debug": bare.debug},
			via: ViaDebuglink, from: "opt/app/.debug/lib.debug"},
		{name: "link, global", im: bare.stripped, files: files{"debug/ROOT/opt/app/lib.debug": bare.debug},
			via: ViaDebuglink, from: "debug/ROOT/opt/app/lib.debug"},
		{name: "link, wrong CRC", im: bare.stripped, files: files{"opt/app/lib.debug": corrupt(bare.debug)},
			err: "CRC is"},
		{name: "link, wrong CRC first", im: bare.stripped,
			files: files{"opt/app/lib.debug": corrupt(bare.debug), "opt/app/.debug/lib.debug": bare.debug},
			via:   ViaDebuglink, from: "opt/app/.debug/lib.debug"},
		{name: "link, wrong CRC but equal build IDs", im: lib.stripped, files: files{"opt/app/lib.debug": corrupt(lib.debug)},
			via: ViaDebuglink, from: "opt/app/lib.debug"},
		{name: "link, wrong build ID", im: lib.stripped, files: files{"opt/app/lib.debug": other.debug},
			err: "build ID is"},
		{name: "link, right CRC but wrong build ID", im: relink(t, lib.stripped, other.debug),
			files: files{"opt/app/lib.debug": other.debug}, err: "build ID is"},
		{name: "link to a file without build ID", im: relink(t, lib.stripped, bare.debug),
			files: files{"opt/app/lib.debug": bare.debug}, via: ViaDebuglink, from: "opt/app/lib.debug"},
		{name: "link, debug file has no .symtab", im: relink(t, lib.stripped, bare.stripped),
			files: files{"opt/app/lib.debug": bare.stripped}, err: "no .symtab"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range test.files {
				write(t, filepath.Join(dir, strings.Replace(name, "ROOT", dir, 1)), data)
			}
			f := &Finder{Dirs: []string{dir + "/debug", dir + "/debug2"}}
			defer f.Close()
			for range 2 { // the second answer is a remembered one
				im, via, err := f.Find(image(t, test.im, "lib.so"), dir+"/opt/app/lib.so")
				if via != test.via || (im != nil) != (test.via != "") {
					t.Fatalf("found %v via %q, want %q; error %v", im, via, test.via, err)
				}
				if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				if err != nil && !strings.Contains(err.Error(), dir) {
					t.Errorf("error %v does not name the file", err)
				}
				if im == nil {
					continue
				}
				if want := filepath.Join(dir, strings.Replace(test.from, "ROOT", dir, 1)); im.Name != want {
					t.Errorf("found %s, want %s", im.Name, want)
				}
				if s, ok := im.Lookup(address(t, lib.whole, "hidden")); !ok || s.Name != "hidden" {
					t.Errorf("the debug file names %v", s)
				}
			}
		})
	}
}

// relink gives a stripped image a debuglink with the CRC of another file.
func relink(t *testing.T, stripped, debug []byte) []byte {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/s.so", stripped)
	write(t, dir+"/lib.debug", debug)
	run(t, dir, "objcopy", "--remove-section=.gnu_debuglink", "s.so")
	run(t, dir, "objcopy", "--add-gnu-debuglink=lib.debug", "s.so")
	return read(t, dir+"/s.so")
}

// TestFindElsewhere finds debug files below a sysroot and in a target's root,
// through the symbolic links that are there.
func TestFindElsewhere(t *testing.T) {
	lib := build(t, "3")
	byID := idPath(t, lib.whole)
	for _, where := range []string{"sysroot", "root"} {
		for _, name := range []string{"/usr/lib/debug/" + byID, "/opt/lib.debug", "/opt/.debug/lib.debug", "/usr/lib/debug/opt/lib.debug"} {
			t.Run(where+name, func(t *testing.T) {
				dir := t.TempDir()
				write(t, dir+"/real"+name, lib.debug)
				// As seen from the target /usr and /opt are links; on the host
				// these links lead to nothing, or elsewhere.
				mustLink(t, "/real/usr", dir+"/usr")
				mustLink(t, "../../../real/opt", dir+"/opt")
				f := &Finder{Dirs: []string{"/usr/lib/debug"}}
				defer f.Close()
				root := openRoot(t, dir)
				if where == "sysroot" {
					f.Sysroot = dir
				} else {
					f.Root = root.Open
				}
				im, via, err := f.Find(image(t, lib.stripped, "lib.so"), "/opt/lib.so")
				if im == nil {
					t.Fatal(via, err)
				}
				if im.Name != dir+name {
					t.Errorf("found %s", im.Name)
				}
			})
		}
	}
}

func openRoot(t *testing.T, dir string) *procfs.Root {
	t.Helper()
	root, err := procfs.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func mustLink(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// TestDebuglinkCycles has files that link to themselves and to each other.
func TestDebuglinkCycles(t *testing.T) {
	bare := build(t, "3", noBuildID)
	dir := t.TempDir()
	// A file cannot hold its own CRC, but it can be named by its link, be
	// called by other names, and have what its link names link back.
	write(t, dir+"/lib.debug", bare.stripped)
	if err := os.Link(dir+"/lib.debug", dir+"/lib.so"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/.debug", 0o755); err != nil {
		t.Fatal(err)
	}
	mustLink(t, "../lib.debug", dir+"/.debug/lib.debug")
	f := &Finder{Dirs: []string{dir}}
	defer f.Close()
	im, _, err := f.Find(image(t, bare.stripped, "lib.so"), dir+"/lib.so")
	if im != nil || err == nil {
		t.Errorf("found %v, error %v", im, err)
	}
	if n := strings.Count(err.Error(), "\n"); n != 0 {
		t.Errorf("one file was refused %d times: %v", n+1, err)
	}

	// An image that has a .symtab of its own, found again by its build ID.
	lib := build(t, "3")
	write(t, dir+"/"+idPath(t, lib.whole), lib.whole)
	im, _, err = f.Find(image(t, lib.whole, "lib.so"), dir+"/x/lib.so")
	if im != nil || err == nil || !strings.Contains(err.Error(), "same file") {
		t.Errorf("found %v, error %v", im, err)
	}
}

// TestSpecialFiles puts what is no regular file in the debug file's place.
func TestSpecialFiles(t *testing.T) {
	lib := build(t, "3")
	dir := t.TempDir()
	byID := filepath.Join(dir, idPath(t, lib.whole))
	if err := os.MkdirAll(filepath.Dir(byID), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(byID, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/lib.debug", 0o755); err != nil {
		t.Fatal(err)
	}
	mustLink(t, "/dev/zero", dir+"/.debug") // a component that is no directory
	for _, f := range []*Finder{{Dirs: []string{dir}}, {Dirs: []string{"/"}, Root: openRoot(t, dir).Open}} {
		path := dir + "/lib.so"
		if f.Root != nil {
			path = "/lib.so"
		}
		im, _, err := f.Find(image(t, lib.stripped, "lib.so"), path)
		if im != nil || err == nil || strings.Count(err.Error(), "not a regular file") < 2 {
			t.Errorf("found %v, error %v", im, err)
		}
		f.Close()
	}
}

// TestNothingToGoBy has images without build ID and link, and odd paths.
func TestNothingToGoBy(t *testing.T) {
	bare := build(t, "3", noBuildID)
	f := &Finder{Dirs: []string{"/usr/lib/debug"}, Debuginfod: fetcher(func([]byte) (string, error) {
		t.Error("debuginfod was asked without a build ID")
		return "", os.ErrNotExist
	})}
	defer f.Close()
	for _, path := range []string{"", "lib.so", "//anon", "[vdso]", "/memfd:x (deleted)", "/" + strings.Repeat("x", 5000) + "/lib.so"} {
		for _, data := range [][]byte{bare.whole, bare.stripped} {
			if im, _, err := f.Find(image(t, data, "lib.so"), path); im != nil || err != nil {
				t.Errorf("%q: %v, %v", path, im, err)
			}
		}
	}
}

type fetcher func([]byte) (string, error)

func (f fetcher) Fetch(id []byte) (string, error) { return f(id) }

// TestFetched checks what debuginfod is said to have.
func TestFetched(t *testing.T) {
	lib, other := build(t, "3"), build(t, "5")
	dir := t.TempDir()
	write(t, dir+"/right", lib.debug)
	write(t, dir+"/wrong", other.debug)
	for _, test := range []struct{ file, note string }{
		{"right", ""}, {"wrong", "build ID is"}, {"none", "the server is down"},
	} {
		var notes bytes.Buffer
		f := &Finder{
			Dirs: []string{dir + "/debug"},
			Note: func(format string, args ...any) { fmt.Fprintf(&notes, format, args...) },
			Debuginfod: fetcher(func(id []byte) (string, error) {
				if !bytes.Equal(id, image(t, lib.whole, "").BuildID()) {
					t.Errorf("asked for %x", id)
				}
				if test.file == "none" {
					return "", errors.New("the server is down")
				}
				return dir + "/" + test.file, nil
			}),
		}
		im, via, _ := f.Find(image(t, lib.stripped, "lib.so"), "/opt/lib.so")
		if (im != nil) != (test.note == "") || im != nil && via != ViaDebuginfod {
			t.Errorf("%s: %v via %q", test.file, im, via)
		}
		if !strings.Contains(notes.String(), test.note) || test.note == "" && notes.Len() > 0 {
			t.Errorf("%s: notes %s", test.file, &notes)
		}
		f.Close()
	}
}

// TestFindConcurrently shares a Finder.
func TestFindConcurrently(t *testing.T) {
	lib, bare := build(t, "3"), build(t, "3", noBuildID)
	dir := t.TempDir()
	write(t, dir+"/lib.debug", bare.debug)
	write(t, dir+"/"+idPath(t, lib.whole), lib.debug)
	f := &Finder{Dirs: []string{dir}, Note: func(string, ...any) {}}
	defer f.Close()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			data := [][]byte{lib.stripped, bare.stripped}[i%2]
			if im, _, err := f.Find(image(t, data, "lib.so"), fmt.Sprintf("%s/lib%d.so", dir, i%4)); im == nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(f.files) != 2 {
		t.Errorf("%d files were opened, not 2", len(f.files))
	}
}
