//go:build linux

package golang

import (
	"slices"
	"strings"

	"github.com/gatedso/bt/internal/process"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/stack"
)

// The labels of runtime/pprof: since Go 1.24 a slice of pairs of strings, before a map
// from string to string.
const (
	labelSlice = 24 // Go 1.N

	maxLabels     = 64
	maxLabelText  = 1024
	maxLabelSets  = 4096 // different ones in a process
	maxBucketBits = 4

	// A map before Go 1.24 (runtime/map.go): the number of entries is the first
	// word, the logarithm of the number of buckets the byte behind the flags behind
	// it. A bucket has 8 bytes that tell which entries are in use, 8 keys, 8 values,
	// and a pointer to the next one.
	bucketEntries = 8
	minTopHash    = 5
)

// copyLabels reads the labels of goroutines, each set once.
func (p *program) copyLabels(m *process.Recorder) {
	var sets []uint64
	var known seen
	for i := range p.taken.gs {
		if a := p.taken.gs[i].g.word(p.lay.gLabels); a != 0 && len(sets) < maxLabelSets && known.add(a) {
			sets = append(sets, a)
		}
	}
	if len(sets) == 0 {
		return
	}
	w := p.lay.word
	heads := p.scratch.fetchAll(m, sets, 8*w)
	var ranges []process.Range
	for i := range sets {
		h := view{heads[i], p.lay}
		if p.lay.minor >= labelSlice {
			if n := h.word(w); n <= maxLabels {
				ranges = append(ranges, process.Range{Start: h.word(0), Len: n * uint64(4*w)})
			}
			continue
		}
		// They lead to a variable that holds the map, which is a pointer.
		ranges = append(ranges, process.Range{Start: h.word(0), Len: uint64(8 * w)})
	}
	data := m.Prefetch(ranges)
	if p.lay.minor < labelSlice {
		ranges = ranges[:0]
		for _, b := range data {
			if buckets, n, ok := p.buckets(view{b, p.lay}); ok {
				ranges = append(ranges, process.Range{Start: buckets, Len: n * p.bucketSize()})
			}
		}
		data = m.Prefetch(ranges)
	}
	ranges = ranges[:0]
	for _, b := range data {
		v := view{b, p.lay}
		if p.lay.minor >= labelSlice {
			for off := 0; off+2*w <= len(b); off += 2 * w {
				ranges = append(ranges, process.Range{Start: v.word(off), Len: min(v.word(off+w), maxLabelText)})
			}
			continue
		}
		size := int(p.bucketSize())
		for at := 0; at+size <= len(b); at += size {
			for i := range 2 * bucketEntries {
				off := at + bucketEntries + i*2*w
				ranges = append(ranges, process.Range{Start: v.word(off), Len: min(v.word(off+w), maxLabelText)})
			}
		}
	}
	m.Prefetch(ranges)
}

func (p *program) bucketSize() uint64 {
	return uint64(bucketEntries + 4*bucketEntries*p.lay.word + p.lay.word)
}

// buckets reads the header of a map.
func (p *program) buckets(h view) (addr, n uint64, ok bool) {
	w := p.lay.word
	count, bits := h.word(0), h.byte(w+1)
	addr = h.word(w + 8)
	return addr, 1 << bits, count > 0 && count <= maxLabels && bits <= maxBucketBits && addr != 0
}

// labels returns the labels of a goroutine, sorted by key, and whether these are all.
func (p *program) labels(m *process.Recorder, addr uint64) (out []stack.Label, all bool) {
	if addr == 0 {
		return nil, true
	}
	all = true
	w := p.lay.word
	at := func(addr uint64, i int) uint64 {
		v, _ := m.Word(p.mask(addr+uint64(i*w)), w)
		return v
	}
	add := func(key, value uint64) {
		k, ok1 := runtimes.String(m, at(key, 0), at(key, 1), maxLabelText)
		v, ok2 := runtimes.String(m, at(value, 0), at(value, 1), maxLabelText)
		if ok1 && ok2 && len(out) < maxLabels {
			out = append(out, stack.Label{Key: k, Value: v})
		} else {
			all = false
		}
	}
	if p.lay.minor >= labelSlice {
		list, n := at(addr, 0), at(addr, 1)
		all = n <= maxLabels
		for i := range min(n, maxLabels) {
			pair := p.mask(list + i*uint64(4*w))
			add(pair, p.mask(pair+uint64(2*w)))
		}
	} else {
		h := make([]byte, 8*w)
		got := m.Read(at(addr, 0), h)
		buckets, n, ok := p.buckets(view{h[:got], p.lay})
		all = ok
		for i := uint64(0); ok && i < n; i++ {
			b := buckets + i*p.bucketSize()
			for k := range uint64(bucketEntries) {
				if top, ok := m.Word(p.mask(b+k), 1); ok && top >= minTopHash {
					key := b + bucketEntries + k*uint64(2*w)
					add(p.mask(key), p.mask(key+uint64(2*w*bucketEntries)))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b stack.Label) int { return strings.Compare(a.Key, b.Key) })
	return out, all
}
