package main

import (
	"github.com/gatedso/bt/internal/text/lines"
	"github.com/gatedso/bt/symbolize"
)

// lineSpace answers with source lines, which are found for many addresses at once.
type lineSpace struct {
	lines.Batcher
	opts *answerOptions
	find func(addrs []uint64, exact bool) *symbolize.Lines
	name func(addrs []uint64, exact bool, names []symbolize.Name) bool
}

// withLines returns space as one that finds lines, if lines are wanted.
func withLines(space lines.Space) lines.Space {
	switch s := space.(type) {
	case *mappedSpace:
		if s.opts.Source && !s.opts.Raw && s.note == nil {
			return &lineSpace{s, &s.opts, s.sym.Lines, s.sym.NameAll}
		}
	case *imageSpace:
		if s.opts.Source && !s.opts.Raw {
			find := func(addrs []uint64, exact bool) *symbolize.Lines { return s.sym.ImageLines(s.im, addrs, exact) }
			name := func(addrs []uint64, exact bool, names []symbolize.Name) bool {
				return s.sym.ImageAll(s.im, addrs, exact, names)
			}
			return &lineSpace{s, &s.opts, find, name}
		}
	}
	return space
}

// Find implements lines.Bulk.
func (s *lineSpace) Find(addrs []uint64, exact bool) lines.Found {
	return &foundLines{space: s, addrs: addrs, exact: exact, lines: s.find(addrs, exact)}
}

// foundLines are the lines of many addresses.
type foundLines struct {
	space *lineSpace
	addrs []uint64
	exact bool
	lines *symbolize.Lines
	where [symbolize.MaxBatch]symbolize.Where
}

// Append implements lines.Found.
func (f *foundLines) Append(dst []byte, first, limit int) ([]byte, int) {
	var names [symbolize.MaxBatch]symbolize.Name
	addrs := f.addrs[first:min(first+symbolize.MaxBatch, len(f.addrs))]
	if f.space.name(addrs, f.exact, names[:]) {
		for i := range addrs {
			if f.lines.At(first+i, &f.where[i]) {
				names[i].Where = &f.where[i]
			}
		}
		if out, n, ok := f.space.opts.appendAll(dst, addrs, names[:], limit); ok {
			return out, n
		}
	}
	return f.space.Answer(dst, addrs[0], f.exact), 1
}
