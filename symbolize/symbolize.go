// Package symbolize names addresses: from an address in a process to the
// symbol that covers it, or the reason why it has no name.
package symbolize

import (
	"sync"
	"sync/atomic"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/maps"
)

// Miss tells why an address has no name.
type Miss uint8

const (
	Named        Miss = iota // it has one
	Unmapped                 // nothing is mapped there
	Anonymous                // mapped, but from no file
	NoImage                  // the file cannot be had, or is another one now
	NoSymbol                 // no symbol of the file covers it
	GateUnset                // in the gate DSO, and nothing names that
	KernelHidden             // in the kernel, which does not tell its symbols
)

var missTexts = [...]string{
	"named",
	"nothing is mapped there",
	"anonymous memory",
	"its file cannot be read",
	"no symbol covers it",
	"the gate DSO is not set, or cannot be read",
	"the kernel hides its symbols (sysctl kernel.kptr_restrict)",
}

func (m Miss) String() string {
	if int(m) < len(missTexts) {
		return missTexts[m]
	}
	return "?"
}

// Name is what is known of an address.
type Name struct {
	Symbol string // demangled; "" when there is none, and Miss says why
	Offset uint64 // of the address from the symbol's start, in bytes
	Miss   Miss
	Source string // the table that the name is from: ".symtab", "gopclntab"

	// Where is the place in the source, if Options.Lines asks for it and it is
	// known.
	Where *Where

	Module *image.Module // nil in anonymous memory
	ModOff uint64        // link-time address in the module; file offset without an image
}

// Options says how to name.
type Options struct {
	Gate     gate.Setting
	Demangle Demangle
	Versions bool // add symbol versions to names, as in memcpy@@GLIBC_2.14
	// Process, for a running process, names what is in no file of its.
	Process *Process
	// Lines adds the place in the source, and inlined calls, to names.
	Lines bool
	// Debug finds separate debug files; nil: none are used.
	Debug *debugfile.Finder
	// GateSymbols name the gate where the setting is live and there is no
	// process to read the image from.
	GateSymbols []GateSymbol
}

// Symbolizer names the addresses of one address space. It is safe for
// concurrent use.
type Symbolizer struct {
	space *image.Space
	gate  *gateNames

	options Options

	mu    sync.Mutex
	names atomic.Pointer[map[*image.Image]*namesEntry] // replaced, never changed: reading takes no lock
	last  atomic.Pointer[imageNames]                   // the one asked for last

	known map[uint64]Name // what Prepare found, by lookup address
}

// New returns a symbolizer for space. The error is about the gate DSO alone;
// the symbolizer works all the same, and leaves the gate's frames raw.
func New(space *image.Space, o Options) (*Symbolizer, error) {
	s := &Symbolizer{space: space, options: o}
	var err error
	s.gate, err = newGateNames(space, &o)
	return s, err
}

// lookupAddress is the address by which addr's symbol is found.
func lookupAddress(addr uint64, exact bool) uint64 {
	if exact || addr == 0 {
		return addr
	}
	return addr - 1
}

// Name names addr. A return address (exact is false) is looked up one byte
// earlier, at the call; the offset is to addr itself all the same.
func (s *Symbolizer) Name(addr uint64, exact bool) (n Name) {
	lookup := lookupAddress(addr, exact)
	if n, ok := s.known[lookup]; ok {
		n.Offset += addr - lookup
		n.ModOff += addr - lookup
		return n
	}
	err := guard.Read(func() error {
		n = s.name(lookup)
		s.withLines(&n, func() *Lines { return s.Lines([]uint64{lookup}, true) })
		return nil
	})
	if err != nil {
		return Name{Miss: NoImage}
	}
	n.Offset += addr - lookup
	n.ModOff += addr - lookup
	return n
}

func (s *Symbolizer) name(addr uint64) Name {
	p := s.space.Locate(addr)
	if p.Mapping == nil {
		return s.unmapped(addr)
	}
	if p.Module == nil {
		return s.jit(addr)
	}
	if p.Module.Gate != maps.NoGate {
		return s.gate.name(s, addr, p)
	}
	if p.Image == nil {
		// JIT compilers map their code from memory files, too.
		if n := s.jit(addr); n.Symbol != "" {
			return n
		}
		return Name{Miss: NoImage, Module: p.Module, ModOff: addr - p.Mapping.Start + p.Mapping.Offset}
	}
	return s.inImage(p.Image, p.Module, p.Link(addr))
}

// inImage names a link-time address.
func (s *Symbolizer) inImage(im *image.Image, mod *image.Module, link uint64) Name {
	n := Name{Module: mod, ModOff: link}
	n.set(s.namesOf(im, mod).find(link))
	return n
}

// set takes in what find says of n's address.
func (n *Name) set(name string, start uint64, from string, ok bool) {
	if !ok {
		n.Miss = NoSymbol
		return
	}
	n.Symbol, n.Offset, n.Source = name, n.ModOff-start, from
}

// Image names a link-time address of an image by itself, as addr2line does.
func (s *Symbolizer) Image(im *image.Image, link uint64, exact bool) (n Name) {
	lookup := lookupAddress(link, exact)
	err := guard.Read(func() error {
		n = s.inImage(im, nil, lookup)
		s.withLines(&n, func() *Lines { return s.ImageLines(im, []uint64{lookup}, true) })
		return nil
	})
	if err != nil {
		return Name{Miss: NoImage}
	}
	n.Offset += link - lookup
	n.ModOff += link - lookup
	return n
}

// NewForImage returns a symbolizer for Image alone.
func NewForImage(o Options) *Symbolizer { return &Symbolizer{options: o} }
