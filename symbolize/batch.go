package symbolize

import (
	"math/bits"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
)

// MaxBatch is how many addresses NameAll and ImageAll take at once.
const MaxBatch = elfsym.MaxBatch

// NameAll is Name for at most MaxBatch addresses, exact or return addresses all
// of them: names[i] becomes the name of addrs[i]. It reports false where a file
// went away meanwhile; names are worth nothing then.
func (s *Symbolizer) NameAll(addrs []uint64, exact bool, names []Name) (ok bool) {
	err := guard.Read(func() error {
		s.nameAll(addrs, exact, names)
		return nil
	})
	return err == nil
}

// nameAll is NameAll for a caller that guards it.
func (s *Symbolizer) nameAll(addrs []uint64, exact bool, names []Name) {
	var places [MaxBatch]image.Place
	todo := uint64(0) // one bit for each address
	for i, addr := range addrs {
		p := s.space.Locate(lookupAddress(addr, exact))
		if p.Image == nil || p.Module.Gate != maps.NoGate || s.known != nil {
			names[i] = s.Name(addr, exact)
			continue
		}
		places[i] = p
		todo |= 1 << i
	}
	for todo != 0 { // the addresses of one image
		first := places[bits.TrailingZeros64(todo)]
		var links [MaxBatch]uint64
		var out [MaxBatch]*Name
		n := 0
		for rest := todo; rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros64(rest)
			p := &places[i]
			if p.Image != first.Image {
				continue
			}
			todo &^= 1 << i
			lookup := lookupAddress(addrs[i], exact)
			links[n], out[n] = p.Link(lookup), &names[i]
			names[i] = Name{Module: p.Module, Offset: addrs[i] - lookup}
			n++
		}
		s.namesOf(first.Image, first.Module).findBatch(links[:n], out[:n])
	}
}

// ImageAll is Image for at most MaxBatch addresses; see NameAll.
func (s *Symbolizer) ImageAll(im *image.Image, addrs []uint64, exact bool, names []Name) (ok bool) {
	var links [MaxBatch]uint64
	var out [MaxBatch]*Name
	for i, addr := range addrs {
		links[i], out[i] = lookupAddress(addr, exact), &names[i]
		names[i] = Name{Offset: addr - links[i]}
	}
	err := guard.Read(func() error {
		s.namesOf(im, nil).findBatch(links[:len(addrs)], out[:len(addrs)])
		return nil
	})
	return err == nil
}

// findBatch names link-time addresses. The Offset of each Name has the distance
// of the address meant from the one given, which it adds.
func (n *imageNames) findBatch(links []uint64, out []*Name) {
	var refs [MaxBatch]elfsym.Ref
	var offs [MaxBatch]uint64
	s := &n.sources[0]
	s.im.FindAll(shifted(links, s.shift), refs[:], offs[:])
	s.names.warm(refs[:len(links)])
	for i, link := range links {
		o := out[i]
		back := o.Offset
		o.ModOff, o.Offset = link, 0
		name, noSize := s.names.get(refs[i])
		if name == "" || noSize && n.refuted(link-offs[i], link) {
			o.set(n.findIn(n.sources[1:], link))
		} else {
			o.Symbol, o.Offset, o.Source = name, offs[i], s.from(refs[i])
		}
		o.Offset += back
		o.ModOff += back
	}
}

// warm reads where the names of refs are, then the names, so that get need not
// wait for each by itself. Its result means nothing; it keeps the reads from
// being left out.
//
//go:noinline
func (n *names) warm(refs []elfsym.Ref) (sum byte) {
	var at [MaxBatch]uint64
	for i, ref := range refs {
		if uint64(ref) < uint64(len(n.shown)) {
			at[i] = n.shown[ref].Load()
		}
	}
	for _, v := range at[:len(refs)] {
		if v == 0 {
			continue
		}
		name := n.at(v)
		// Names are long: a cache line holds half of a C++ name.
		for i := 0; i < len(name); i += 64 {
			sum ^= name[i]
		}
	}
	return sum
}
