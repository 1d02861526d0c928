package lines

import "bytes"

// answerer turns chunks into output.
type answerer struct {
	output
	returns bool // Options.ReturnAddresses

	ahead []uint64 // plain addresses read and not yet answered
}

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
	data, k := c.data[:seg.end], seg.kind
	most := MaxBatch
	if _, ok := seg.space.(Bulk); ok {
		most = MaxBulk
	}
	a.ahead = a.ahead[:0]
	for pos := seg.start; pos < len(data) && a.err == nil; {
		// Most lines are one address and a newline.
		digits := data[pos:]
		if has0x(digits) {
			digits = digits[2:]
		}
		v, w := hexPrefix(digits)
		if w > 0 && w <= 16 && w < len(digits) && digits[w] == '\n' {
			if len(a.ahead) == most {
				a.batch(seg.space, &k)
			}
			a.ahead = append(a.ahead, v)
			pos = len(data) - len(digits) + w + 1
			continue
		}
		a.batch(seg.space, &k)
		if a.err != nil {
			return
		}
		end := lineEnd(data, pos)
		a.line(c, seg.space, &k, pos, end)
		pos = end
	}
	a.batch(seg.space, &k)
}

// batch answers the addresses in a.ahead, in their order.
func (a *answerer) batch(space Space, k *kind) {
	addrs := a.ahead
	a.ahead = a.ahead[:0]
	if bulk, ok := space.(Bulk); ok {
		a.bulk(bulk, addrs, k)
		return
	}
	b, ok := space.(Batcher)
	for len(addrs) > 0 && a.err == nil {
		if !ok || k.exact > 0 || len(addrs) == 1 {
			a.addr(space, addrs[0], k.next(a.returns))
			addrs = addrs[1:]
			continue
		}
		// All the rest are of one kind.
		out, n := b.AnswerAll(a.out, addrs, k.next(a.returns), a.flushAt)
		addrs = addrs[n:]
		if a.out = out; len(out) >= a.flushAt {
			a.out, a.err = a.flush(out)
		}
	}
}

// bulk is batch for a Bulk.
func (a *answerer) bulk(b Bulk, addrs []uint64, k *kind) {
	for len(addrs) > 0 && a.err == nil && (k.exact > 0 || len(addrs) == 1) {
		a.addr(b, addrs[0], k.next(a.returns))
		addrs = addrs[1:]
	}
	if len(addrs) == 0 || a.err != nil {
		return
	}
	found := b.Find(addrs, k.next(a.returns))
	for i := 0; i < len(addrs) && a.err == nil; {
		out, n := found.Append(a.out, i, a.flushAt)
		i += n
		if a.out = out; len(out) >= a.flushAt {
			a.out, a.err = a.flush(out)
		}
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
				break
			}
			t = t[w:]
			a.addr(space, v, k.next(a.returns))
		}
	case formAddr:
		a.addr(space, l.addr, k.next(a.returns))
	case formModule:
		exact := k.next(a.returns)
		if space == nil {
			a.tally.noSpace = true
		} else if addr, ok := space.Locate(string(l.module), l.addr); ok {
			a.addr(space, addr, exact)
			break
		}
		a.malformed(c, pos, raw)
		a.pass(raw)
	case formInlined:
	case formComment:
		k.steer(l.text)
		a.pass(raw)
	case formBlank:
		a.pass(raw)
	default:
		a.malformed(c, pos, raw)
		a.pass(raw)
	}
}

// addr answers one address.
func (a *answerer) addr(space Space, v uint64, exact bool) {
	if space == nil {
		a.tally.noSpace = true
		a.out = appendRaw(a.out, v)
	} else {
		a.out = space.Answer(a.out, v, exact)
	}
	if len(a.out) >= a.flushAt {
		a.out, a.err = a.flush(a.out)
	}
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

// appendRaw appends an address alone.
func appendRaw(dst []byte, v uint64) []byte {
	const digits = "0123456789abcdef"
	var b [17]byte
	for i := range 16 {
		b[i] = digits[v>>(60-4*i)&15]
	}
	b[16] = '\n'
	return append(dst, b[:]...)
}
