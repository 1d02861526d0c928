package v8

import (
	"encoding/binary"
	"net/url"
	"sort"
	"strings"

	"github.com/gatedso/bt/internal/process"
)

// script is what was read of a Script.
type script struct {
	obj, id      uint64
	name         string
	line, column int // of its first character, from 0
	ends         uint64
	source       text
	hasSource    bool
	places       map[int]place // by positions
}

type place struct{ line, column int } // from 1; 0: not known

// Bounds of the text that is read, in bytes.
const (
	maxText     = 2 << 20   // in one stop
	maxCoreText = 64 << 20  // of a core
	maxOne      = 192 << 10 // of one script: V8 puts what is larger where it does not move
	maxLarge    = 64 << 20  // of one script after the stop
)

func (h *heap) script(obj uint64) *script {
	if s, known := h.scripts[obj]; known {
		return s
	}
	if len(h.scripts) >= maxScripts {
		return nil
	}
	s := &script{obj: obj, name: "<anonymous>", places: make(map[int]place)}
	h.scripts[obj] = s
	if p, ok := h.field(obj, h.l.scriptName); ok {
		if name, ok := h.str(p); ok && name != "" {
			s.name = pathOf(name)
		}
	}
	s.line, _ = h.smiField(obj, h.l.scriptLine)
	s.column, _ = h.smiField(obj, h.l.scriptColumn)
	s.id, _ = h.field(obj, h.l.scriptLineEnds+8) // objects/script.tq
	if p, ok := h.field(obj, h.l.scriptLineEnds); ok && isObject(p) {
		if n, _, ok := h.array(p, h.l.arrays); ok && n > 0 {
			s.ends = p
		}
	}
	if p, ok := h.field(obj, h.l.scriptSource); ok {
		s.source, s.hasSource = h.flat(p)
	}
	return s
}

// pathOf turns the URL of a file into its path.
func pathOf(name string) string {
	rest, ok := strings.CutPrefix(name, "file://")
	if !ok || !strings.HasPrefix(rest, "/") || strings.ContainsAny(rest, "?#") {
		return name
	}
	path, err := url.PathUnescape(rest)
	if err != nil || strings.ContainsRune(path, 0) {
		return name
	}
	return path
}

// lineOf finds the line and the column of a position, both from 1; 0, 0 where that is not
// known.
func (h *heap) lineOf(s *script, pos int) (line, column int) {
	p, known := s.places[pos]
	if !known {
		at, start, ok := h.byEnds(s, pos)
		if !ok && h.large != nil {
			at, start, ok = byStarts(h.large(s, false), pos)
		}
		if !ok {
			at, start, ok = h.byText(s, pos)
		}
		if !ok && h.large != nil {
			at, start, ok = byStarts(h.large(s, true), pos)
		}
		if !ok && h.stopped {
			return 0, 0
		}
		if ok {
			p = place{at + s.line + 1, pos - start + 1}
			if at == 0 {
				p.column += s.column
			}
		}
		if p.line < 1 || p.column < 1 {
			p = place{}
		}
		s.places[pos] = p
	}
	return p.line, p.column
}

// byEnds finds a position's line, from 0, and where that begins, in the list of the ends
// of all lines, which V8 makes when it is asked for a line.
func (h *heap) byEnds(s *script, pos int) (line, start int, ok bool) {
	if s.ends == 0 {
		return 0, 0, false
	}
	n, data, ok := h.array(s.ends, h.l.arrays)
	if !ok {
		return 0, 0, false
	}
	end := func(i int) (int, bool) {
		w, ok := h.Word(data+8*uint64(i), 8)
		if !ok {
			return 0, false
		}
		return smi(w)
	}
	low, high := 0, n // the first whose end is not before pos
	for low < high {
		mid := int(uint(low+high) / 2)
		e, ok := end(mid)
		if !ok {
			return 0, 0, false
		}
		if e < pos {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == n {
		return 0, 0, false
	}
	if low > 0 {
		e, ok := end(low - 1)
		if !ok || e >= pos {
			return 0, 0, false
		}
		start = e + 1
	}
	return low, start, true
}

// byText finds a position's line by counting the lines of the text before it.
func (h *heap) byText(s *script, pos int) (line, start int, ok bool) {
	t := &s.source
	if !s.hasSource || pos > t.length {
		return 0, 0, false
	}
	n := t.size(pos)
	if n > maxOne || n > h.room || !t.inHeap {
		return 0, 0, false // that text does not move
	}
	h.room -= n
	if h.stopped {
		h.Prefetch([]process.Range{{Start: t.addr, Len: uint64(n)}})
	}
	raw := make([]byte, n)
	if h.Read(t.addr, raw) < n {
		return 0, 0, false
	}
	line, start = countLines(raw, t.wide)
	return line, start, true
}

// byStarts finds a position's line, from 0, and where that begins, by where all lines begin.
func byStarts(starts []int32, pos int) (line, start int, ok bool) {
	n := sort.Search(len(starts), func(i int) bool { return int(starts[i]) > pos })
	if n == 0 {
		return 0, 0, false
	}
	return n - 1, int(starts[n-1]), true
}

// countLines counts the line ends in a text, and tells where the last line begins, in
// characters.
func countLines(raw []byte, wide bool) (lines, start int) {
	eachLine(raw, wide, func(next int) bool { lines, start = lines+1, next; return true })
	return lines, start
}

// eachLine calls next with where each line of a text but the first begins, in characters
// (ECMAScript, section 12.3), until that returns false.
func eachLine(raw []byte, wide bool, next func(start int) bool) {
	if !wide {
		for i, c := range raw {
			if c == '\n' || c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n') {
				if !next(i + 1) {
					return
				}
			}
		}
		return
	}
	at := func(i int) uint16 { return binary.LittleEndian.Uint16(raw[2*i:]) }
	for i := range len(raw) / 2 {
		switch c := at(i); {
		case c == '\n', c == 0x2028, c == 0x2029, c == '\r' && (2*i+2 == len(raw) || at(i+1) != '\n'):
			if !next(i + 1) {
				return
			}
		}
	}
}
