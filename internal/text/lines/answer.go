package lines

import (
	"bytes"

	"github.com/gatedso/bt/stack"
)

// answerer turns chunks into output.
type answerer struct {
	output
	opts *Options

	ahead []address // read and not yet answered, at most most
	most  int
	taken int // of ahead, to be answered before the next line of another kind
	// found, unless nil, is of all addresses of the segment: ahead are those from the
	// first-th on that are not answered.
	found Found
	first int
	dry   bool // nothing is answered yet
	mixed bool // other lines stand among the addresses
	room  [batch]stack.Frame
}

// address is an address to be answered.
type address struct {
	pc    uint64
	exact bool
}

// batch is how many addresses are named at once.
const batch = 64

// tally is what an answered chunk adds to the Result.
type tally struct {
	lines     int // newlines in the chunk
	malformed int
	firstLine int // the first malformed line, counted from 0 in the chunk
	firstText string
	noSpace   bool
}

// answer appends the answers of c to a.out, flushing where it grows beyond
// a.flushAt, and sets a.tally. It returns the error of flush.
func (a *answerer) answer(c *chunk) error {
	a.tally = tally{lines: bytes.Count(c.data, []byte("\n"))}
	a.ahead = a.ahead[:0]
	a.err = nil
	if c.long != notLong {
		if c.long == longFirst && !isComment(c.data) {
			a.malformed(c, 0, c.data)
		}
		a.out = append(a.out, c.data...)
		return nil
	}
	for i := range c.segs {
		a.segment(c, &c.segs[i])
		if a.err != nil {
			break
		}
	}
	return a.err
}

func (a *answerer) segment(c *chunk, seg *segment) {
	a.ahead, a.taken, a.found, a.first = a.ahead[:0], 0, nil, 0
	a.most = batch
	if b, ok := seg.space.(Bulk); ok && a.opts.Bulk && !a.opts.Raw {
		if a.most = MaxBulk; a.lookUp(c, seg, b) {
			return
		}
	}
	all := a.ahead
	a.lines(c, seg)
	a.batch(seg.space)
	if a.found != nil {
		a.ahead = all[:0]
	}
}

// lookUp looks up all addresses of a segment together: lines of another kind, such as
// the heads of threads, stand between them. It reports true when there are none, and
// the addresses are answered.
func (a *answerer) lookUp(c *chunk, seg *segment, b Bulk) bool {
	if n := min(bytes.Count(c.data[seg.start:seg.end], []byte("\n"))+1, MaxBulk); n > cap(a.ahead) {
		a.ahead = make([]address, 0, n)
	}
	a.dry, a.mixed = true, false
	a.lines(c, seg)
	a.dry = false
	all := a.ahead
	switch {
	case len(all) > MaxBulk:
		a.ahead = a.ahead[:0]
		return false
	case len(all) == 0:
		return !a.mixed
	}
	a.found = b.Find(len(all), func(i int) (uint64, bool) { return all[i].pc, all[i].exact })
	if a.mixed {
		return false
	}
	a.taken = len(all)
	a.batch(seg.space)
	return true
}

// lines goes over the lines of a segment. When a.dry is set it takes the addresses
// only, but no more than MaxBulk and one, and sets a.mixed for a line of another kind.
func (a *answerer) lines(c *chunk, seg *segment) {
	data, k := c.data[:seg.end], seg.kind
	for pos := seg.start; pos < len(data) && a.err == nil; {
		// Most lines are one address and a newline.
		digits := data[pos:]
		if has0x(digits) {
			digits = digits[2:]
		}
		v, w := hexPrefix(digits)
		if w > 0 && w <= 16 && w < len(digits) && digits[w] == '\n' {
			a.addr(seg.space, v, &k)
			pos = len(data) - len(digits) + w + 1
			continue
		}
		end := lineEnd(data, pos)
		a.line(c, seg.space, &k, pos, end)
		pos = end
	}
}

// addr takes an address, to be answered before the next line of another kind.
func (a *answerer) addr(space Space, v uint64, k *kind) {
	exact := k.next(a.opts.ReturnAddresses)
	switch {
	case a.dry:
		if len(a.ahead) <= MaxBulk {
			a.ahead = append(a.ahead, address{v, exact})
		}
		return
	case a.found == nil:
		if len(a.ahead) == a.most {
			a.batch(space)
		}
		a.ahead = append(a.ahead, address{v, exact})
	}
	a.taken++
}

// batch answers the addresses that have been taken.
func (a *answerer) batch(space Space) {
	if a.taken == 0 {
		return
	}
	all := a.ahead[:a.taken]
	s := share{space: space, addrs: all, found: a.found, first: a.first, wordSize: 8}
	if space != nil {
		s.wordSize = space.WordSize()
	}
	if a.found != nil { // those that follow are looked up, too
		a.ahead, a.first = a.ahead[a.taken:], a.first+a.taken
	} else {
		a.ahead = a.ahead[:0]
	}
	a.taken = 0
	if b, ok := space.(Bulk); ok && s.found == nil && !a.opts.Raw {
		s.found = b.Find(len(all), func(i int) (uint64, bool) { return all[i].pc, all[i].exact })
	}
	if s.found == nil || !a.spread(&s) {
		a.share(&s)
	}
}

// line answers the line c.data[pos:end].
func (a *answerer) line(c *chunk, space Space, k *kind, pos, end int) {
	raw := c.data[pos:end]
	l := parseLine(raw)
	switch l.form {
	case formHex:
		for t := l.text; a.err == nil; {
			t = trimLeft(t)
			v, w := hexField(t)
			if w == 0 {
				return
			}
			t = t[w:]
			a.addr(space, v, k)
		}
		return
	case formAddr:
		a.addr(space, l.addr, k)
		return
	case formModule:
		if space == nil {
			a.tally.noSpace = true
		} else if addr, ok := space.Locate(string(l.module), l.addr); ok {
			a.addr(space, addr, k)
			return
		}
		k.skip(1)
	case formInlined:
		a.mixed = true
		return
	case formComment:
		k.steer(l.text)
	}
	if a.mixed = true; a.dry {
		return
	}
	if a.batch(space); a.err != nil {
		return
	}
	if l.form == formModule || l.form == formOther {
		a.malformed(c, pos, raw)
	}
	a.pass(raw)
}

// pass passes a line through as it is.
func (a *answerer) pass(raw []byte) {
	a.out = append(a.out, raw...)
	if len(a.out) >= a.flushAt {
		a.out, a.err = a.flush(a.out)
	}
}

// malformed notes that the line at pos is malformed.
func (a *answerer) malformed(c *chunk, pos int, raw []byte) {
	if a.tally.malformed == 0 {
		a.tally.firstLine = bytes.Count(c.data[:pos], []byte("\n"))
		a.tally.firstText = excerpt(raw)
	}
	a.tally.malformed++
}

func excerpt(raw []byte) string {
	raw = bytes.TrimRight(raw[:min(len(raw), excerptLen)], "\r\n")
	return string(raw)
}

func isComment(b []byte) bool {
	b = trimLeft(b)
	return len(b) > 0 && b[0] == '#'
}
