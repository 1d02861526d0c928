package core

import (
	"bytes"
	"cmp"
	"debug/elf"
	"slices"
	"strings"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/maps"
)

// Maps puts together what /proc/PID/maps would have shown: the core's segments,
// split where the list of files says so, and files that have no segment because
// the writer left them out. Devices are unknown and 0; inodes are made up, one
// for each file. Anonymous memory has no name, but for the stack and the gate.
func (f *File) Maps() *maps.Map {
	b := mapper{f: f, inodes: make(map[string]uint64)}
	b.entries = make([]maps.Mapping, 0, len(f.Segments)+len(f.Files))
	files := slices.Clone(f.Files)
	for i := range f.Segments {
		s := &f.Segments[i]
		at := s.Start
		for len(files) > 0 && files[0].Start < s.End {
			m := files[0]
			if m.Start < at {
				b.file(m, m.Start, min(m.End, at), b.permOf(&m))
			}
			if m.Start > at {
				b.anonymous(s, at, m.Start)
				at = m.Start
			}
			if m.End > at {
				end := min(m.End, s.End)
				b.file(m, at, end, perm(s.Flags))
				at = end
			}
			if m.End > s.End {
				files[0] = m.from(s.End)
				break
			}
			files = files[1:]
		}
		b.anonymous(s, at, s.End)
	}
	for _, m := range files {
		b.file(m, m.Start, m.End, b.permOf(&m))
	}
	return maps.New(b.entries)
}

// mapper makes the entries of a maps.Map.
type mapper struct {
	f       *File
	entries []maps.Mapping
	inodes  map[string]uint64
	loads   map[string][]phdr // the PT_LOADs of mapped images, by path
}

func perm(flags elf.ProgFlag) (p maps.Perm) {
	if flags&elf.PF_R != 0 {
		p |= maps.Read
	}
	if flags&elf.PF_W != 0 {
		p |= maps.Write
	}
	if flags&elf.PF_X != 0 {
		p |= maps.Exec
	}
	return p
}

// file adds the part [start, end) of a mapped file.
func (b *mapper) file(m FileMapping, start, end uint64, p maps.Perm) {
	if start >= end {
		return
	}
	path, deleted := strings.CutSuffix(m.Path, " (deleted)")
	e := maps.Mapping{Start: start, End: end, Perm: p, Offset: m.Offset + (start - m.Start), Path: path, Deleted: deleted}
	e.Inode = b.inodes[m.Path]
	if e.Inode == 0 {
		e.Inode = uint64(len(b.inodes) + 1)
		b.inodes[m.Path] = e.Inode
	}
	b.entries = append(b.entries, e)
}

// anonymous adds the part [start, end) of a segment that no file is mapped to.
func (b *mapper) anonymous(s *Segment, start, end uint64) {
	gate := b.f.Auxv[atSysinfoEhdr]
	if gate > start && gate < end {
		b.anonymous(s, start, gate)
		start = gate
	}
	if start >= end {
		return
	}
	e := maps.Mapping{Start: start, End: end, Perm: perm(s.Flags)}
	switch {
	case start == gate && gate != 0 || b.f.Auxv == nil && b.isVDSO(&e):
		e.Path = "[vdso]"
	case start == arch.VsyscallStart && b.f.abi().Vsyscall:
		e.Path = "[vsyscall]"
	case e.Contains(b.f.mainStack()):
		e.Path = "[stack]"
	}
	b.entries = append(b.entries, e)
}

// isVDSO recognizes the vDSO by what it holds, in a core without auxiliary
// vector.
func (b *mapper) isVDSO(e *maps.Mapping) bool {
	const most = 64 << 10
	if e.Perm&maps.Exec == 0 || e.End-e.Start > most {
		return false
	}
	image := make([]byte, e.End-e.Start)
	n, _ := b.f.ReadMemory(e.Start, image)
	image = image[:n]
	return bytes.HasPrefix(image, []byte(elf.ELFMAG)) &&
		(bytes.Contains(image, []byte("linux-vdso")) || bytes.Contains(image, []byte("linux-gate")))
}

// mainStack is an address in the stack that the kernel made.
func (f *File) mainStack() uint64 {
	if at := f.Auxv[atRandom]; at != 0 {
		return at
	}
	for i := range f.Threads {
		if f.Threads[i].TID == f.PID {
			return f.Threads[i].SP
		}
	}
	return 0
}

// permOf tells the rights of a mapping that the core has no segment for, by the
// program headers of the image, whose first page cores hold. Without them it is
// taken for code: whoever leaves out a mapping leaves out what is not written.
func (b *mapper) permOf(m *FileMapping) maps.Perm {
	if b.loads == nil {
		b.loads = make(map[string][]phdr)
		for i := range b.f.Files {
			head := &b.f.Files[i]
			if _, known := b.loads[head.Path]; known || head.Offset != 0 {
				continue
			}
			im, _ := b.f.imageAt(head.Start)
			b.loads[head.Path] = im.loads
		}
	}
	for _, p := range b.loads[m.Path] {
		if m.Offset < p.off+p.filesz && m.Offset+(m.End-m.Start) > p.off {
			return perm(p.flags)
		}
	}
	return maps.Read | maps.Exec
}

// sortFiles brings the mapped files into order. Where hostile ones overlap the
// first stays whole.
func (f *File) sortFiles() {
	slices.SortStableFunc(f.Files, func(a, b FileMapping) int { return cmp.Compare(a.Start, b.Start) })
	out := f.Files[:0]
	var end uint64
	for _, m := range f.Files {
		if m.Start < end {
			if m.End <= end {
				continue
			}
			m = m.from(end)
		}
		end = m.End
		out = append(out, m)
	}
	f.Files = out
}

// from is the part of m from an address within it on.
func (m FileMapping) from(at uint64) FileMapping {
	m.Offset += at - m.Start
	m.Start = at
	return m
}
