// Package packed undoes the compression of whole files: cores, kernel modules.
package packed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
)

// MagicSize is the longest of the magic numbers that Compression looks at.
const MagicSize = 6

// maxWindow bounds the memory in bytes that a decompressor needs to look back:
// what xz -9 and zstd --ultra -22 ask for at most is 64 and 128 MiB.
const maxWindow = 128 << 20

// Compression returns what undoes the compression that a file's first bytes
// give away, or nil.
func Compression(magic []byte) func(io.Reader) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		return func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		}
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b, 8}): // RFC 1952, 2.3.1
		return func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}): // The .xz File Format, 2.1.1.1
		return func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, maxWindow) }
	case bytes.HasPrefix(magic, []byte{0x04, 0x22, 0x4d, 0x18}): // LZ4 Frame Format, "Magic Number"
		return func(r io.Reader) (io.Reader, error) { return lz4.NewReader(r), nil }
	}
	return nil
}

// Undo undoes a compression that r's first bytes give away.
func Undo(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, _ := b.Peek(MagicSize)
	if undo := Compression(magic); undo != nil {
		return undo(b)
	}
	return b, nil
}

// maxELF bounds, in bytes, the ELF file that a compressed one becomes in memory.
// Kernel modules with debug information have some tens of megabytes.
const maxELF = 512 << 20

// OpenELF opens the ELF file at path, which may be compressed as the kernel's modules
// are (.ko.xz, .ko.zst, .ko.gz). The caller closes it.
func OpenELF(path string) (*elfsym.Image, error) {
	im, err := elfsym.OpenPath(path)
	if err == nil {
		return im, nil
	}
	data, ok, uerr := read(path)
	switch {
	case uerr != nil:
		return nil, fmt.Errorf("%s: %w", path, uerr)
	case !ok:
		return nil, err
	}
	return elfsym.New(data, path)
}

// read decompresses a regular file. It reports false for one that is not compressed.
func read(path string) (data []byte, ok bool, err error) {
	// O_NONBLOCK: opening a FIFO would block until somebody writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false, nil // elfsym has said so
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, false, nil
	}
	var magic [MagicSize]byte
	n, _ := f.ReadAt(magic[:], 0)
	if Compression(magic[:n]) == nil {
		return nil, false, nil
	}
	err = guard.Library(func() error {
		r, err := Undo(f)
		if err == nil {
			data, err = io.ReadAll(io.LimitReader(r, maxELF+1))
		}
		return err
	})
	if err == nil && len(data) > maxELF {
		err = fmt.Errorf("more than %d MiB once it is decompressed", maxELF>>20)
	}
	return data, true, err
}
