package symbolize

import (
	gomaps "maps"
	"slices"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
)

// Query is an address to be named.
type Query struct {
	Addr  uint64
	Exact bool
}

// maxBatch is the number of addresses in one image above which its symbol
// index is worth building; fewer are found in one pass over the symbol table.
const maxBatch = 256

// Prepare looks up many addresses together, so that Name answers at once: each
// symbol table is read in a single pass. It must not run beside Name.
func (s *Symbolizer) Prepare(queries []Query) {
	guard.Read(func() error { // a fault: Name reports the miss
		s.prepare(queries)
		return nil
	})
}

// prepare is Prepare for a caller that guards it.
func (s *Symbolizer) prepare(queries []Query) {
	// Modules can share an image, under two names, and a module can be mapped
	// twice.
	type copyOf struct {
		mod  *image.Module
		bias uint64
	}
	type batch struct {
		im    *image.Image
		links []uint64
		addrs map[uint64]uint64 // by link-time address
	}
	if s.known == nil {
		s.known = make(map[uint64]Name, len(queries))
	}
	batches := make(map[copyOf]*batch)
	seen := make(map[uint64]bool, len(queries))
	for _, q := range queries {
		addr := lookupAddress(q.Addr, q.Exact)
		if seen[addr] {
			continue
		}
		seen[addr] = true
		p := s.space.Locate(addr)
		if p.Image == nil || p.Module.Gate != maps.NoGate {
			s.known[addr] = s.name(addr)
			continue
		}
		key := copyOf{p.Module, p.Bias}
		b := batches[key]
		if b == nil {
			b = &batch{im: p.Image, addrs: make(map[uint64]uint64)}
			batches[key] = b
		}
		link := p.Link(addr)
		b.links = append(b.links, link)
		b.addrs[link] = addr
	}
	for key, b := range batches {
		if len(b.links) > maxBatch {
			continue
		}
		slices.Sort(b.links)
		b.links = slices.Compact(b.links)
		s.namesOf(b.im, key.mod).findAll(b.links, func(link uint64, name string, start uint64, from string, ok bool) {
			n := Name{Module: key.mod, ModOff: link}
			n.set(name, start, from, ok)
			s.known[b.addrs[link]] = n
		})
	}
	if s.options.Lines {
		s.prepareLines(seen)
	}
}

// prepareLines adds lines to all names of s.known, and names what prepare left to
// the symbol index.
func (s *Symbolizer) prepareLines(seen map[uint64]bool) {
	addrs := slices.Sorted(gomaps.Keys(seen))
	lines := s.Lines(addrs, true)
	for i, addr := range addrs {
		n, ok := s.known[addr]
		if !ok {
			n = s.name(addr)
		}
		if w := new(Where); lines.At(i, w) {
			n.Where = w
		}
		s.known[addr] = n
	}
}
