package elfsym

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// none stands for no symbol in owner and number fields.
const none = math.MaxUint32

// probe is one address of a scan.
type probe struct {
	addr  uint64
	at    area
	cover uint32 // the best sized symbol that covers addr
	cval  uint64 // and its value
	// near is the best of the symbols with the highest start of all that
	// start after the probe before this one, and nearSized tells that one of
	// them has a size. The start itself is in scan.near.
	near      uint32
	nearSized bool
	// src is the place of the address in the caller's list.
	src int
}

// scan is one pass over a symbol table for a sorted list of addresses.
type scan struct {
	t      *table
	as     *areas
	probes []probe
	addrs  []uint64 // of the probes: the pass touches these two only,
	near   []uint64 // as long as a symbol is of no interest
	bucket []uint32 // the first probe at or behind a bucket's start
	shift  uint
	budget int // how many more covered probes may be visited
}

// run makes the pass. It reports false when symbols that cover very many
// probes made it so dear that the index is the better way.
func (sc *scan) run() bool {
	k := len(sc.probes)
	if k == 0 {
		return true
	}
	sc.addrs, sc.near = make([]uint64, k), make([]uint64, k)
	for i := range sc.probes {
		p := &sc.probes[i]
		p.cover, p.near, p.nearSized = none, none, false
		sc.addrs[i], sc.near[i] = p.addr, p.at.lo
	}
	sc.budget = int(sc.t.n)*4 + 1<<16
	sc.buckets()
	if sc.t.common {
		sc.pass64()
	} else {
		sc.pass()
	}
	if sc.budget < 0 {
		return false
	}
	for i := 1; i < k; i++ {
		p, prev := &sc.probes[i], &sc.probes[i-1]
		if p.near == none && !p.nearSized && p.at.lo == prev.at.lo {
			p.near, p.nearSized = prev.near, prev.nearSized
		}
	}
	return true
}

// buckets divides the range of the probes into about four parts each.
func (sc *scan) buckets() {
	first, last := sc.addrs[0], sc.addrs[len(sc.addrs)-1]
	n := 4 * len(sc.addrs)
	sc.shift = uint(max(0, bits.Len64(last-first)-bits.Len(uint(n))))
	sc.bucket = make([]uint32, (last-first)>>sc.shift+1)
	i := 0
	for b := range sc.bucket {
		for sc.addrs[i]-first < uint64(b)<<sc.shift {
			i++
		}
		sc.bucket[b] = uint32(i)
	}
}

// pass64 is pass for the common layout. What a symbol costs here is what a cold
// lookup in a large file costs, so names, types and sections are left to visit.
func (sc *scan) pass64() {
	syms, addrs, near := sc.t.syms, sc.addrs, sc.near
	first, last := addrs[0], addrs[len(addrs)-1]
	bucket, shift := sc.bucket, sc.shift
	near = near[:len(addrs)]
	for i := uint32(0); len(syms) >= symSize64; i++ {
		value := binary.LittleEndian.Uint64(syms[8:])
		size := binary.LittleEndian.Uint64(syms[16:])
		syms = syms[symSize64:]
		if value > last {
			continue
		}
		j := 0
		if value > first {
			j = int(bucket[(value-first)>>shift])
			for addrs[j] < value {
				j++
			}
		}
		if addrs[j]-value >= size && value < near[j] {
			continue
		}
		sc.visit(i, j)
	}
}

// pass visits every symbol that starts at or below an address.
func (sc *scan) pass() {
	first, last := sc.addrs[0], sc.addrs[len(sc.addrs)-1]
	for i := uint32(0); i < sc.t.n; i++ {
		s := sc.t.at(i)
		if s.value > last {
			continue
		}
		j := 0
		if s.value > first {
			j = int(sc.bucket[(s.value-first)>>sc.shift])
			for sc.addrs[j] < s.value {
				j++
			}
		}
		if sc.addrs[j]-s.value >= s.size && s.value < sc.near[j] {
			continue
		}
		sc.visit(i, j)
	}
}

// visit takes symbol i into account for the probes from j on: the first one
// that is not below the symbol.
func (sc *scan) visit(i uint32, j int) {
	if sc.budget < 0 {
		return
	}
	t := sc.t
	s := t.at(i)
	at, ok := sc.as.find(s.value)
	if !ok || !t.candidate(&s) {
		return
	}
	p := &sc.probes[j]
	if p.at.lo == at.lo && s.value >= sc.near[j] {
		if s.value > sc.near[j] {
			sc.near[j] = s.value
			p.near, p.nearSized = none, false
		}
		switch {
		case s.size > 0:
			p.nearSized = true
		case p.near == none || t.beats(&s, i, p.near):
			p.near = i
		}
	}
	size := min(s.size, at.size-(s.value-at.lo))
	for ; j < len(sc.addrs) && sc.addrs[j]-s.value < size; j++ {
		p := &sc.probes[j]
		if p.cover == none || s.value > p.cval || s.value == p.cval && t.beats(&s, i, p.cover) {
			p.cover, p.cval = i, s.value
		}
		sc.budget--
	}
}

// beats reports whether symbol s, number i, is better than number j, which has
// the same start.
func (t *table) beats(s *symbol, i, j uint32) bool {
	other := t.at(j)
	return t.better(s, i, &other, j)
}

// lookup finds the symbols for probes whose addresses ascend and whose areas are
// set. found is called with the probe's src and the symbol's number. It reports
// false when the index should be asked instead.
func (t *table) lookup(as *areas, probes []probe, found func(src int, sym uint32)) bool {
	sc := &scan{t: t, as: as, probes: probes}
	if !sc.run() {
		return false
	}
	// A sizeless symbol inside a sized one names nothing: ask what covers the
	// starts of those that would name something.
	var starts []probe
	for i := range probes {
		p := &probes[i]
		switch {
		case p.cover != none:
			found(p.src, p.cover)
		case p.near != none && !p.nearSized:
			start := t.at(p.near).value
			starts = append(starts, probe{addr: start, at: p.at, src: i})
		}
	}
	if starts == nil {
		return true
	}
	// The starts ascend as the probes do, as each is the highest below its own.
	sc = &scan{t: t, as: as, probes: starts}
	if !sc.run() {
		return false
	}
	for i := range starts {
		if starts[i].cover == none {
			p := &probes[starts[i].src]
			found(p.src, p.near)
		}
	}
	return true
}
