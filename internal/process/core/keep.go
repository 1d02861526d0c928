package core

import (
	"cmp"
	"debug/elf"
	"slices"
)

// Parts of a core's memory that a stream keeps, in bytes.
const (
	imagePage  = 4 << 10  // of an image: its headers and, in general, its build ID
	aroundPC   = 4 << 10  // before and behind
	firstPart  = 64 << 10 // of each stack
	codePart   = 4 << 20  // of code of no file
	dataPart   = 1 << 20  // of data that the dynamic linker's list may be in
	stackLimit = 16 << 20 // of the stack below an alternate one
)

// keeper decides what is kept of a stream's memory.
type keeper struct {
	f       *File
	room    int    // bytes that may be kept
	total   uint64 // bytes that the core holds
	planned bool
	want    []span // ascending and disjoint, once planned
	used    int
	mem     []piece
	left    bool // something was left out
}

// span is the addresses [lo, hi).
type span struct{ lo, hi uint64 }

// all reports whether everything is kept.
func (k *keeper) all() bool { return k.total <= uint64(k.room) }

// plan decides, once the threads are known, what is wanted.
func (k *keeper) plan() {
	k.planned = true
	if k.all() {
		return
	}
	// What is not planned for is for the images' first pages.
	left := uint64(k.room - k.room/8)
	add := func(lo, hi uint64) {
		s := k.f.segmentAt(lo)
		if s == nil {
			return
		}
		hi = min(hi, s.Start+s.Filesz)
		if lo >= hi {
			return
		}
		hi = lo + min(hi-lo, left)
		left -= hi - lo
		k.want = append(k.want, span{lo, hi})
	}
	// stack adds n bytes of a thread's stack.
	stack := func(t *Thread, n uint64) {
		lo := k.f.stackStart(t)
		add(lo, lo+min(n, -lo))
	}
	threads := k.f.Threads
	if len(threads) == 0 {
		return
	}
	first := &threads[0]
	stack(first, uint64(k.room/2))
	for i := range threads[1:] {
		stack(&threads[1+i], firstPart)
	}
	if vdso := k.f.Auxv[atSysinfoEhdr]; vdso != 0 {
		add(vdso, vdso+dataPart)
	}
	for i := range threads {
		pc := threads[i].PC
		if s := k.f.segmentAt(pc); s != nil {
			add(max(pc-min(pc, aroundPC), s.Start), pc+aroundPC)
		}
	}
	for _, at := range []uint64{first.TLS, k.f.Auxv[atRandom]} {
		if s := k.f.segmentAt(at); s != nil && s != k.f.segmentAt(first.SP) {
			add(s.Start, s.Start+stackLimit)
		}
	}
	for i := range k.f.Segments {
		if s := &k.f.Segments[i]; s.Flags&elf.PF_X != 0 && k.f.fileAt(s.Start) == nil {
			add(s.Start, s.Start+codePart)
		}
	}
	if len(k.f.Files) == 0 {
		for i := range k.f.Segments {
			if s := &k.f.Segments[i]; s.Flags&elf.PF_W != 0 {
				add(s.Start, s.Start+dataPart)
			}
		}
	}
	for i := range threads {
		stack(&threads[i], left/uint64(len(threads)-i))
	}
	k.merge()
}

// merge brings the wanted parts into order.
func (k *keeper) merge() {
	slices.SortFunc(k.want, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	out := k.want[:0]
	for _, s := range k.want {
		if n := len(out); n > 0 && s.lo <= out[n-1].hi {
			out[n-1].hi = max(out[n-1].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	k.want = out
}

// segment reads what is wanted of one PT_LOAD. It does not read on behind that.
func (k *keeper) segment(in *input, p *phdr) {
	lo, hi := p.vaddr, p.vaddr+min(p.filesz, -p.vaddr-1)
	if !k.planned || k.all() {
		k.keep(in, p, lo, hi)
		return
	}
	i, _ := slices.BinarySearchFunc(k.want, lo, func(s span, lo uint64) int { return cmp.Compare(s.hi, lo+1) })
	for ; i < len(k.want) && k.want[i].lo < hi; i++ {
		from := max(k.want[i].lo, lo)
		if from > lo {
			lo = k.head(in, p, lo, from)
		}
		lo = k.keep(in, p, max(lo, from), min(k.want[i].hi, hi))
	}
	if i == 0 || k.want[i-1].hi <= p.vaddr {
		lo = k.head(in, p, lo, hi)
	}
	k.left = k.left || lo < hi
}

// head keeps the first page of a segment that begins with an ELF image. It
// returns where the reading stands.
func (k *keeper) head(in *input, p *phdr, lo, hi uint64) uint64 {
	if lo != p.vaddr || !in.skipTo(p.off) {
		return lo
	}
	n := len(k.mem)
	end := k.keep(in, p, lo, min(hi, lo+imagePage))
	if len(k.mem) > n && string(k.mem[n].data[:min(4, len(k.mem[n].data))]) != elf.ELFMAG {
		k.used -= len(k.mem[n].data)
		k.mem = k.mem[:n]
		k.left = true
	}
	return end
}

// keep reads and keeps the addresses [lo, hi) of a segment, and returns how far
// it came.
func (k *keeper) keep(in *input, p *phdr, lo, hi uint64) uint64 {
	if room := uint64(k.room - k.used); hi-lo > room {
		hi = lo + room
		k.left = true
	}
	if lo >= hi || !in.skipTo(p.off+(lo-p.vaddr)) {
		return lo
	}
	b := make([]byte, hi-lo)
	if b = b[:in.read(b)]; len(b) > 0 {
		k.used += len(b)
		k.mem = append(k.mem, piece{lo, b})
	}
	return hi
}
