//go:build !unix

package guard

import (
	"io"
	"os"
)

// Map reads the first size bytes of f: there is no mapping of files here.
func Map(f *os.File, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(io.NewSectionReader(f, 0, int64(size)), b)
	return b, err
}

// Unmap ends the use of bytes that Map returned.
func Unmap([]byte) error { return nil }

// Discard does nothing.
func Discard([]byte) {}

func isFault(any) bool { return false }
