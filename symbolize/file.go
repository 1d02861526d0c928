//go:build unix

package symbolize

import (
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/packed"
	"github.com/gatedso/bt/stack"
)

// File names the link-time addresses of one ELF file, as addr2line does. It is
// safe for concurrent use, but for Close.
type File struct {
	im  *image.Image
	sym *Symbolizer
}

// OpenFile opens an ELF file for naming. The caller must Close it.
func OpenFile(path string, o Options) (*File, error) {
	im, err := packed.OpenELF(path)
	if err != nil {
		return nil, err
	}
	return &File{image.NewImage(im), NewForImage(o)}, nil
}

// Frames names frames of which PC, a link-time address, and Exact are given: see
// Symbolizer.Frames. No module is set.
func (f *File) Frames(frames []stack.Frame) { f.sym.InImage(f.im, frames) }

// WordSize is the size of the file's addresses in bytes.
func (f *File) WordSize() int { return f.im.PtrSize() }

// Close closes the file. What was named stays.
func (f *File) Close() error { return f.im.Close() }
