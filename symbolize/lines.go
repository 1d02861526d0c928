package symbolize

import (
	"sync"

	"github.com/gatedso/bt/internal/dwarf"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
)

// Where is the place of an address in the source. The file is that of the
// function that the address's symbol names; where calls are inlined there, it is
// the place of the outermost of them.
type Where struct {
	File string // escaped, "" when it is not known
	// Line is 0 for code of no line, Column where it is not known.
	Line, Column uint32
	Inlined      []Inlined // the innermost first
}

// Inlined is an inlined call that an address lies in.
type Inlined struct {
	Symbol       string // of the function called, as names are shown; may be ""
	File         string // where the address, or the next inlined call, is in it
	Line, Column uint32
}

// Lines are the source lines of many addresses.
type Lines struct {
	parts []linesPart
	part  []int32 // by address: in parts, -1
	index []int32 // its number there
}

// linesPart are the lines of addresses of one image.
type linesPart struct {
	answers *dwarf.Answers // nil without DWARF
	names   *imageNames
	links   []uint64
}

// Lines finds the source lines of addresses, exact or return addresses all of
// them. Many at once are found much faster than one by one.
func (s *Symbolizer) Lines(addrs []uint64, exact bool) *Lines {
	l := &Lines{part: make([]int32, len(addrs)), index: make([]int32, len(addrs))}
	type copyOf struct {
		im  *image.Image
		mod *image.Module
	}
	parts := make(map[copyOf]int32)
	last, lastPart := copyOf{}, int32(-1)
	for i, addr := range addrs {
		l.part[i] = -1
		p := s.space.Locate(lookupAddress(addr, exact))
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
		part.links = append(part.links, p.Link(lookupAddress(addr, exact)))
	}
	for i := range l.parts {
		l.parts[i].find()
	}
	return l
}

// ImageLines is Lines for link-time addresses of an image by itself.
func (s *Symbolizer) ImageLines(im *image.Image, addrs []uint64, exact bool) *Lines {
	l := &Lines{part: make([]int32, len(addrs)), index: make([]int32, len(addrs))}
	p := linesPart{names: s.namesOf(im, nil), links: make([]uint64, len(addrs))}
	for i, addr := range addrs {
		p.links[i], l.index[i] = lookupAddress(addr, exact), int32(i)
	}
	p.find()
	l.parts = []linesPart{p}
	return l
}

// find looks the part's addresses up.
func (p *linesPart) find() {
	d := p.names.debugInfo()
	if d.data == nil {
		return
	}
	p.answers = d.data.Lookup(shifted(p.links, d.shift))
	p.answers.Rewrite(p.names.inlinedName, escape.Name)
}

// At sets w to the line of the i-th address, and reports whether anything is
// known of it. It reuses w.Inlined.
func (l *Lines) At(i int, w *Where) bool {
	*w = Where{Inlined: w.Inlined[:0]}
	if l.part[i] < 0 {
		return false
	}
	p := &l.parts[l.part[i]]
	if p.answers != nil && w.take(p.answers, int(l.index[i])) {
		return true
	}
	return w.takeGo(p.names.im, p.links[l.index[i]])
}

// take sets w to what DWARF says.
func (w *Where) take(a *dwarf.Answers, i int) bool {
	var buf [16]dwarf.Frame
	frames := a.Frames(buf[:0], i)
	for _, f := range frames {
		if f.Inlined {
			w.Inlined = append(w.Inlined, Inlined{f.Func, f.File, f.Line, f.Column})
		} else {
			w.File, w.Line, w.Column = f.File, f.Line, f.Column
		}
	}
	return len(frames) > 0
}

// maxInlinedNames bounds the names that are remembered for one image.
const maxInlinedNames = 1 << 19

// inlinedName is the shown name of a function that is inlined.
func (n *imageNames) inlinedName(raw string) string {
	n.inlinedMu.RLock()
	name, ok := n.inlined[raw]
	n.inlinedMu.RUnlock()
	if ok {
		return name
	}
	name = n.demangle.name(raw)
	n.inlinedMu.Lock()
	defer n.inlinedMu.Unlock()
	if n.inlined == nil || len(n.inlined) >= maxInlinedNames {
		n.inlined = make(map[string]string)
	}
	n.inlined[raw] = name
	return name
}

// inlinedNames is the part of imageNames that names inlined functions.
type inlinedNames struct {
	inlinedMu sync.RWMutex
	inlined   map[string]string // by linkage name

	debugOnce sync.Once
	debug     debugInfo
}

// withLines adds the place in the source to a name, if that is wanted.
func (s *Symbolizer) withLines(n *Name, l func() *Lines) {
	if !s.options.Lines {
		return
	}
	w := new(Where)
	if l().At(0, w) {
		n.Where = w
	}
}
