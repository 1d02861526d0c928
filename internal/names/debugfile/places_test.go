//go:build linux

package debugfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMerged finds debug files below both names of a directory that has two.
func TestMerged(t *testing.T) {
	for dir, want := range map[string]string{
		"/usr/lib/x86_64-linux-gnu": "/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu": "/usr/lib/x86_64-linux-gnu",
		"/usr/lib": "/lib", "/lib64": "/usr/lib64", "/usr/bin": "/bin", "/sbin": "/usr/sbin", "/usr/libexec/x": "/libexec/x",
		"/": "", "/usr": "", "/opt/lib": "", "/usr/local/lib": "", "/binx": "", "/usr/share": "",
	} {
		if got, ok := merged(dir); got != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
	bare := build(t, "3", noBuildID)
	for maps, pkg := range map[string]string{"/usr/lib/x": "/lib/x", "/lib/x": "/usr/lib/x"} {
		dir := t.TempDir()
		write(t, dir+"/usr/lib/debug"+pkg+"/lib.debug", bare.debug)
		f := &Finder{Dirs: []string{"/usr/lib/debug"}, Sysroot: dir}
		im, via, err := f.Find(image(t, bare.stripped, "lib.so"), maps+"/lib.so")
		if im == nil || via != ViaDebuglink {
			t.Errorf("%s: %v, %v", maps, via, err)
		}
		f.Close()
	}
}

// TestThroughLink has a program that is called by a symbolic link, while its
// debug file lies beside the program itself.
func TestThroughLink(t *testing.T) {
	bare := build(t, "3", noBuildID)
	dir := t.TempDir()
	write(t, dir+"/app/prog", bare.stripped)
	write(t, dir+"/app/.debug/lib.debug", bare.debug)
	if err := os.Mkdir(dir+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	mustLink(t, "../app/prog", dir+"/bin/prog")
	f := new(Finder)
	defer f.Close()
	if im, _, err := f.Find(image(t, bare.stripped, "prog"), dir+"/bin/prog"); im == nil {
		t.Error("not found:", err)
	}
}

// TestRootPath has a target below a chroot, whose maps repeat the chroot's path.
func TestRootPath(t *testing.T) {
	bare := build(t, "3", noBuildID)
	dir := t.TempDir()
	write(t, dir+"/usr/lib/debug/opt/lib.debug", bare.debug)
	for _, rootPath := range []string{"/jail", "/jail/"} {
		f := &Finder{Dirs: []string{"/usr/lib/debug"}, Root: openRoot(t, dir).Open, RootPath: rootPath}
		if im, _, err := f.Find(image(t, bare.stripped, "lib.so"), "/jail/opt/lib.so"); im == nil {
			t.Errorf("%s: not found: %v", rootPath, err)
		}
		if im, _, _ := f.Find(image(t, bare.stripped, "lib.so"), "/jailer/opt/lib.so"); im != nil {
			t.Errorf("%s: found for a path outside", rootPath)
		}
		f.Close()
	}
	for _, rootPath := range []string{"", "/"} {
		f := &Finder{Dirs: []string{"/usr/lib/debug"}, Root: openRoot(t, dir).Open, RootPath: rootPath}
		if im, _, err := f.Find(image(t, bare.stripped, "lib.so"), "/opt/lib.so"); im == nil {
			t.Errorf("%q: not found: %v", rootPath, err)
		}
		f.Close()
	}
}

// TestLinkCircle has two stripped files whose debuglinks lead to each other, and
// another file for supplementary debug information, which is not for names.
func TestLinkCircle(t *testing.T) {
	bare, other := build(t, "3", noBuildID), build(t, "5", noBuildID)
	dir := t.TempDir()
	write(t, dir+"/a", bare.stripped)
	write(t, dir+"/b", other.stripped)
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		run(t, dir, "objcopy", "--remove-section=.gnu_debuglink", names[0])
		run(t, dir, "objcopy", "--add-gnu-debuglink="+names[1], names[0])
	}
	write(t, dir+"/alt", append([]byte("b\x00"), make([]byte, 20)...))
	run(t, dir, "objcopy", "--add-section=.gnu_debugaltlink=alt", "a")
	var opened []string
	f := &Finder{Root: func(path string) (*os.File, error) {
		opened = append(opened, path)
		return nil, os.ErrNotExist
	}}
	defer f.Close()
	im, _, err := f.Find(image(t, read(t, dir+"/a"), "a"), filepath.Join(dir, "a"))
	if im != nil || err == nil || !strings.Contains(err.Error(), "no .symtab") {
		t.Error(im, err)
	}
	if len(opened) != 2 {
		t.Errorf("looks for %q", opened)
	}
}
