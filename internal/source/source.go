// Package source reads lines of source files, to be shown beside a stack. The paths
// come from debug information, which the target may have made up.
package source

import (
	"bytes"
	"os"
	"sync"
	"unicode/utf8"

	"github.com/gatedso/bt/stack"
)

// Reader reads excerpts of source files. It is safe for concurrent use.
type Reader struct {
	// Open lists ways to open a path, the first one that has the file counts. Each
	// must open regular files only, see procfs.Open, and must not follow a target's
	// symbolic links out of its root.
	Open []func(path string) (*os.File, error)
	// Public refuses files that not everybody may read: for a caller with more
	// rights than the target.
	Public bool
	// Around is how many lines are wanted before a line, and behind it.
	Around int

	mu    sync.Mutex
	files map[string]*file // nil: cannot be read
	bytes int              // of all files
}

// Bounds, in bytes but for maxFiles. Generated sources have some megabytes; what is
// kept is dropped when it exceeds maxKept.
const (
	maxFile  = 32 << 20
	maxKept  = 64 << 20
	maxFiles = 1 << 12
	maxLine  = 400
	maxLines = 1000 // before a line, and behind it
)

// file is a source file that was read.
type file struct {
	data  []byte
	lines []uint32 // where each line starts
}

// Excerpt returns the lines around a place; nil where the file cannot be read, is
// no text, or has no such line.
func (r *Reader) Excerpt(path string, line int) *stack.Excerpt {
	if path == "" || path[0] != '/' || line <= 0 {
		return nil
	}
	f := r.file(path)
	if f == nil || line > len(f.lines) {
		return nil
	}
	around := min(r.Around, maxLines)
	first, last := max(line-around, 1), min(line+around, len(f.lines))
	e := &stack.Excerpt{File: path, Line: line, First: first}
	for n := first; n <= last; n++ {
		e.Lines = append(e.Lines, f.line(n))
	}
	return e
}

func (r *Reader) file(path string) *file {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, known := r.files[path]
	if known {
		return f
	}
	f = r.read(path)
	if r.files == nil || len(r.files) >= maxFiles || r.bytes > maxKept {
		r.files, r.bytes = make(map[string]*file), 0
	}
	r.files[path] = f
	if f != nil {
		r.bytes += len(f.data) + 4*len(f.lines)
	}
	return f
}

// read reads a file the first way that it is there.
func (r *Reader) read(path string) *file {
	for _, open := range r.Open {
		f, err := open(path)
		if err != nil {
			continue
		}
		data, ok := r.contents(f)
		f.Close()
		if ok {
			return newFile(data)
		}
	}
	return nil
}

// contents returns what a file holds, if it is a text. Those that the kernel makes
// up have no size, and reading them can have effects, or wait.
func (r *Reader) contents(f *os.File) ([]byte, bool) {
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() <= 0 || st.Size() > maxFile {
		return nil, false
	}
	if r.Public && st.Mode().Perm()&0o004 == 0 {
		return nil, false
	}
	data := make([]byte, st.Size())
	n, err := f.ReadAt(data, 0)
	if n == 0 || err != nil && n == len(data) {
		return nil, false
	}
	data = data[:n] // it may have become shorter
	return data, bytes.IndexByte(data, 0) < 0
}

func newFile(data []byte) *file {
	f := &file{data: data}
	for pos := 0; pos < len(data); {
		f.lines = append(f.lines, uint32(pos))
		n := bytes.IndexByte(data[pos:], '\n')
		if n < 0 {
			break
		}
		pos += n + 1
	}
	return f
}

// line returns the n-th line, counted from 1, without its end. What is beyond
// maxLine is cut, and says so.
func (f *file) line(n int) string {
	b := f.data[f.lines[n-1]:]
	if n < len(f.lines) {
		b = f.data[f.lines[n-1]:f.lines[n]]
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) <= maxLine {
		return string(b)
	}
	end := maxLine
	for end > maxLine-utf8.UTFMax && !utf8.RuneStart(b[end]) {
		end--
	}
	return string(b[:end]) + "…"
}
