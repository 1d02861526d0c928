package core

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
)

// magicSize is the longest of the magic numbers that compression looks at.
const magicSize = 6

// maxWindow bounds the memory in bytes that a decompressor needs to look back:
// what xz -9 and zstd --ultra -22 ask for at most is 64 and 128 MiB.
const maxWindow = 128 << 20

// compression returns what undoes the compression that a file's first bytes
// give away, or nil.
func compression(magic []byte) func(io.Reader) (io.Reader, error) {
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

// decompress undoes a compression that r's first bytes give away.
func decompress(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	magic, _ := b.Peek(magicSize)
	if undo := compression(magic); undo != nil {
		return undo(b)
	}
	return b, nil
}
