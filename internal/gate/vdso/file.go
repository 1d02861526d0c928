package vdso

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/elfsym"
)

// maxFile bounds the size in bytes of a gate file; one with debug information
// has some 100 KiB.
const maxFile = 16 << 20

// ReadFile reads a gate file. What is no complete ELF file is an error.
func ReadFile(path string) (*Image, error) {
	data, err := ReadRegular(path)
	if err != nil {
		return nil, err
	}
	im, err := elfsym.New(data, path)
	if err != nil {
		return nil, err
	}
	if err := Complete(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Image{Image: im, File: data, From: path}, nil
}

// ReadRegular reads a regular file of at most some megabytes, and waits for
// nobody at a FIFO's other end.
func ReadRegular(path string) ([]byte, error) {
	// Opening a device alone can have effects.
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errNotRegular}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errNotRegular}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d bytes: no gate image", maxFile)}
	}
	return data, err
}

var errNotRegular = errors.New("not a regular file")

// ErrTruncated is the error for an ELF file that ends early.
var ErrTruncated = errors.New("truncated: it ends before its headers say")

// Complete tells whether an ELF file has all the parts that its headers tell
// of. The segments of a separate debug file, whose sections are not in the
// file, are not asked for.
func Complete(data []byte) error {
	h, err := readLayout(data)
	if err != nil {
		return err
	}
	size := uint64(len(data))
	if h.headers > size {
		return ErrTruncated
	}
	if _, inside := h.end(size); !inside {
		return ErrTruncated
	}
	for _, p := range h.parts {
		if p.section == (h.sections.size != 0) && (p.off > size || p.size > size-p.off) {
			return ErrTruncated
		}
	}
	return nil
}
