package lines

import (
	"bytes"
	"fmt"

	"github.com/gatedso/bt/maps"
)

// segment is a range of a chunk's lines that need no knowledge of the lines
// before it but what it carries. Lines between segments are a report's head:
// taken in, not echoed.
type segment struct {
	start, end int // in chunk.data
	space      Space
	kind       kind // at the start
}

// scanner goes over the chunks in order and finds what depends on earlier
// lines. It parses as few lines as it can: once an address space has been
// chosen and the kind of the next addresses does not change, only lines with
// a '#' or a '-' matter.
type scanner struct {
	opts    *Options
	maxHead int
	kind    kind

	addressed bool // addresses have come since the last maps line
	space     Space
	maps      []byte // the maps lines of the space that the next address needs
	about     Head
	head      int // bytes in maps and about
}

// scan divides c into segments. With an error, they end before the line that
// needs what cannot be had.
func (s *scanner) scan(c *chunk) error {
	c.segs = c.segs[:0]
	if c.long != notLong {
		if c.long == longFirst {
			s.kind.steer(trimLeft(c.data))
		}
		return nil
	}
	seg := segment{kind: s.kind}
	find := finder{data: c.data, hash: -1, dash: -1}
	for pos := 0; pos < len(c.data); {
		if s.addressed && s.kind.exact == 0 {
			if pos = find.next(pos); pos == len(c.data) {
				break
			}
		}
		end := lineEnd(c.data, pos)
		l := parseLine(c.data[pos:end])
		switch l.form {
		case formMaps, formBuildID, formGateSymbol:
			s.close(c, seg, pos)
			if err := s.take(&l); err != nil {
				return err
			}
			seg = segment{start: end, kind: s.kind}
		case formComment:
			s.kind.steer(l.text)
		default:
			if l.addrs > 0 {
				if err := s.needSpace(); err != nil {
					s.close(c, seg, pos)
					return err
				}
				s.kind.skip(l.addrs)
			}
		}
		pos = end
	}
	s.close(c, seg, len(c.data))
	return nil
}

// close ends seg. The space is the same for all of its addresses, because only
// a maps line, which ends a segment, lets it change.
func (s *scanner) close(c *chunk, seg segment, end int) {
	if seg.start < end {
		seg.end, seg.space = end, s.space
		c.segs = append(c.segs, seg)
	}
}

// take takes in a line of a report's head.
func (s *scanner) take(l *line) error {
	if l.form == formMaps && s.addressed {
		// Another address space: no thread above is one of it.
		s.addressed = false
		s.kind = kind{}
	}
	if s.opts.Space != nil || s.opts.NewSpace == nil {
		return nil
	}
	s.head += len(l.text) + 64
	if s.head > s.maxHead {
		return fmt.Errorf("the maps lines of one report are longer than %d bytes", s.maxHead)
	}
	switch l.form {
	case formMaps:
		s.maps = append(append(s.maps, l.text...), '\n')
	case formBuildID:
		s.about.BuildIDs = append(s.about.BuildIDs, l.id)
	case formGateSymbol:
		s.about.GateSymbols = append(s.about.GateSymbols, l.symbol)
	}
	return nil
}

// needSpace chooses the address space before the first address is answered.
func (s *scanner) needSpace() error {
	if s.addressed {
		return nil
	}
	s.addressed = true
	if s.opts.Space != nil {
		s.space = s.opts.Space
		return nil
	}
	if len(s.maps) == 0 {
		return nil
	}
	var err error
	s.space, err = s.opts.NewSpace(s.maps, s.about)
	s.maps, s.about, s.head = nil, Head{}, 0
	return err
}

// finder finds the lines that may be comments or maps lines, among those with
// a '#' or a '-' in them.
type finder struct {
	data       []byte
	hash, dash int // the first of each at or after the position last asked for
}

// next returns the start of the first such line at or after pos, itself the
// start of a line, or the length of the data.
func (f *finder) next(pos int) int {
	for pos < len(f.data) {
		f.hash = f.index(f.hash, pos, '#')
		f.dash = f.index(f.dash, pos, '-')
		at := min(f.hash, f.dash)
		if at == len(f.data) {
			return at
		}
		pos += bytes.LastIndexByte(f.data[pos:at], '\n') + 1
		end := lineEnd(f.data, pos)
		if text := trimLeft(f.data[pos:end]); text[0] == '#' || maps.IsLine(text) {
			return pos
		}
		pos = end
	}
	return pos
}

func (f *finder) index(known, pos int, c byte) int {
	if known >= pos {
		return known
	}
	if i := bytes.IndexByte(f.data[pos:], c); i >= 0 {
		return pos + i
	}
	return len(f.data)
}

// lineEnd returns the end of the line that starts at pos, its newline included.
func lineEnd(data []byte, pos int) int {
	if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(data)
}
