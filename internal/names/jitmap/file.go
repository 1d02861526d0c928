package jitmap

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// reader reads one form of file, from where it stopped the last time.
type reader interface {
	// read takes in what is complete up to size.
	read(r io.ReaderAt, size int64, b *builder) error
	// offset tells up to where the file has been read.
	offset() int64
}

// readAll reads a file at once.
func readAll(rd reader, r io.ReaderAt, size int64) (*Table, error) {
	var b builder
	err := rd.read(r, size, &b)
	return b.table(), err
}

// growing is a file that its writer adds to, or writes anew.
type growing struct {
	fresh func() reader
	rd    reader
	b     builder
	tail  []byte // the last bytes that were read, to tell whether they still stand there
	stale bool   // they do not
}

// maxTail is how many bytes tell that what was read before still stands there.
const maxTail = 256

// update reads what is new. It reports whether anything was.
func (g *growing) update(r io.ReaderAt, size int64) (changed bool, err error) {
	if g.rd == nil || g.stale || !g.same(r, size) {
		changed = g.rd != nil
		g.rd, g.b, g.stale = g.fresh(), builder{}, false
	}
	before := g.rd.offset()
	err = g.rd.read(r, size, &g.b)
	off := g.rd.offset()
	g.tail = make([]byte, min(off, maxTail))
	if n, _ := r.ReadAt(g.tail, off-int64(len(g.tail))); n < len(g.tail) {
		g.stale = true // it has shrunk meanwhile
	}
	return changed || off != before, err
}

// same reports whether the file still has at its place what was read last.
func (g *growing) same(r io.ReaderAt, size int64) bool {
	off := g.rd.offset()
	if off > size {
		return false
	}
	b := make([]byte, len(g.tail))
	n, _ := r.ReadAt(b, off-int64(len(b)))
	return n == len(b) && bytes.Equal(b, g.tail)
}

// fileID tells whether a path still leads to the same file.
type fileID struct{ dev, ino uint64 }

// identify returns a file's identity and size.
func identify(f *os.File) (fileID, int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileID{}, 0, err
	}
	return fileID{uint64(st.Dev), st.Ino}, st.Size, nil
}
