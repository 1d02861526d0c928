package core

import (
	"cmp"
	"debug/elf"
	"slices"
	"sort"
)

func (f *File) addSegment(p *phdr) {
	end := p.vaddr + max(p.memsz, p.filesz)
	if end < p.vaddr {
		end = ^uint64(0)
	}
	if end == p.vaddr {
		return
	}
	f.Segments = append(f.Segments, Segment{
		Start: p.vaddr, End: end,
		Filesz: min(p.filesz, end-p.vaddr),
		Flags:  p.flags & (elf.PF_R | elf.PF_W | elf.PF_X),
		off:    p.off,
	})
}

// sortSegments brings the segments into order. Those of a kernel are disjoint;
// of hostile ones that overlap, the first is found.
func (f *File) sortSegments() {
	slices.SortStableFunc(f.Segments, func(a, b Segment) int { return cmp.Compare(a.Start, b.Start) })
	out := f.Segments[:0]
	for _, s := range f.Segments {
		if n := len(out); n > 0 && s.Start < out[n-1].End {
			continue
		}
		out = append(out, s)
	}
	f.Segments = out
}

// segmentAt returns the segment that holds addr, or nil.
func (f *File) segmentAt(addr uint64) *Segment {
	if i := f.segmentIndex(addr); i >= 0 {
		return &f.Segments[i]
	}
	return nil
}

// segmentIndex returns the index of the segment that holds addr, or -1.
func (f *File) segmentIndex(addr uint64) int {
	i := sort.Search(len(f.Segments), func(i int) bool { return f.Segments[i].End > addr })
	if i < len(f.Segments) && f.Segments[i].Start <= addr {
		return i
	}
	return -1
}

// fileAt returns the mapped file at addr, or nil.
func (f *File) fileAt(addr uint64) *FileMapping {
	i := sort.Search(len(f.Files), func(i int) bool { return f.Files[i].End > addr })
	if i < len(f.Files) && f.Files[i].Start <= addr {
		return &f.Files[i]
	}
	return nil
}

// stackGap is how far below a stack a stack pointer is looked for that has run
// out of it: the kernel keeps a gap of 256 pages (mm/mmap.c, stack_guard_gap).
const stackGap = 1 << 20

// stackStart is where the stack begins that a thread's stack pointer belongs to.
// One that has run into the guard page belongs to what lies above.
func (f *File) stackStart(t *Thread) uint64 {
	sp, lo := t.SP, t.SP
	if t.Arch != nil {
		lo -= min(sp, uint64(t.Arch.RedZone))
	}
	i := sort.Search(len(f.Segments), func(i int) bool { return f.Segments[i].End > sp })
	for ; i < len(f.Segments) && f.Segments[i].Start < sp+stackGap; i++ {
		if s := &f.Segments[i]; s.Filesz > 0 {
			return max(lo, s.Start)
		}
	}
	return lo
}
