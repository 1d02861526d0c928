package symbolize

import (
	"runtime/debug"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/module"
)

// warmBatch bounds the addresses that are looked at together.
const warmBatch = 64

// Warm brings into the caches what naming addrs will read. Each step is made
// for all of them before the next one, so that the CPU waits for many places
// in memory at once instead of for one after the other. It does nothing for
// images whose index is not built yet.
func (s *Symbolizer) Warm(addrs []uint64) {
	var links [warmBatch]uint64
	n := 0
	var im *module.Image
	for _, a := range addrs {
		p := s.space.Locate(a)
		if p.Image == nil {
			continue
		}
		if p.Image != im || n == warmBatch {
			s.WarmImage(im, links[:n])
			im, n = p.Image, 0
		}
		links[n] = p.Link(a)
		n++
	}
	s.WarmImage(im, links[:n])
}

// WarmImage is Warm for link-time addresses of one image.
func (s *Symbolizer) WarmImage(im *module.Image, links []uint64) {
	if len(links) == 0 || s.names.Load() == nil {
		return
	}
	n := (*s.names.Load())[im]
	if n == nil || n.sources[0].shift != 0 || !n.sources[0].im.Indexed() {
		return
	}
	names := n.sources[0].names
	for len(links) > 0 {
		n := min(len(links), warmBatch)
		names.warm(links[:n])
		links = links[n:]
	}
}

// warm reads the index, then where the names are, then the names. Its result
// means nothing; it keeps the reads from being left out.
//
//go:noinline
func (n *names) warm(links []uint64) (sum byte) {
	// Whoever asks for a name that went away is told so then.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { recover() }()
	var refs [warmBatch]elfsym.Ref
	var at [warmBatch]uint64
	k := 0
	for _, link := range links {
		if ref, _, ok := n.im.LookupRef(link); ok && int(ref) < len(n.shown) {
			refs[k] = ref
			k++
		}
	}
	for i, ref := range refs[:k] {
		at[i] = n.shown[ref].Load()
	}
	for _, v := range at[:k] {
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
