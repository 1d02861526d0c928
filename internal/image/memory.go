package image

import (
	"fmt"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/maps"
)

// maxMemoryImage bounds the size in bytes of an image that is read from
// memory.
const maxMemoryImage = 256 << 20

// fromMemory reads the image from the process: what its mappings hold of the
// file, each at its file offset. Sections are not mapped; the program headers
// lead to the dynamic symbols and to .eh_frame_hdr.
func (m *Module) fromMemory() (*Image, error) {
	if m.head == nil {
		return nil, fmt.Errorf("%s: the start of the image is not mapped", m.Path)
	}
	var size uint64
	var parts []*maps.Mapping
	holes := false
	for _, i := range m.regions {
		r := &m.space.regions[i]
		if r.mapping.Perm&maps.Read == 0 && m.Gate == maps.NoGate {
			continue
		}
		// Another copy of the same file, mapped elsewhere, is not it. It
		// begins like the first one; a small file's first page can be
		// mapped again within a copy, as data.
		if r.start < m.head.Start {
			continue
		}
		if r.mapping != m.head && r.mapping.Offset == 0 && r.mapping.Perm == m.head.Perm {
			break
		}
		// A core file leaves out what a file holds: make no room for it.
		if n, _ := m.space.src.ReadMemory(r.start, make([]byte, 1)); n == 0 {
			holes = true
			continue
		}
		end := r.mapping.Offset + (r.end - r.start)
		if end > maxMemoryImage || end < r.mapping.Offset {
			return nil, fmt.Errorf("%s: too large to be read from memory", m.Path)
		}
		size = max(size, end)
		parts = append(parts, r.mapping)
	}
	data := make([]byte, size)
	got := 0
	for _, p := range parts {
		part := data[p.Offset : p.Offset+(p.End-p.Start)]
		n, _ := m.space.src.ReadMemory(p.Start, part)
		got += n
		holes = holes || n < len(part)
	}
	if got < 64 {
		return nil, fmt.Errorf("%s: cannot be read from memory", m.Path)
	}
	im, err := elfsym.New(data, m.Path)
	if err != nil {
		return nil, err
	}
	if unrelocate(data, im, m.head.Start) {
		if im, err = elfsym.New(data, m.Path); err != nil {
			return nil, err
		}
	}
	out := NewImage(im)
	out.holes = holes
	return out, nil
}

// memoryBuildID reads the build ID of the mapped image, nil if it has none or
// the memory cannot be read.
func (m *Module) memoryBuildID() []byte {
	if m.head == nil {
		return nil
	}
	// The ELF header, the program headers and the notes lie in the first
	// mapping in all that linkers make.
	n := min(m.head.End-m.head.Start, 64<<10)
	data := make([]byte, n)
	got, _ := m.space.src.ReadMemory(m.head.Start, data)
	im, err := elfsym.New(data[:got], m.Path)
	if err != nil {
		return nil
	}
	return im.BuildID()
}

// MappedBuildID is the build ID of the image as it is mapped, nil if unknown.
func (m *Module) MappedBuildID() []byte {
	if id := m.space.src.BuildID(m.first); id != nil {
		return id
	}
	if m.Gate == maps.Line {
		// Its image is not settled yet: see SetImage.
		return m.memoryBuildID()
	}
	if im, err := m.Image(); err == nil && im != nil {
		return im.BuildID()
	}
	return m.memoryBuildID()
}
