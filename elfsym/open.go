package elfsym

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/gatedso/bt/internal/guard"
)

// Open maps the file f, which must be a regular one. The Image does not need f
// any longer, so the caller may close it. name stands for the file in messages.
func Open(f *os.File, name string) (*Image, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	size := st.Size()
	if size < 16 {
		return nil, fmt.Errorf("%s: %w", name, ErrNotELF)
	}
	if int64(int(size)) != size {
		return nil, fmt.Errorf("%s: too large for this machine (%d bytes)", name, size)
	}
	data, err := guard.Map(f, int(size))
	if err != nil {
		return nil, fmt.Errorf("%s: mmap: %w", name, err)
	}
	im, err := newImage(data, name, true, holesOf(f))
	if err != nil {
		guard.Unmap(data)
		return nil, err
	}
	return im, nil
}

// OpenPath opens and maps the regular file at path. It does not wait for the
// other end where path is a pipe.
func OpenPath(path string) (*Image, error) {
	// O_NONBLOCK: opening a FIFO would block until somebody writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("%s: %w", path, pe.Err)
		}
		return nil, err
	}
	defer f.Close()
	return Open(f, path)
}

// ReleasePages gives back the memory that the pages of a mapped file take in this
// process, for a caller that has read much of it and goes on to other parts. What
// is read again is mapped again. It may run beside every method but Close.
func (im *Image) ReleasePages() { im.dropPages() }

// dropPages gives back the memory that the pages of the file take in this
// process. They stay in the page cache: what is read again is mapped again.
func (im *Image) dropPages() {
	if im.mapped {
		guard.Discard(im.data)
	}
}

// Close unmaps the file. Every slice that the Image handed out becomes invalid;
// strings and Symbols stay.
func (im *Image) Close() error {
	if !im.mapped {
		return nil
	}
	im.mapped = false
	return guard.Unmap(im.data)
}
