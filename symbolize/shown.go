package symbolize

import (
	"sync/atomic"

	"github.com/gatedso/bt/elfsym"
)

// names makes the names of an image's symbols as they are shown. A symbol's name
// is copied and demangled once, however often it is asked for.
type names struct {
	im       *elfsym.Image
	demangle *demangler
	texts    *atomic.Pointer[texts] // the symbolizer's
	table    atomic.Pointer[shown]
}

// shown remembers where the names of an image's symbols are in a texts, in eight
// bytes each, so that a million lookups touch as little memory as can be.
type shown struct {
	texts *texts
	at    []atomic.Uint64 // by reference: 0, or where the name is, and sizeless
}

// Where a name is: its length in the low 16 bits, its place in the texts above.
// sizeless is set for a symbol without a size.
const (
	sizeless = 1 << 63
	lenBits  = 16
	maxShown = 1<<lenBits - 1
)

func newNames(im *elfsym.Image, o *Options, t *atomic.Pointer[texts]) *names {
	return &names{im: im, demangle: o.demangler, texts: t}
}

// current returns what is remembered, nothing after the symbolizer has started a
// new texts.
func (n *names) current() *shown {
	texts := n.texts.Load()
	if t := n.table.Load(); t != nil && t.texts == texts {
		return t
	}
	t := &shown{texts: texts, at: make([]atomic.Uint64, n.im.NumSymbols())}
	n.table.Store(t)
	return t
}

// get returns the shown name of a symbol, and whether it has no size. The name is
// "" for a symbol without one. t is what current has returned.
func (n *names) get(t *shown, ref elfsym.Ref) (name string, noSize bool) {
	if uint64(ref) >= uint64(len(t.at)) {
		return "", false
	}
	if v := t.at[ref].Load(); v != 0 {
		return t.name(v), v&sizeless != 0
	}
	return n.add(t, ref)
}

func (t *shown) name(v uint64) string {
	return t.texts.get(v&^sizeless>>lenBits, v&maxShown)
}

// add makes a symbol's name and remembers it.
func (n *names) add(t *shown, ref elfsym.Ref) (name string, noSize bool) {
	raw := n.im.NameBytes(ref)
	if len(raw) == 0 {
		return "", false
	}
	v := uint64(0)
	if noSize = n.im.Sizeless(ref); noSize {
		v = sizeless
	}
	name = n.demangle.name(string(raw))
	if len(name) > maxShown {
		return name, noSize
	}
	at, ok := t.texts.put(name)
	if !ok {
		n.texts.CompareAndSwap(t.texts, new(texts))
		return name, noSize
	}
	v |= at<<lenBits | uint64(len(name))
	t.at[ref].Store(v)
	return t.name(v), noSize
}

// warm reads where the names of refs are, then the names, so that get need not
// wait for each by itself. Its result means nothing; it keeps the reads from
// being left out.
//
//go:noinline
func (t *shown) warm(refs []elfsym.Ref) (sum byte) {
	var at [elfsym.MaxBatch]uint64
	for i, ref := range refs {
		if uint64(ref) < uint64(len(t.at)) {
			at[i] = t.at[ref].Load()
		}
	}
	for _, v := range at[:len(refs)] {
		if v == 0 {
			continue
		}
		name := t.name(v)
		// Names are long: a cache line holds half of a C++ name.
		for i := 0; i < len(name); i += 64 {
			sum ^= name[i]
		}
	}
	return sum
}
