//go:build linux

package debugfile

import (
	"os"
	"testing"
)

// Finders for several roots share their files, notes and server.
func TestIn(t *testing.T) {
	var notes int
	f := &Finder{Dirs: []string{"/none"}, BuildIDOnly: true, Note: func(string, ...any) { notes++ }}
	root := func(string) (*os.File, error) { return nil, os.ErrNotExist }
	a := f.In(root, "/a")
	b := a.In(root, "/b")
	if a.file(fileID{ino: 1}) != b.file(fileID{ino: 1}) || f.file(fileID{ino: 1}) != a.file(fileID{ino: 1}) {
		t.Error("a file has several entries")
	}
	if !a.BuildIDOnly || a.Dirs[0] != "/none" || b.RootPath != "/b" {
		t.Errorf("%+v", a)
	}
	b.note("x")
	if notes != 1 {
		t.Errorf("%d notes", notes)
	}
}
