package jitmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxPerfMap is the size from which on a perf map is refused.
const maxPerfMap = 1 << 30

// usualLine is how long lines are on average.
const usualLine = 48

// readPerfMap reads a perf map of size bytes: a line for each function,
// `START SIZE NAME`, both numbers in hexadecimal, with or without 0x
// (tools/perf/Documentation/jit-interface.txt). Later lines override earlier
// ones. Lines of another form are left out, and so is an unfinished last line:
// its writer has not got to the end of the name. With an error the table
// holds what was read before.
func readPerfMap(r io.ReaderAt, size int64) (*Table, error) {
	return readAll(&perfMap{}, r, size)
}

// perfMap reads a perf map that grows.
type perfMap struct {
	off  int64
	skip bool // within the rest of a line that is too long
}

func (p *perfMap) offset() int64 { return p.off }

func (p *perfMap) read(r io.ReaderAt, size int64, b *builder) error {
	if size > maxPerfMap {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	b.expect((size - p.off) / usualLine)
	// A line longer than the buffer is cut; its name would be anyhow.
	buf := make([]byte, min(max(size-p.off, 0), chunkSize))
	have := 0
	for p.off+int64(have) < size {
		want := min(int64(len(buf)-have), size-p.off-int64(have))
		n, err := r.ReadAt(buf[have:have+int(want)], p.off+int64(have))
		have += n
		rest := buf[:have]
		for {
			i := bytes.IndexByte(rest, '\n')
			if len(rest) == 0 || i < 0 && len(rest) < chunkSize {
				break
			}
			ends := i >= 0
			if !ends {
				i = len(rest) - 1
			}
			if !p.skip {
				line := rest[:i]
				if !ends {
					line = rest
				}
				if err := perfLine(line, b); err != nil {
					return err
				}
			}
			p.skip = !ends
			p.off += int64(i + 1)
			rest = rest[i+1:]
		}
		have = copy(buf, rest)
		if errors.Is(err, io.EOF) {
			return nil // shorter than it was
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// perfLine takes in one line.
func perfLine(line []byte, b *builder) error {
	start, rest := number(line)
	size, rest := number(rest)
	rest = bytes.TrimSuffix(rest, []byte("\r"))
	if len(rest) == 0 {
		return nil
	}
	return b.add(start, size, b.keep(rest))
}

// number reads a hexadecimal number and the blanks behind it. It returns nil
// for the rest where there is no such thing.
func number(b []byte) (v uint64, rest []byte) {
	if len(b) > 2 && b[0] == '0' && b[1]|0x20 == 'x' {
		b = b[2:]
	}
	i := 0
	for ; i < len(b); i++ {
		c := b[i]
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			if i == 0 || c != ' ' && c != '\t' {
				return 0, nil
			}
			for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
				i++
			}
			return v, b[i:]
		}
		if v>>60 != 0 {
			return 0, nil
		}
		v = v<<4 | uint64(c)
	}
	return 0, nil
}
