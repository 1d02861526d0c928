//go:build unix

package symbolize

import (
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/escape"
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
// sizeless is set for a symbol without a size, plain for a name without anything
// to escape.
const (
	sizeless = 1 << 63
	plain    = 1 << 62
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

// get returns the shown name of a symbol, and which of sizeless and plain it is. The
// name is "" for a symbol without one. t is what current has returned.
func (n *names) get(t *shown, ref elfsym.Ref) (name string, flags uint64) {
	if uint64(ref) >= uint64(len(t.at)) {
		return "", 0
	}
	if v := t.at[ref].Load(); v != 0 {
		return t.name(v), v & (sizeless | plain)
	}
	return n.add(t, ref)
}

func (t *shown) name(v uint64) string {
	return t.texts.get(v&^(sizeless|plain)>>lenBits, v&maxShown)
}

// add makes a symbol's name and remembers it.
func (n *names) add(t *shown, ref elfsym.Ref) (name string, flags uint64) {
	raw := n.im.NameBytes(ref)
	if len(raw) == 0 {
		return "", 0
	}
	if n.im.Sizeless(ref) {
		flags = sizeless
	}
	// What is not demangled lies in the file still. No more than a copy leaves here.
	name = n.demangle.name(unsafe.String(&raw[0], len(raw)))
	if escape.Plain(name) {
		flags |= plain
	}
	if len(name) > maxShown {
		return strings.Clone(name), flags
	}
	at, ok := t.texts.put(name)
	if !ok {
		n.texts.CompareAndSwap(t.texts, new(texts))
		return strings.Clone(name), flags
	}
	v := flags | at<<lenBits | uint64(len(name))
	t.at[ref].Store(v)
	return t.name(v), flags
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
