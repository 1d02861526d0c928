package image

import (
	"bytes"
	"debug/elf"
	"slices"
	"sync"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/maps"
)

// Programs move their code to other memory at the same addresses, for the sake of
// huge pages: node --use-largepages, iodlr, BOLT's hugify, libhugetlbfs, PHP. The
// maps then show anonymous memory, or a file of hugetlbfs, amid the file's
// mappings. Such memory is taken for the file's only page by page, and only where
// its bytes are those of the file.

// moved is what is known of a region that may hold the code of a module which is
// mapped around it.
type moved struct {
	candidates []neighbour // by the maps alone

	mu   sync.Mutex
	same map[uint64]bool // by address of the page: it holds the file's bytes
}

// neighbour is a region of a module next to one that may hold its code: on one
// side, or with other on both.
type neighbour struct {
	region, other *region
}

// pageSize is how many bytes are compared: the smallest page of any machine.
const pageSize = 4096

// maxChain is how many regions without a module may lie between.
const maxChain = 16

// findMoved finds the modules whose code s's region i may hold: the one mapped on
// both sides of it, or, where only one side touches it, the one there.
func (s *Space) findMoved(i int) *moved {
	left, touchesLeft := s.beside(i, -1)
	right, touchesRight := s.beside(i, 1)
	var list []neighbour
	if left != nil && right != nil && left.module == right.module {
		list = append(list, neighbour{left, right})
	} else {
		if touchesLeft {
			list = append(list, neighbour{left, nil})
		}
		if touchesRight {
			list = append(list, neighbour{right, nil})
		}
	}
	for _, n := range list {
		n.region.module.hasMoved = true
	}
	if list == nil {
		return nil
	}
	return &moved{candidates: list, same: make(map[uint64]bool)}
}

// beside returns the nearest region of a file on one side of region i, other than
// of region i's own, and whether nothing lies between that is not mapped.
func (s *Space) beside(i, step int) (r *region, touches bool) {
	self := &s.regions[i]
	edge := self
	touches = true
	for j := i + step; j >= 0 && j < len(s.regions) && step*(j-i) <= maxChain; j += step {
		r := &s.regions[j]
		touches = touches && (r.end == edge.start || edge.end == r.start)
		edge = r
		switch {
		case r.module == nil || r.module == self.module || r.module.holdsMemory():
		case r.module.Gate != maps.NoGate:
			return nil, false
		default:
			return r, touches
		}
	}
	return nil, false
}

// holdsMemory reports whether the module may be memory that only looks like a file
// in the maps, as that of hugetlbfs and memfd does. A program that was deleted may
// be taken for it; to ask whether it has the bytes of another does no harm.
func (m *Module) holdsMemory() bool {
	return m.Gate == maps.NoGate && m.first.Deleted && m.first.Perm&maps.Exec != 0
}

// movedPlace tells of which file the page that holds addr is: in memory that is none of
// a module's own. With parsed set it opens no image.
func (s *Space) movedPlace(r *region, addr uint64, parsed bool) (Place, bool) {
	if r.moved == nil {
		return Place{}, false
	}
	for _, n := range r.moved.candidates {
		if parsed && !n.region.module.loaded.Load() {
			continue
		}
		p, ok := n.place(r)
		if ok && s.isMoved(r, &p, addr&^(pageSize-1)) {
			return p, true
		}
	}
	return Place{}, false
}

// place is where r lies if it holds the code of the neighbour.
func (n *neighbour) place(r *region) (p Place, ok bool) {
	m := n.region.module
	im, err := m.Image()
	if err != nil || im.holes {
		return p, false
	}
	bias, ok := n.region.loadBias(im)
	if ok && n.other != nil {
		other, same := n.other.loadBias(im)
		ok = same && other == bias
	}
	return Place{Mapping: r.mapping, Module: m, Image: im, Bias: bias}, ok
}

// resolveMoved turns an offset in m into a run-time address in r, if that holds the
// code there.
func (s *Space) resolveMoved(r *region, m *Module, off uint64) (addr uint64, ok bool) {
	if r.moved == nil {
		return 0, false
	}
	for _, n := range r.moved.candidates {
		if n.region.module != m {
			continue
		}
		p, ok := n.place(r)
		if !ok {
			continue
		}
		addr := off + p.Bias
		if p.Image.PtrSize() == 4 {
			addr &= 1<<32 - 1
		}
		if addr >= r.start && addr < r.end && s.isMoved(r, &p, addr&^(pageSize-1)) {
			return addr, true
		}
	}
	return 0, false
}

// isMoved reports whether the page at an address in r holds the bytes that p's
// image has there: those of its executable segments, as far as they fill it.
func (s *Space) isMoved(r *region, p *Place, page uint64) bool {
	seg, ok := p.segment(page)
	if !ok {
		return false
	}
	r.moved.mu.Lock()
	defer r.moved.mu.Unlock()
	same, known := r.moved.same[page]
	if !known {
		var mem [pageSize]byte
		if n, _ := s.src.ReadMemory(page, mem[:]); n == pageSize {
			same = p.samePage(&seg, p.Link(page), mem[:])
		}
		r.moved.same[page] = same
	}
	return same
}

// segment returns the executable segment that has bytes in the page at an address.
func (p *Place) segment(page uint64) (elfsym.Segment, bool) {
	link := p.Link(page)
	for _, seg := range p.Image.Segments() {
		if seg.Flags&elf.PF_X != 0 && link+pageSize > seg.Vaddr && link < seg.Vaddr+seg.Filesz {
			return seg, true
		}
	}
	return elfsym.Segment{}, false
}

// samePage compares a page of memory with the one at a link-time address.
func (p *Place) samePage(seg *elfsym.Segment, link uint64, mem []byte) (same bool) {
	lo, hi := max(link, seg.Vaddr), min(link+pageSize, seg.Vaddr+seg.Filesz)
	guard.Read(func() error {
		file := p.Image.Bytes(lo, int(hi-lo))
		same = uint64(len(file)) == hi-lo && bytes.Equal(file, mem[lo-link:hi-link])
		return nil
	})
	return same
}

// maxCompared bounds how many bytes of a region FileEntries compares.
const maxCompared = 1 << 30

// FileEntries is the entries of the maps, but memory that holds a file's code is
// shown as that file's mapping: for who has no memory to compare with the file.
func (s *Space) FileEntries() []maps.Mapping {
	var out []maps.Mapping
	at := 0
	for i := range s.Maps.Entries {
		e := &s.Maps.Entries[i]
		r := s.find(e.Start)
		if r == nil || r.mapping != e || r.moved == nil {
			continue
		}
		parts := s.split(r)
		if len(parts) == 0 {
			continue
		}
		out = append(append(out, s.Maps.Entries[at:i]...), parts...)
		at = i + 1
	}
	if at == 0 {
		return s.Maps.Entries
	}
	return append(out, s.Maps.Entries[at:]...)
}

// split divides r into mappings of files and the rest; nil where all is rest.
func (s *Space) split(r *region) (parts []maps.Mapping) {
	found := false
	for page := r.start; page < r.end && page-r.start < maxCompared; page += pageSize {
		e := *r.mapping
		if p, ok := s.movedPlace(r, page, false); ok {
			found = true
			e = p.mapped(e, page)
		} else if e.IsFile() {
			e.Offset += page - r.start
		}
		e.Start, e.End = page, page+pageSize
		if n := len(parts) - 1; n >= 0 && continues(&parts[n], &e) {
			parts[n].End = e.End
			continue
		}
		parts = append(parts, e)
	}
	if !found {
		return nil
	}
	parts[len(parts)-1].End = max(parts[len(parts)-1].End, r.end)
	return slices.Clip(parts)
}

// mapped is the mapping e, as the file's own would be at page.
func (p *Place) mapped(e maps.Mapping, page uint64) maps.Mapping {
	seg, _ := p.segment(page)
	first := p.Module.first
	e.Path, e.Dev, e.Inode, e.Deleted, e.Padded = first.Path, first.Dev, first.Inode, first.Deleted, false
	e.Offset = seg.Off + (p.Link(page) - seg.Vaddr)
	return e
}

// continues reports whether b goes on with what a maps.
func continues(a, b *maps.Mapping) bool {
	return a.End == b.Start && a.Path == b.Path && a.Inode == b.Inode && a.Dev == b.Dev &&
		(a.Inode == 0 || a.Offset+(a.End-a.Start) == b.Offset)
}
