//go:build unix

package symbolize

import (
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/stack"
)

// Options says how to name.
type Options struct {
	Gate     gate.Setting
	Demangle Demangle
	// Versions sets the Version of names. It takes a lookup more for each.
	Versions bool
	// Process, for a running process, names what is in no file of its.
	Process *Process
	// BareNames leaves the names of functions in debug information that have no
	// linkage name without their scopes, and has Lines.Names give those of functions
	// that are not inlined as well: what addr2line prints.
	BareNames bool
	// Debug finds separate debug files; nil: none are used.
	Debug *debugfile.Finder
	// Lines adds to names the place in the source, and the calls that the
	// compiler has inlined there.
	Lines bool
	// Excerpt returns the source around a place, nil where it cannot be read. With
	// Lines it is called for each place; nil: there are no excerpts.
	Excerpt func(file string, line int) *stack.Excerpt
	// Busy, unless nil, is called before the debug information of a file is looked up, and
	// what it returns afterwards: it can take long for files that are large, are
	// compressed, or have to be downloaded. It is called by several goroutines.
	Busy func(path string) (done func())
	// MaxInflated bounds the bytes that the compressed debug sections of all files
	// may take for lines, together; what is larger gives no lines. 0: no bound.
	MaxInflated uint64
	// GateSymbols name the gate where the setting is live and there is no
	// process to read the image from.
	GateSymbols []GateSymbol

	demangler *demangler     // the symbolizer's
	inflated  *atomic.Uint64 // see MaxInflated
}

// Symbolizer names the addresses of one address space. It is safe for
// concurrent use.
type Symbolizer struct {
	space   *image.Space
	gate    *gateNames
	options Options

	modules []atomic.Pointer[stack.Module] // by image.Module.Index

	mu    sync.Mutex
	names atomic.Pointer[map[*image.Image]*namesEntry] // replaced, never changed: reading takes no lock
	last  atomic.Pointer[imageNames]                   // the one asked for last
	texts atomic.Pointer[texts]                        // the names handed out
}

// New returns a symbolizer for space. The error is about the gate DSO alone;
// the symbolizer works all the same, and leaves the gate's frames raw.
func New(space *image.Space, o Options) (*Symbolizer, error) {
	o.demangler = &demangler{mode: o.Demangle}
	s := NewForImage(o)
	s.space, s.modules = space, make([]atomic.Pointer[stack.Module], len(space.Modules()))
	var err error
	s.gate, err = newGateNames(space, &o)
	return s, err
}

// NewForImage returns a symbolizer for Image alone.
func NewForImage(o Options) *Symbolizer {
	if o.demangler == nil {
		o.demangler = &demangler{mode: o.Demangle}
	}
	o.inflated = new(atomic.Uint64)
	s := &Symbolizer{options: o}
	s.texts.Store(new(texts))
	return s
}

// lookupAddress is the address by which a frame is named. That of a return address
// is one byte earlier, at the call: behind a call that never returns another
// function may begin.
func lookupAddress(f *stack.Frame) uint64 { return lookup(f.PC, f.Exact) }

func lookup(pc uint64, exact bool) uint64 {
	if exact || pc == 0 {
		return pc
	}
	return pc - 1
}

// answer is what is found for a lookup address.
type answer struct {
	name   string // "" if there is none
	start  uint64 // of the symbol
	source string
	// from and ref are the symbol, for its version; from is nil for a name that is
	// no symbol's.
	from  *source
	ref   elfsym.Ref
	flags uint64 // sizeless, plain
}

// set makes a the only name of f, whose lookup address in a's terms is at.
func (s *Symbolizer) set(f *stack.Frame, at uint64, a *answer) {
	if a.name == "" {
		f.Names, f.Miss = f.Names[:0], stack.NoSymbol
		return
	}
	n := setOnly(f, a.name, at-a.start+f.PC-lookupAddress(f), a.source, a.flags)
	if s.options.Versions && a.from != nil {
		n.Version = a.from.im.Version(a.ref)
	}
}

// setOnly makes a symbol the only name of f, and returns that. Of flags it takes
// plain.
func setOnly(f *stack.Frame, symbol string, offset uint64, source string, flags uint64) *stack.Name {
	if cap(f.Names) == 0 {
		f.Names = make([]stack.Name, 1)
	}
	f.Names, f.Miss = f.Names[:1], ""
	n := &f.Names[0]
	*n = stack.Name{} // a literal with fields would be made elsewhere, and copied
	n.Symbol, n.Offset, n.Source, n.Plain = symbol, offset, source, flags&plain != 0
	return n
}

// miss takes all names from f.
func miss(f *stack.Frame, why stack.Miss) { f.Names, f.Miss = f.Names[:0], why }

// Module returns what the model says of m, a module of the symbolizer's space.
func (s *Symbolizer) Module(m *image.Module) *stack.Module { return s.module(m) }

// module is Module, and nil of nil.
func (s *Symbolizer) module(m *image.Module) *stack.Module {
	if m == nil {
		return nil
	}
	p := &s.modules[m.Index()]
	if out := p.Load(); out != nil {
		return out
	}
	p.CompareAndSwap(nil, newModule(m))
	return p.Load()
}
