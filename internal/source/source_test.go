package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/stack"
)

func reader(around int) *Reader {
	return &Reader{Open: []func(string) (*os.File, error){os.Open}, Around: around}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func text(e *stack.Excerpt) string {
	if e == nil {
		return "-"
	}
	return strings.Join(e.Lines, "|")
}

func TestExcerpt(t *testing.T) {
	path := write(t, "a.c", "one\ntwo\r\n\nfour\nfive")
	for _, tt := range []struct {
		line, around int
		first        int
		want         string
	}{
		{3, 0, 3, ""},
		{2, 0, 2, "two"},
		{2, 1, 1, "one|two|"},
		{1, 1, 1, "one|two"},
		{5, 1, 4, "four|five"},
		{5, 1 << 30, 1, "one|two||four|five"},
		{6, 1, 0, "-"},
		{0, 1, 0, "-"},
		{-1, 1, 0, "-"},
	} {
		e := reader(tt.around).Excerpt(path, tt.line)
		if text(e) != tt.want || e != nil && (e.First != tt.first || e.Line != tt.line || e.File != path) {
			t.Errorf("line %d, %d around: %+v, want %q from %d", tt.line, tt.around, e, tt.want, tt.first)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for what, path := range map[string]string{
		"a directory":          dir,
		"none":                 filepath.Join(dir, "none"),
		"no text":              write(t, "a.out", "ELF\x00\n"),
		"an empty file":        write(t, "empty", ""),
		"a relative path":      "source_test.go",
		"a file without size":  "/proc/version",
		"nothing":              "",
		"a file that is large": large(t),
	} {
		if e := reader(1).Excerpt(path, 1); e != nil {
			t.Errorf("%s: %+v", what, e)
		}
	}
	private := write(t, "private", "secret\n")
	if err := os.Chmod(private, 0o640); err != nil {
		t.Fatal(err)
	}
	r := reader(0)
	r.Public = true
	if e := r.Excerpt(private, 1); e != nil {
		t.Errorf("a file that others may not read: %+v", e)
	}
	if e := reader(0).Excerpt(private, 1); text(e) != "secret" {
		t.Errorf("one's own file: %+v", e)
	}
}

// large makes a file that takes no room.
func large(t *testing.T) string {
	path := write(t, "large", "x\n")
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLongLine(t *testing.T) {
	path := write(t, "long.c", strings.Repeat("é", 1000)+"\nshort\n")
	e := reader(1).Excerpt(path, 2)
	if e == nil || len(e.Lines[0]) > maxLine+3 || !strings.HasSuffix(e.Lines[0], "é…") || e.Lines[1] != "short" {
		t.Errorf("%+v", e)
	}
}

// The first way that has the file counts.
func TestOpen(t *testing.T) {
	path := write(t, "a.c", "text\n")
	none := func(string) (*os.File, error) { return nil, errors.New("none") }
	asked := 0
	once := func(path string) (*os.File, error) { asked++; return os.Open(path) }
	r := &Reader{Open: []func(string) (*os.File, error){none, once, none}}
	for range 3 {
		if e := r.Excerpt(path, 1); text(e) != "text" {
			t.Errorf("%+v", e)
		}
	}
	if asked != 1 {
		t.Errorf("opened %d times", asked)
	}
}
