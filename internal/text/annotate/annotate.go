package annotate

import (
	"io"

	"github.com/gatedso/bt/internal/text/lines"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// Options says how Run names.
type Options struct {
	// Target is whose addresses they are: a Space, an Image, or nil for what
	// the text itself tells.
	Target Target

	// Sysroot is the root directory of the paths in the text, if not empty.
	// It and Names serve only without a Target.
	Sysroot string
	// Names returns how a new symbolizer is to name. Its Debug is closed by
	// Run. It may be called concurrently.
	Names func() symbolize.Options

	// Append appends what is to stand behind an address, nothing if there is
	// nothing to say.
	Append func(dst []byte, f *stack.Frame) []byte
	// ReturnAddresses makes addresses of no form return addresses.
	ReturnAddresses bool
	// Workers is the number of goroutines; 0 means GOMAXPROCS, at most 16.
	Workers int
}

// Target names addresses. It is safe for concurrent use.
type Target interface {
	// find names the address that q means, with frames of room. It returns nil
	// if it is none of the target's code. w, if not nil, knows the line above.
	find(q *query, w *worker, room *room) *stack.Frame
	// bits32 reports whether its addresses have eight digits.
	bits32() bool
}

// Run copies r to w and names the addresses in it. What has been read is
// written without waiting for more than the end of its line. The error is that
// of r or w.
func Run(r io.Reader, w io.Writer, o Options) error {
	p, done := o.passer()
	defer done()
	return lines.Pass(r, w, p, o.Workers)
}

// passer makes what stream calls. done is to be called when it calls no more.
func (o *Options) passer() (p lines.Passer, done func()) {
	s := &scanner{o: o}
	target := o.Target
	if target == nil {
		files := &files{sysroot: o.Sysroot, names: o.Names}
		target = files
		s.own = true
		done = func() {
			s.space.release()
			files.close()
		}
	} else {
		done = func() {}
	}
	return lines.Passer{
		Scan: s.scan,
		Worker: func() func(*lines.Piece, []byte, func([]byte) []byte) []byte {
			w := &worker{o: o, target: target}
			return w.work
		},
	}, done
}

// segment is a range of a piece whose addresses one space names.
type segment struct {
	start int
	space *textSpace // nil: none but the target
}

// state is what a piece has to know of the text before it.
type state struct {
	above []byte // the line above, its first bytes
	bt    btState
	segs  []segment
}

// maxAbove is how much of the line above is kept: what signalLine and others
// look for is at the start of it.
const maxAbove = 512

// scanner goes over the pieces in order.
type scanner struct {
	o     *Options
	own   bool // there is no target: the text's maps are it
	above []byte
	bt    btState
	space *textSpace
	maps  mapsReader
}

func (s *scanner) scan(p *lines.Piece) error {
	st := &state{above: s.above, bt: s.bt}
	p.State = st
	if p.Long {
		s.above, s.bt = nil, btState{}
		s.maps.end()
		return nil
	}
	if s.own {
		s.readMaps(p.Data, st)
	}
	s.bt = s.bt.after(p.Data)
	last := trimEnd(p.Data)
	for i := len(last) - 1; i >= 0; i-- {
		if last[i] == '\n' {
			last = last[i+1:]
			break
		}
	}
	s.above = append([]byte(nil), last[:min(len(last), maxAbove)]...)
	return nil
}

// readMaps divides a piece where lines of maps files in it end.
func (s *scanner) readMaps(data []byte, st *state) {
	st.segs = append(st.segs, segment{0, s.space.hold()})
	s.maps.read(data, func(text []byte, end int) {
		s.space.release()
		s.space = newTextSpace(text, s.o)
		st.segs = append(st.segs, segment{end, s.space.hold()})
	})
}

// trimEnd cuts off a line end.
func trimEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}
