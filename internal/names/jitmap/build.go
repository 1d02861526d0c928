package jitmap

import (
	"errors"
	"math"
	"slices"
)

// What a table may grow to, far above what programs have: 4 million functions,
// which take 100 MB, and 512 MB of names.
const (
	maxSpans  = 1 << 22
	maxChunks = 512 << 20 / chunkSize
)

// minBatch is how many functions are collected before they are put into order.
const minBatch = 1 << 17

// ErrTooLarge is the error for a file that is refused, or not read to its end,
// because of what it would take to keep.
var ErrTooLarge = errors.New("too large")

// builder makes a Table from functions in the order in which they were reported.
type builder struct {
	los   []uint64 // as in Table; replaced, never changed
	spans []span
	names names
	batch []record // reported since
}

// record says that from here on a range of addresses belongs to a function, or,
// without a name, to nobody.
type record struct {
	lo   uint64
	size uint32
	back uint32
	seq  uint32 // the higher wins
	name name
}

func (r *record) hi() uint64 { return r.lo + uint64(r.size) }

// expect makes room for about n records.
func (b *builder) expect(n int64) {
	b.batch = slices.Grow(b.batch, int(min(n, minBatch)))
}

// keep adds a name.
func (b *builder) keep(text []byte) name { return b.names.add(text) }

// add says that the function called n lies at [start, start+size) from now on;
// the zero name, that none does. What cannot be true is left out: no function
// has 4 GiB.
func (b *builder) add(start, size uint64, n name) error {
	if size == 0 || size > math.MaxUint32 || start+size < start {
		return nil
	}
	b.batch = append(b.batch, record{lo: start, size: uint32(size), seq: uint32(len(b.batch) + 1), name: n})
	// Batches that grow with what there is keep the work per record small.
	if len(b.batch) >= max(minBatch, len(b.los)) {
		b.merge()
	}
	if len(b.los) > maxSpans || len(b.names) > maxChunks {
		return ErrTooLarge
	}
	return nil
}

// table returns what has been added so far.
func (b *builder) table() *Table {
	b.merge()
	// The last chunk goes on being filled: its length is the table's own.
	return newTable(b.los, b.spans, slices.Clone(b.names))
}

// merge takes the batch into the spans, by a sweep over the addresses. At each,
// the record that covers it and came last wins.
func (b *builder) merge() {
	if len(b.batch) == 0 {
		return
	}
	batch := b.batch
	sortRecords(batch)
	oldLos, oldSpans := b.los, b.spans
	n := len(oldLos) + len(batch)
	b.los, b.spans = make([]uint64, 0, n), make([]span, 0, n)

	const end = math.MaxUint64 // no record starts there
	next := func() uint64 {
		lo := uint64(end)
		if len(oldLos) > 0 {
			lo = oldLos[0]
		}
		if len(batch) > 0 {
			lo = min(lo, batch[0].lo)
		}
		return lo
	}
	var open latest
	at, start := uint64(0), next()
	for start != end || len(open) > 0 {
		switch {
		case len(open) == 0:
			at = start
		case open[0].hi() <= at:
			open.pop()
			continue
		case start > at:
			stop := min(open[0].hi(), start)
			b.emit(at, stop, &open[0])
			at = stop
			continue
		}
		for len(oldLos) > 0 && oldLos[0] == at {
			s := oldSpans[0]
			open.push(record{lo: at, size: s.size, back: s.back, name: s.name})
			oldLos, oldSpans = oldLos[1:], oldSpans[1:]
		}
		for len(batch) > 0 && batch[0].lo == at {
			open.push(batch[0])
			batch = batch[1:]
		}
		start = next()
	}
	b.batch = b.batch[:0]
}

// emit gives [lo, hi) to r.
func (b *builder) emit(lo, hi uint64, r *record) {
	if r.name.len == 0 {
		return
	}
	s := span{uint32(hi - lo), uint32(lo-r.lo) + r.back, r.name}
	if n := len(b.los); n > 0 {
		// r itself, at which something else began that does not show.
		last := &b.spans[n-1]
		if b.los[n-1]+uint64(last.size) == lo && last.name == s.name && b.los[n-1]-uint64(last.back) == lo-uint64(s.back) {
			last.size += s.size
			return
		}
	}
	b.los, b.spans = append(b.los, lo), append(b.spans, s)
}

// latest is a heap of records, the one that came last on top.
type latest []record

func (h *latest) push(r record) {
	*h = append(*h, r)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].seq >= s[i].seq {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *latest) pop() {
	s := *h
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(s) {
			break
		}
		if down+1 < len(s) && s[down+1].seq > s[down].seq {
			down++
		}
		if s[i].seq >= s[down].seq {
			break
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
	*h = s
}
