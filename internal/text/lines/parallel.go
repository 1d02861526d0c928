package lines

import (
	"io"
	"sync"

	"github.com/gatedso/bt/internal/guard"
)

// job is one chunk on its way from the reader through a worker to the writer.
type job struct {
	chunk
	parts chan part   // its output, from the worker to the writer
	spare chan []byte // two output buffers, which the writer gives back
	sum   tally       // valid once the last part has come
}

type part struct {
	out  []byte
	last bool
}

func newJob() *job {
	j := &job{parts: make(chan part, 1), spare: make(chan []byte, 2)}
	j.spare <- nil
	j.spare <- nil
	return j
}

// pipeline is the state that the goroutines of one run share.
//
// A worker that has much output blocks until its chunk's turn has come. That
// cannot lock up: chunks are taken up in order, so the chunk whose turn it is
// always has a worker of its own.
type pipeline struct {
	free  chan *job // jobs to fill; nil stands for one not yet made
	work  chan *job // to the workers
	order chan *job // the same jobs to the writer, in order
	stop  chan struct{}
	err   error // of the reader; valid once order is closed

	// reading is held by the reader except during a Read, so that a run
	// that ends early can tell that the reader does nothing else any more.
	reading sync.Mutex
}

func runParallel(r io.Reader, w io.Writer, wk work, lim limits, workers int) (Result, error) {
	return runPipeline(w, wk, lim, workers, func(p *pipeline) func(*chunk) (error, error) {
		in := newSource(unlockedReader{r, p}, lim)
		return func(c *chunk) (scanErr, inErr error) {
			if inErr = in.next(c); !p.stopped() {
				scanErr = wk.scan(c)
			}
			return scanErr, inErr
		}
	})
}

// runPipeline answers the chunks that a function fills, which feed returns. That
// returns an error that ends the input with this chunk, and the input's own, io.EOF
// with the last one.
func runPipeline(w io.Writer, wk work, lim limits, workers int, feed func(p *pipeline) func(*chunk) (scanErr, inErr error)) (Result, error) {
	n := 2*workers + 1
	p := &pipeline{
		free:  make(chan *job, n),
		work:  make(chan *job, n),
		order: make(chan *job, n),
		stop:  make(chan struct{}),
	}
	for range n {
		p.free <- nil
	}
	go guard.Run(func() { p.read(feed(p)) })
	var wg sync.WaitGroup
	for range workers {
		guard.Go(&wg, func() { p.answer(wk, lim) })
	}
	var sum summary
	err := p.write(w, &sum)
	if err != nil {
		close(p.stop)
		p.reading.Lock() // the reader is in a Read, or gone
		defer p.reading.Unlock()
	} else {
		err = p.err
	}
	wg.Wait()
	return sum.Result, err
}

// read fills jobs until the input ends or the run is stopped.
func (p *pipeline) read(fill func(*chunk) (scanErr, inErr error)) {
	p.reading.Lock()
	defer p.reading.Unlock()
	defer close(p.order)
	defer close(p.work)
	for {
		var j *job
		select {
		case j = <-p.free:
		case <-p.stop:
			return
		}
		if j == nil {
			j = newJob()
		}
		scanErr, inErr := fill(&j.chunk)
		if p.stopped() {
			return
		}
		// Neither send blocks: both channels hold all jobs there are.
		p.work <- j
		p.order <- j
		if scanErr != nil {
			p.err = scanErr
			return
		}
		if inErr != nil {
			if inErr != io.EOF {
				p.err = inErr
			}
			return
		}
	}
}

// unlockedReader releases the pipeline's reading lock during a Read.
type unlockedReader struct {
	r io.Reader
	p *pipeline
}

func (u unlockedReader) Read(b []byte) (int, error) {
	u.p.reading.Unlock()
	n, err := u.r.Read(b)
	u.p.reading.Lock()
	if u.p.stopped() {
		return 0, io.ErrClosedPipe
	}
	return n, err
}

func (p *pipeline) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// answer is a worker: it answers chunks until there are no more.
func (p *pipeline) answer(wk work, lim limits) {
	a := wk.worker()
	to := a.sink()
	to.flushAt = lim.flush
	var j *job
	to.flush = func(out []byte) ([]byte, error) {
		select {
		case j.parts <- part{out: out}:
		case <-p.stop:
			return nil, io.ErrClosedPipe
		}
		select {
		case out = <-j.spare:
			return out, nil
		case <-p.stop:
			return nil, io.ErrClosedPipe
		}
	}
	for {
		select {
		case j = <-p.work:
		case <-p.stop:
			return
		}
		if j == nil { // closed: no more input
			return
		}
		if to.out = <-j.spare; to.out == nil {
			to.out = make([]byte, 0, lim.flush+lim.flush/8)
		}
		if a.answer(&j.chunk) != nil {
			return
		}
		j.sum = to.tally
		select {
		case j.parts <- part{out: to.out, last: true}:
		case <-p.stop:
			return
		}
	}
}

// write writes what the workers hand over, chunk by chunk in order. It
// returns the error of w, or nil when the input has ended.
func (p *pipeline) write(w io.Writer, sum *summary) error {
	for j := range p.order {
		for {
			pt := <-j.parts
			if err := write(w, pt.out); err != nil {
				return err
			}
			j.spare <- pt.out[:0]
			if pt.last {
				break
			}
		}
		sum.add(&j.sum)
		p.free <- j
	}
	return nil
}
