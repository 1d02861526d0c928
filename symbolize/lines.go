//go:build unix

package symbolize

import (
	"sync"

	"github.com/gatedso/bt/internal/dwarf"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// Lines are the source lines of the frames that Symbolizer.Lines was given. It is safe
// for concurrent use.
type Lines struct {
	name    func(frames []stack.Frame)
	excerpt func(file string, line int) *stack.Excerpt // nil: none
	parts   []linesPart
	// By frame: in parts, -1, and its number there. Both are nil where the only
	// part has all frames.
	part, index []int32
}

// place returns where the lines of the i-th frame are: p is nil if nothing is known.
func (l *Lines) place(i int) (p *linesPart, index int) {
	switch {
	case l.part == nil && len(l.parts) == 1:
		return &l.parts[0], i
	case l.part == nil || l.part[i] < 0:
		return nil, 0
	}
	return &l.parts[l.part[i]], int(l.index[i])
}

// linesPart are the lines of addresses of one image.
type linesPart struct {
	answers *dwarf.Answers // nil without DWARF
	names   *imageNames
	links   []uint64
}

// Lines finds the source lines of frames, of which PC and Exact are given. Many at
// once are found much faster than one by one: a program that names millions of
// addresses asks for their lines together, and names them bit by bit.
func (s *Symbolizer) Lines(frames []stack.Frame) *Lines {
	return s.LinesOf(len(frames), func(i int) (uint64, bool) { return frames[i].PC, frames[i].Exact })
}

// LinesOf is Lines for n frames, of which frame tells PC and Exact.
func (s *Symbolizer) LinesOf(n int, frame func(i int) (pc uint64, exact bool)) *Lines {
	l := &Lines{name: s.frames, excerpt: s.options.Excerpt, part: make([]int32, n), index: make([]int32, n)}
	for i := range l.part {
		l.part[i] = -1
	}
	if guard.Read(func() error { s.divide(l, frame); return nil }) != nil {
		return &Lines{name: s.frames, excerpt: s.options.Excerpt} // a part of a file is gone
	}
	return l
}

// divide finds the lines of frames, image by image.
func (s *Symbolizer) divide(l *Lines, frame func(i int) (pc uint64, exact bool)) {
	type copyOf struct {
		im  *image.Image
		mod *image.Module
	}
	parts := make(map[copyOf]int32)
	last, lastPart := copyOf{}, int32(-1)
	for i := range l.part {
		addr := lookup(frame(i))
		p := s.space.Locate(addr)
		if p.Image == nil || p.Module.Gate != maps.NoGate {
			continue
		}
		key := copyOf{p.Image, p.Module}
		if key != last || lastPart < 0 {
			n, ok := parts[key]
			if !ok {
				n = int32(len(l.parts))
				parts[key] = n
				l.parts = append(l.parts, linesPart{names: s.namesOf(p.Image, p.Module)})
			}
			last, lastPart = key, n
		}
		part := &l.parts[lastPart]
		l.part[i], l.index[i] = lastPart, int32(len(part.links))
		part.links = append(part.links, p.Link(addr))
	}
	for i := range l.parts {
		l.parts[i].find()
	}
}

// ImageLines is Lines for link-time addresses of an image by itself.
func (s *Symbolizer) ImageLines(im *image.Image, frames []stack.Frame) *Lines {
	return s.ImageLinesOf(im, len(frames), func(i int) (uint64, bool) { return frames[i].PC, frames[i].Exact })
}

// ImageLinesOf is LinesOf for link-time addresses of an image by itself.
func (s *Symbolizer) ImageLinesOf(im *image.Image, n int, frame func(i int) (pc uint64, exact bool)) *Lines {
	l := &Lines{excerpt: s.options.Excerpt, name: func(frames []stack.Frame) { s.inImageAll(im, frames) }}
	err := guard.Read(func() error {
		p := linesPart{names: s.namesOf(im, nil), links: make([]uint64, n)}
		for i := range p.links {
			p.links[i] = lookup(frame(i))
		}
		p.find()
		l.parts = []linesPart{p}
		return nil
	})
	if err != nil {
		l.parts = nil
	}
	return l
}

// find looks the part's addresses up.
func (p *linesPart) find() {
	if p.names.busy != nil && len(p.links) > 0 {
		defer p.names.busy(p.names.path)()
	}
	d := p.names.debugInfo()
	if d.data == nil {
		return
	}
	p.answers = d.data.Lookup(shifted(p.links, d.shift))
}

// Frames names frames as Symbolizer.Frames does, which are those that Lines was
// given from the first-th on.
func (l *Lines) Frames(frames []stack.Frame, first int) {
	l.name(frames)
	l.add(frames, first)
}

// add adds places in the source and inlined calls to frames that have been named by
// their symbols. The symbol's name stays: of several functions that share their code
// debug information knows one.
func (l *Lines) add(frames []stack.Frame, first int) {
	var room [16]dwarf.Frame
	l.warm(first, len(frames))
	for i := range frames {
		f := &frames[i]
		var own stack.Name
		if n := f.Function(); n != nil {
			own = *n
		}
		names, ok := l.at(f.Names[:0], room[:0], first+i)
		if !ok {
			continue
		}
		last := &names[len(names)-1]
		// Where it starts is known of a symbol alone.
		own.File, own.Line, own.Column, own.PlainFile = last.File, last.Line, last.Column, last.PlainFile
		*last = own
		f.Names = names
		l.addExcerpts(names)
	}
}

// warm reads what at reads for n frames from the first-th on, all side by side.
func (l *Lines) warm(first, n int) {
	for from := first; from < first+n; {
		p, index := l.place(from)
		to := from + 1
		for to < first+n {
			if next, at := l.place(to); next != p || p != nil && at != index+to-from {
				break
			}
			to++
		}
		if p != nil && p.answers != nil {
			p.answers.Warm(index, to-from)
		}
		from = to
	}
}

// addExcerpts adds the source around the places of names.
func (l *Lines) addExcerpts(names []stack.Name) {
	if l.excerpt == nil {
		return
	}
	for i := range names {
		if n := &names[i]; n.File != "" && n.Line > 0 {
			n.Excerpt = l.excerpt(n.File, n.Line)
		}
	}
}

// Names appends what debug information says of the i-th frame, apart from what its
// symbol is: inlined calls, and last the function that holds the code, by its own
// name there, which may be empty. It appends nothing where nothing is known.
func (l *Lines) Names(dst []stack.Name, i int) []stack.Name {
	n := len(dst)
	if guard.Read(func() error { dst, _ = l.at(dst, nil, i); return nil }) != nil {
		return dst[:n]
	}
	return dst
}

// Linkage reports whether the symbol table has the function that holds the i-th
// frame's code under the name that Names gives.
func (l *Lines) Linkage(i int) bool {
	p, index := l.place(i)
	if p == nil || p.answers == nil {
		return true
	}
	var room [16]dwarf.Frame
	frames := p.answers.Frames(room[:0], index)
	return len(frames) == 0 || frames[len(frames)-1].Linkage
}

// Discriminator returns the number that tells the block of the i-th frame's address
// from other blocks of its line, 0 for none. Profilers use it.
func (l *Lines) Discriminator(i int) uint32 {
	p, index := l.place(i)
	if p == nil || p.answers == nil {
		return 0
	}
	return p.answers.Discriminator(index)
}

// at is Names for a caller that guards it, and has some room. It reports false where
// nothing is known.
func (l *Lines) at(dst []stack.Name, room []dwarf.Frame, i int) (_ []stack.Name, ok bool) {
	p, index := l.place(i)
	if p == nil {
		return dst, false
	}
	n := len(dst)
	if p.answers != nil {
		dst = appendNames(dst, p.answers.Frames(room, index))
	}
	if len(dst) == n {
		dst = appendGo(dst, p.names.im, p.links[index])
	}
	return dst, len(dst) > n
}

// appendNames appends what DWARF says, if that is where the address is.
func appendNames(dst []stack.Name, frames []dwarf.Frame) []stack.Name {
	if len(frames) == 0 || len(frames) == 1 && frames[0].File == "" {
		return dst
	}
	for i := range frames {
		f := &frames[i]
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
		} else {
			dst = append(dst, stack.Name{})
		}
		n := &dst[len(dst)-1]
		*n = stack.Name{}
		n.Symbol, n.Plain, n.File, n.PlainFile = f.Func, f.Plain, f.File, f.PlainFile
		n.Line, n.Column, n.Inlined = int(f.Line), int(f.Column), f.Inlined
	}
	return dst
}

// inlinedNames is the part of imageNames that names inlined functions.
type inlinedNames struct {
	bare      bool              // see Options.BareNames
	inflate   func(uint64) bool // see Options.mayInflate
	busy      func(path string) (done func())
	debugOnce sync.Once
	debug     debugInfo
}
