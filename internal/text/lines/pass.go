package lines

import "io"

// Piece is a part of a text that is passed through.
type Piece struct {
	Data  []byte // whole lines, but for the end of the text; not to be kept
	Long  bool   // instead, a part of a line that is longer than a megabyte
	State any    // what Scan leaves for Work
}

// Passer rewrites a text piece by piece.
type Passer struct {
	// Scan sees the pieces in their order, one at a time, before they are
	// worked on. Its error ends the text with this piece.
	Scan func(p *Piece) error
	// Worker returns the function that rewrites pieces, called once for each
	// goroutine that does so: it appends what is to be written to dst and
	// returns that. Once in a while it should hand dst to flush, which returns
	// another buffer to append to.
	Worker func() func(p *Piece, dst []byte, flush func(dst []byte) []byte) []byte
}

// Pass reads r to its end and writes to w what o makes of it, in order, in
// constant memory, on several CPUs. What has been read is written without
// waiting for more than the end of its line. workers is as in Options, and
// errors are as those of Run.
func Pass(r io.Reader, w io.Writer, o Passer, workers int) error {
	return pass(r, w, o, workers, limits{chunk: defaultChunk, flush: defaultFlush, maxLine: defaultMaxLine})
}

func pass(r io.Reader, w io.Writer, o Passer, workers int, lim limits) error {
	_, err := pump(r, w, work{
		scan: func(c *chunk) error {
			c.piece = Piece{Data: c.data, Long: c.long != notLong}
			return o.Scan(&c.piece)
		},
		worker: func() worker { return &passer{work: o.Worker()} },
	}, workers, lim)
	return err
}

// passer is the worker of Pass.
type passer struct {
	output
	work func(p *Piece, dst []byte, flush func(dst []byte) []byte) []byte
}

func (a *passer) answer(c *chunk) error {
	a.err = nil
	a.out = a.work(&c.piece, a.out, a.hand)
	c.piece = Piece{}
	return a.err
}

// hand flushes once there is enough to write. After an error, what the worker
// still makes is dropped.
func (a *passer) hand(dst []byte) []byte {
	switch {
	case a.err != nil:
		return dst[:0]
	case len(dst) < a.flushAt:
		return dst
	}
	var out []byte
	if out, a.err = a.flush(dst); a.err != nil {
		return nil
	}
	return out
}
