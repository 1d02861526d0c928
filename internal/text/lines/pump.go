package lines

import (
	"io"
	"runtime"
)

// work is what is done with the chunks of an input.
type work struct {
	scan   func(c *chunk) error // called in order; an error ends the input
	worker func() worker        // called once per goroutine
}

// worker answers chunks, of which other workers have the ones before and after.
type worker interface {
	answer(c *chunk) error
	sink() *output
}

// output is where a worker leaves what it makes of a chunk.
type output struct {
	flushAt int
	// flush takes the output so far and returns a buffer to go on with.
	flush func(out []byte) ([]byte, error)

	out   []byte
	tally tally
	err   error // of flush
}

func (o *output) sink() *output { return o }

// pump reads r, has its chunks worked on and writes the outcome to w, in order.
func pump(r io.Reader, w io.Writer, wk work, workers int, lim limits) (Result, error) {
	if workers <= 0 {
		workers = min(runtime.GOMAXPROCS(0), defaultWorkers)
	}
	if workers == 1 {
		return runSerial(r, w, wk, lim)
	}
	return runParallel(r, w, wk, lim, workers)
}

// runSerial reads, answers and writes in turn.
func runSerial(r io.Reader, w io.Writer, wk work, lim limits) (Result, error) {
	var sum summary
	in := newSource(r, lim)
	var c chunk
	a := wk.worker()
	to := a.sink()
	to.flushAt = lim.flush
	to.flush = func(out []byte) ([]byte, error) {
		err := write(w, out)
		return out[:0], err
	}
	for {
		inErr := in.next(&c)
		scanErr := wk.scan(&c)
		if err := a.answer(&c); err != nil {
			return sum.Result, err
		}
		if err := write(w, to.out); err != nil {
			return sum.Result, err
		}
		to.out = to.out[:0]
		sum.add(&to.tally)
		if scanErr != nil {
			return sum.Result, scanErr
		}
		if inErr == io.EOF {
			return sum.Result, nil
		}
		if inErr != nil {
			return sum.Result, inErr
		}
	}
}
