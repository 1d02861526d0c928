package cfi

import (
	"cmp"
	"slices"
)

// indexEntry is an FDE of an index: its first pc and its offset in the section.
type indexEntry struct {
	start uint64
	off   int
}

// index finds FDEs in a section that has no usable .eh_frame_hdr.
type index struct {
	entries []indexEntry // by start; of equals, the first in the section is last
	err     error        // what ended the walk over the section early, or spoilt an FDE
}

// search returns the last entry that starts at or before pc, or -1.
func (x *index) search(pc uint64) int {
	i, _ := slices.BinarySearchFunc(x.entries, pc, func(e indexEntry, pc uint64) int {
		if e.start <= pc {
			return -1
		}
		return 1
	})
	return i - 1
}

// buildIndex walks the whole section once.
func (s *section) buildIndex() *index {
	x := new(index)
	err := s.walk(func(f *span, err error) bool {
		if err != nil {
			if x.err == nil {
				x.err = err
			}
		} else if f.start < f.end { // discarded functions have empty ranges
			x.entries = append(x.entries, indexEntry{f.start, f.off})
		}
		return true
	})
	if err != nil {
		x.err = err
	}
	slices.SortFunc(x.entries, func(a, b indexEntry) int {
		if c := cmp.Compare(a.start, b.start); c != 0 {
			return c
		}
		return cmp.Compare(b.off, a.off)
	})
	return x
}

// walk calls yield for every FDE of the section in turn, with an error for one
// that is malformed, until yield returns false. It returns an error when the
// chain of entries breaks.
func (s *section) walk(yield func(f *span, err error) bool) error {
	var c cie
	var f span
	var cieErr error
	cieOff := ^uint64(0) // of c, which consecutive FDEs share
	for off := 0; off < len(s.data); {
		h, err := s.entry(off)
		if err != nil {
			return err
		}
		off = h.end
		if h.end == h.id {
			if s.eh { // the terminator; behind it may lie anything
				return nil
			}
			continue // padding
		}
		if h.cie {
			continue
		}
		if at := s.cieOffset(&h); at != cieOff {
			cieErr = s.cieAt(at, &c)
			cieOff = at
		}
		err = cieErr
		if err == nil {
			err = s.fde(&h, &c, &f)
		}
		if err != nil {
			f = span{off: h.off}
		}
		if !yield(&f, err) {
			return nil
		}
	}
	return nil
}
