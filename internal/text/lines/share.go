package lines

import (
	"io"
	"runtime"

	"github.com/gatedso/bt/stack"
)

// share is addresses of one space to be answered one after the other.
type share struct {
	space    Space // nil: there is none
	wordSize int
	addrs    []address
	found    Found // unless nil, what names them: addrs are those from first on
	first    int
}

// share answers the addresses of s.
func (a *answerer) share(s *share) {
	for first := 0; first < len(s.addrs) && a.err == nil; first += batch {
		part := s.addrs[first:min(first+batch, len(s.addrs))]
		frames := a.room[:len(part)]
		for i, addr := range part {
			frames[i].PC, frames[i].Exact = addr.pc, addr.exact
		}
		a.name(s, frames, s.first+first)
		for len(frames) > 0 && a.err == nil {
			var n int
			a.out, n = a.opts.Append(a.out, frames, s.wordSize, a.flushAt)
			frames = frames[n:]
			if len(a.out) >= a.flushAt {
				a.out, a.err = a.flush(a.out)
			}
		}
	}
}

// name names frames, which are those of s.found from the first-th on.
func (a *answerer) name(s *share, frames []stack.Frame, first int) {
	switch {
	case s.found != nil:
		s.found.Frames(frames, first)
	case s.space != nil && !a.opts.Raw:
		s.space.Frames(frames)
	default:
		a.tally.noSpace = a.tally.noSpace || s.space == nil
		for i := range frames {
			f := &frames[i]
			f.Module, f.Names, f.Miss = nil, f.Names[:0], ""
		}
	}
}

// shareSize is how many of the addresses that were looked up together a worker
// answers at once.
const shareSize = 512

// spread answers addresses that have been looked up on all CPUs. It reports false,
// and does nothing, where that is not worth it.
func (a *answerer) spread(s *share) bool {
	workers := min(runtime.GOMAXPROCS(0), defaultWorkers)
	if !a.opts.Bulk || len(s.addrs) <= 2*shareSize || workers < 2 {
		return false
	}
	if a.out, a.err = a.flush(a.out); a.err != nil {
		return true
	}
	rest := *s
	feed := func(*pipeline) func(*chunk) (error, error) {
		return func(c *chunk) (scanErr, inErr error) {
			n := min(shareSize, len(rest.addrs))
			c.found = rest
			c.found.addrs = rest.addrs[:n]
			rest.addrs, rest.first = rest.addrs[n:], rest.first+n
			if len(rest.addrs) == 0 {
				inErr = io.EOF
			}
			return nil, inErr
		}
	}
	wk := work{worker: func() worker { return &sharer{answerer{opts: a.opts}} }}
	_, a.err = runPipeline(flusher{a}, wk, limits{flush: a.flushAt}, workers, feed)
	return true
}

// sharer is the worker of spread.
type sharer struct{ answerer }

func (a *sharer) answer(c *chunk) error {
	a.err, a.tally = nil, tally{}
	a.share(&c.found)
	c.found = share{}
	return a.err
}

// flusher writes to where an answerer's output goes.
type flusher struct{ a *answerer }

func (f flusher) Write(b []byte) (int, error) {
	if _, err := f.a.flush(b); err != nil {
		return 0, err
	}
	return len(b), nil
}
