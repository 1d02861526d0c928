package annotate

import (
	"bytes"

	"github.com/gatedso/bt/internal/text/lines"
	"github.com/gatedso/bt/stack"
)

// worker names the addresses of pieces.
type worker struct {
	o      *Options
	target Target // without one the files that the text names

	data  []byte // the piece
	st    *state
	space *textSpace // what the text's maps say, at the line

	bt    btState
	btEnd int // bt is the state behind data[:btEnd]

	room, roomAbove room

	a           around // of the number that is looked at
	q           query
	signal      bool // what afterSignal says of the line, if known
	signalKnown bool

	plain []byte // a line without control sequences
	where []int  // of each of plain's bytes, in the line
	name  []byte
}

// work copies a piece to dst.
func (w *worker) work(p *lines.Piece, dst []byte, flush func([]byte) []byte) []byte {
	if p.Long {
		return append(dst, p.Data...)
	}
	w.data, w.st = p.Data, p.State.(*state)
	w.space = nil
	w.bt, w.btEnd = w.st.bt, 0
	segs := w.st.segs
	f := finder{data: p.Data, x: -1}
	copied := 0
	for pos := 0; ; {
		t, ok := f.token(pos)
		if !ok {
			break
		}
		start := pos + bytes.LastIndexByte(p.Data[pos:t.start], '\n') + 1
		end := lineEnd(p.Data, t.end)
		for len(segs) > 0 && segs[0].start <= start {
			w.space, segs = segs[0].space, segs[1:]
		}
		dst = append(dst, p.Data[copied:start]...)
		dst = flush(w.line(dst, start, end, &f, t))
		copied, pos = end, end
	}
	dst = append(dst, p.Data[copied:]...)
	for _, s := range w.st.segs {
		s.space.release()
	}
	w.data, w.st, w.space = nil, nil, nil
	return dst
}

// line copies the line data[start:end] to dst. t is the first number in it, and
// f finds the others.
func (w *worker) line(dst []byte, start, end int, f *finder, t token) []byte {
	raw := w.data[start:end]
	text := trimEnd(raw)
	base := start // of f's positions
	ok := true
	w.where = w.where[:0]
	if bytes.IndexByte(text, 0x1b) >= 0 {
		text = w.strip(text)
		f, base = &finder{data: text, x: -1}, 0
		t, ok = f.token(0)
	}
	a, q := &w.a, &w.q
	*a = around{line: text, in: w, start: start, end: end}
	w.signalKnown = false
	copied := 0
	for ; ok && t.end <= base+len(text); t, ok = f.token(base + a.past) {
		t.start -= base
		t.end -= base
		a.tok = t
		a.left = text[max(0, t.start-maxContext):t.start]
		a.right = text[t.end:min(len(text), t.end+maxContext)]
		skip, found := a.form(q)
		a.past = max(t.end, skip)
		if !found || q.named {
			continue
		}
		named := w.find(q, true)
		if named == nil {
			continue
		}
		if w.name = w.o.Append(w.name[:0], named); len(w.name) == 0 {
			continue
		}
		at := t.end
		if len(w.where) > 0 {
			at = w.where[t.end-1] + 1
		}
		dst = append(dst, raw[copied:at]...)
		dst = append(dst, w.name...)
		copied = at
	}
	return append(dst, raw[copied:]...)
}

// strip returns a line without its control sequences, and sets w.where.
func (w *worker) strip(line []byte) []byte {
	w.plain = w.plain[:0]
	for i := 0; i < len(line); {
		if n := ansiLen(line[i:]); n > 0 {
			i += n
			continue
		}
		w.plain = append(w.plain, line[i])
		w.where = append(w.where, i)
		i++
	}
	return w.plain
}

func (w *worker) bits32() bool {
	if w.space != nil {
		return w.space.bits32()
	}
	return w.target.bits32()
}

// above returns the line above the one at start.
func (w *worker) above(start int) []byte {
	if start == 0 {
		return w.st.above
	}
	line := trimEnd(w.data[bytes.LastIndexByte(w.data[:start-1], '\n')+1 : start])
	return line[:min(len(line), maxAbove)]
}

// btFrame tells whether the frame of bt at data[start:end] is exact.
func (w *worker) btFrame(start, end int) bool {
	if start > w.btEnd {
		from := w.btEnd
		if first := from + stackStart(w.data[from:start], start-from); first > from {
			w.bt = btState{}
			from = first
		}
		for from < start {
			next := lineEnd(w.data, from)
			w.bt.line(trimEnd(w.data[from:next]))
			from = next
		}
	}
	w.btEnd = end
	return w.bt.frame(w.o.ReturnAddresses)
}

// find names the address that q means, nil if it is nobody's code; above says
// whether the line above counts.
func (w *worker) find(q *query, above bool) *stack.Frame {
	// To know the line above its addresses are named, without one above that.
	know, room := w, &w.room
	if !above {
		know, room = nil, &w.roomAbove
	}
	if w.space != nil {
		if f := w.space.find(q, know, room); f != nil {
			return f
		}
	}
	return w.target.find(q, know, room)
}

// afterSignal reports whether the line above stands for a signal, or is a frame
// in a signal trampoline.
func (w *worker) afterSignal() bool {
	if !w.signalKnown {
		w.signalKnown, w.signal = true, w.isTrampoline(w.above(w.a.start))
	}
	return w.signal
}

func (w *worker) isTrampoline(line []byte) bool {
	if signalLine(line) {
		return true
	}
	f := finder{data: line, x: -1}
	for pos := 0; ; {
		t, ok := f.token(pos)
		if !ok {
			return false
		}
		pos = t.end
		a := around{line: line, tok: t, left: line[:t.start], right: line[t.end:], in: w, alone: true}
		var q query
		if _, ok := a.form(&q); !ok || !q.hasAddr {
			continue // the offset in front of glibc's address
		}
		q.exact, q.probe = true, true
		w.find(&q, false)
		return q.trampoline
	}
}
