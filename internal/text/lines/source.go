package lines

import (
	"bytes"
	"io"
)

// chunk is a piece of the input that consists of whole lines, or a piece of a
// line that is too long to be parsed.
type chunk struct {
	buf  []byte // owned by the chunk, reused
	data []byte // the piece, in buf
	long longLine
	segs []segment

	piece Piece // the same for Pass
	found share // the same for addresses that have been looked up
}

// longLine says whether a chunk is a piece of an overlong line.
type longLine uint8

const (
	notLong   longLine = iota
	longFirst          // the first piece of it
	longMore           // a further one
)

// source cuts an input into chunks.
type source struct {
	r    io.Reader
	lim  limits
	tail []byte // read, but behind the end of the last chunk
	long bool   // in the middle of an overlong line
	err  error  // of r, to be returned with the last chunk
}

func newSource(r io.Reader, lim limits) *source {
	return &source{r: r, lim: lim}
}

// next fills c with what can be had of the input without waiting longer than
// for one line. With the last chunk, which may be empty, it returns io.EOF or
// the error of the reader.
func (s *source) next(c *chunk) error {
	// A buffer never exceeds the longest line and its newline: so a line
	// is overlong if and only if it fills one, however the input arrives.
	most := s.lim.maxLine + 1
	if c.buf == nil || len(c.buf) > s.lim.chunk || len(c.buf) < len(s.tail) {
		c.buf = make([]byte, min(max(s.lim.chunk, len(s.tail)), most))
	}
	c.long = notLong
	n := copy(c.buf, s.tail)
	s.tail = s.tail[:0]
	for seen := 0; ; {
		if cut := s.cut(c.buf[seen:n]); cut > 0 {
			cut += seen
			s.tail = append(s.tail, c.buf[cut:n]...)
			c.data = c.buf[:cut]
			if s.long {
				c.long = longMore
				s.long = c.buf[cut-1] != '\n'
			}
			return s.end()
		}
		seen = n
		if n == most {
			s.long = true
			c.long = longFirst
			c.data = c.buf
			return nil
		}
		if s.err != nil {
			c.data = c.buf[:n]
			return s.end()
		}
		if n == len(c.buf) {
			grown := make([]byte, min(2*n, most))
			copy(grown, c.buf)
			c.buf = grown
		}
		n += s.read(c.buf[n:])
	}
}

// cut returns the length of the part of b that makes a chunk, 0 for none yet.
func (s *source) cut(b []byte) int {
	if !s.long {
		return bytes.LastIndexByte(b, '\n') + 1
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// end returns the reader's error once nothing that it gave is left.
func (s *source) end() error {
	if len(s.tail) > 0 {
		return nil
	}
	return s.err
}

// read reads at least one byte, or sets s.err.
func (s *source) read(b []byte) int {
	for range 100 {
		n, err := s.r.Read(b)
		s.err = err
		if n > 0 || err != nil {
			return n
		}
	}
	s.err = io.ErrNoProgress
	return 0
}
