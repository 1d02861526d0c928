//go:build unix

package symbolize

import (
	"bytes"
	gomaps "maps"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
)

// source is one ELF file whose symbols name an image's addresses.
type source struct {
	im    *elfsym.Image
	names *names
	label string // where it is from; empty for the image itself
	shift uint64 // of the image's addresses from its own: see debugfile.Shift
}

// imageNames is all that names the addresses of an image, in order of
// preference: its own full symbol table; where it has none, its separate debug
// file's, then the small one embedded in it, then its dynamic symbols. After
// these come PLT stubs and Go's table, see inImage.
type imageNames struct {
	im       *image.Image
	sources  []source
	demangle *demangler
	extents  sync.Map          // what is known of symbols without a size: *image.Extent by start
	finder   *debugfile.Finder // of separate debug files; may be nil
	path     string            // absolute, or ""

	inlinedNames
}

func newImageNames(im *image.Image, path string, o *Options, t *atomic.Pointer[texts]) *imageNames {
	path = absolute(path)
	n := &imageNames{im: im, demangle: o.demangler, finder: o.Debug, path: path}
	n.bare = o.BareNames
	n.inflate, n.busy = o.mayInflate, o.Busy
	_, full := im.Section(".symtab")
	if !full {
		if o.Debug != nil {
			if d, via, _ := o.Debug.Find(im.Image, path); d != nil {
				n.addDebug(d, d.Name+" (by "+via+")", o, t)
			}
		}
		if d := o.Debug.MiniDebug(im.Image); d != nil {
			n.addDebug(d, ".gnu_debugdata", o, t)
		}
	}
	n.add(im.Image, "", o, t)
	return n
}

func (n *imageNames) add(im *elfsym.Image, label string, o *Options, t *atomic.Pointer[texts]) {
	if im != n.im.Image {
		im.TakeDescriptors(n.im.Image)
	}
	n.sources = append(n.sources, source{im: im, names: newNames(im, o, t), label: label})
}

// addDebug adds a debug file of n's image.
func (n *imageNames) addDebug(im *elfsym.Image, label string, o *Options, t *atomic.Pointer[texts]) {
	shift, err := debugfile.Shift(n.im.Image, im)
	if err != nil {
		return // debugfile has refused it already
	}
	n.add(im, label, o, t)
	n.sources[len(n.sources)-1].shift = shift
}

// findIn sets a to the name of a link-time address by some of the sources.
func (n *imageNames) findIn(sources []source, link uint64, a *answer) {
	for i := range sources {
		s := &sources[i]
		ref, start, ok := s.im.Find(link - s.shift)
		if !ok {
			continue
		}
		start += s.shift
		name, flags := s.names.get(s.names.current(), ref)
		if name == "" || flags&sizeless != 0 && n.refuted(start, link) {
			continue
		}
		*a = answer{name: name, start: start, source: s.sourceOf(ref), from: s, ref: ref, flags: flags}
		return
	}
	n.after(link, a)
}

// refuted reports whether link does not belong to the function at start, the
// nearest symbol before, which has no size: the function that link is in may have
// lost its symbol, or never had one. It does not where another
// function begins in between, as call frame information tells, and where the
// instructions of the function do not lead.
func (n *imageNames) refuted(start, link uint64) bool {
	if link == start {
		return false
	}
	if n.inTrampoline(start, link) {
		return true
	}
	e, ok := n.extents.Load(start)
	if !ok {
		e, _ = n.extents.LoadOrStore(start, n.im.Extent(start))
	}
	return !e.(*image.Extent).Has(link)
}

// inTrampoline reports whether link lies in a signal trampoline that begins
// behind start. Stripped, musl's libc keeps a sizeless setjmp and has its
// trampoline, whose own symbol is local, behind that: in a stack across a signal
// handler, setjmp would be a wrong name.
func (n *imageNames) inTrampoline(start, link uint64) bool {
	a := n.im.Arch()
	if a == nil {
		return false
	}
	for i := range a.Trampolines {
		code := a.Trampolines[i].Code
		for _, at := range a.Trampolines[i].At {
			off := uint64(at.Offset)
			if link-start > off && bytes.Equal(n.im.Bytes(link-off, len(code)), code) {
				return true
			}
		}
	}
	return false
}

// sourceOf says where the name of a symbol is from.
func (s *source) sourceOf(ref elfsym.Ref) string {
	if s.label != "" {
		return s.label
	}
	return s.im.TableOf(ref)
}

// after asks the sources that serve where no symbol covers an address.
func (n *imageNames) after(link uint64, a *answer) {
	if name, start, _, ok := n.im.PLT(link); ok {
		*a = answer{name: n.demangle.name(name) + "@plt", start: start, source: "the relocations of the PLT"}
	} else if name, start, ok := n.im.GoFunc(link); ok {
		*a = answer{name: name, start: start, source: "gopclntab"}
	} else {
		a.name = ""
	}
}

// findAll is findIn of all sources for many addresses, in ascending order: it reads
// each symbol table once.
func (n *imageNames) findAll(links []uint64) []answer {
	answers := make([]answer, len(links))
	matches := make([]elfsym.Match, len(links))
	todo := make([]int, len(links)) // which of links are not answered yet
	for i := range todo {
		todo[i] = i
	}
	for i := range n.sources {
		s := &n.sources[i]
		left := make([]uint64, len(todo))
		for j, k := range todo {
			left[j] = links[k]
		}
		s.im.LookupAll(shifted(left, s.shift), matches[:len(left)])
		rest := todo[:0]
		for j, k := range todo {
			m := &matches[j]
			start := m.Value + s.shift
			if !m.OK || m.Size == 0 && n.refuted(start, links[k]) {
				rest = append(rest, k)
				continue
			}
			a := answer{start: start, source: s.sourceOf(m.Ref), from: s, ref: m.Ref}
			a.name, a.flags = s.names.get(s.names.current(), m.Ref)
			answers[k] = a
		}
		todo = rest
	}
	for _, k := range todo {
		n.after(links[k], &answers[k])
	}
	return answers
}

// shifted turns addresses of an image into those of its debug file.
func shifted(links []uint64, shift uint64) []uint64 {
	if shift == 0 {
		return links
	}
	out := make([]uint64, len(links))
	for i, link := range links {
		out[i] = link - shift
	}
	return out
}

// namesOf returns what names im, the image of mod; mod is nil for an ELF file
// by itself.
func (s *Symbolizer) namesOf(im *image.Image, mod *image.Module) *imageNames {
	if n := s.last.Load(); n != nil && n.im == im {
		return n
	}
	e := s.entryOf(im)
	n := e.names.Load()
	if n == nil {
		n = e.make(func() *imageNames {
			path := im.Name
			if mod != nil {
				path = mod.Path
			} else if abs, err := filepath.Abs(path); err == nil {
				path = abs
			}
			return newImageNames(im, path, &s.options, &s.texts)
		})
	}
	s.last.Store(n)
	return n
}

// namesEntry is the place of what names one image. What finds it may download a
// debug file: only those wait who ask for the same image.
type namesEntry struct {
	mu    sync.Mutex
	names atomic.Pointer[imageNames]
}

func (e *namesEntry) make(names func() *imageNames) *imageNames {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.names.Load()
	if n == nil {
		n = names()
		e.names.Store(n)
	}
	return n
}

// entryOf returns the entry of im.
func (s *Symbolizer) entryOf(im *image.Image) *namesEntry {
	if m := s.names.Load(); m != nil {
		if e := (*m)[im]; e != nil {
			return e
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[*image.Image]*namesEntry)
	if m := s.names.Load(); m != nil {
		if e := (*m)[im]; e != nil {
			return e
		}
		gomaps.Copy(all, *m)
	}
	e := new(namesEntry)
	all[im] = e
	s.names.Store(&all)
	return e
}
