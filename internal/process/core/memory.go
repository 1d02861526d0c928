package core

import (
	"cmp"
	"errors"
	"slices"
	"sort"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/unwind"
)

// piece is memory that the core holds.
type piece struct {
	start uint64
	data  []byte
}

func (p *piece) end() uint64 { return p.start + uint64(len(p.data)) }

// setPieces takes over the memory, in any order. Pieces of a kernel are
// disjoint; where hostile ones overlap, the one that starts first stays whole.
func (f *File) setPieces(mem []piece) {
	slices.SortStableFunc(mem, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	f.mem = mem[:0]
	var end uint64
	for _, p := range mem {
		if p.start < end {
			if p.end() <= end {
				continue
			}
			p.data = p.data[end-p.start:]
			p.start = end
		}
		end = p.end()
		f.mem = append(f.mem, p)
	}
}

// ErrNotHeld is the error for memory that the core does not hold.
var ErrNotHeld = errors.New("the core does not hold that memory")

// ErrTruncated is the error for a core file that was cut short while it was
// read.
var ErrTruncated = errors.New("the core file was cut short while it was read")

// ReadMemory copies memory at addr that the core itself holds into b, and
// returns how much: less than len(b), with an error, where it ends.
func (f *File) ReadMemory(addr uint64, b []byte) (n int, err error) {
	err = guard.Read(func() error {
		for n < len(b) {
			at := addr + uint64(n)
			i := f.find(at)
			if at < addr || i < 0 {
				return ErrNotHeld
			}
			n += copy(b[n:], f.mem[i].data[at-f.mem[i].start:])
		}
		return nil
	})
	return n, truncated(err)
}

// truncated says of a core file that it was one that faulted.
func truncated(err error) error {
	if errors.Is(err, guard.ErrFault) {
		return ErrTruncated
	}
	return err
}

// find returns the piece that holds addr, or -1.
func (f *File) find(addr uint64) int {
	i := sort.Search(len(f.mem), func(i int) bool { return f.mem[i].start > addr }) - 1
	if i >= 0 && addr-f.mem[i].start < uint64(len(f.mem[i].data)) {
		return i
	}
	return -1
}

// Memory returns the process's memory for a walk. more, if it is not nil, is
// asked for what the core does not hold: it reads memory at addr into b and
// returns how much there was. The Memory serves one goroutine.
func (f *File) Memory(more func(addr uint64, b []byte) int) unwind.Memory {
	return &memory{f: f, more: more}
}

// memory reads the core a page at a time into a copy: a walk reads many words
// of a page, and each read of the mapped file has to be guarded.
type memory struct {
	f    *File
	more func(addr uint64, b []byte) int
	last piece // of page: what surrounds the last hit
	page [4096]byte
}

// Word implements unwind.Memory.
func (m *memory) Word(addr uint64, size int) (uint64, bool) {
	if v, ok := m.held(addr, size); ok {
		return v, true
	}
	if m.load(addr) {
		if v, ok := m.held(addr, size); ok {
			return v, true
		}
	}
	// It reaches into the next page, or lies outside of what the core holds.
	var b [8]byte
	if size <= 0 || size > len(b) {
		return 0, false
	}
	n, _ := m.f.ReadMemory(addr, b[:size])
	if n < size && m.more != nil {
		n += m.more(addr+uint64(n), b[n:size])
	}
	if n < size {
		return 0, false
	}
	return unwind.Word(b[:], size)
}

// held reads a word from the copy.
func (m *memory) held(addr uint64, size int) (uint64, bool) {
	off := addr - m.last.start
	if off >= uint64(len(m.last.data)) || uint64(len(m.last.data))-off < uint64(size) {
		return 0, false
	}
	return unwind.Word(m.last.data[off:], size)
}

// load copies what the core holds of the page around addr.
func (m *memory) load(addr uint64) bool {
	i := m.f.find(addr)
	if i < 0 {
		return false
	}
	p := &m.f.mem[i]
	start := max(p.start, addr&^uint64(len(m.page)-1))
	if start == m.last.start && len(m.last.data) > 0 {
		return false // it is there already
	}
	m.last = piece{}
	n, _ := m.f.ReadMemory(start, m.page[:min(uint64(len(m.page))-start%uint64(len(m.page)), p.end()-start)])
	m.last = piece{start, m.page[:n]}
	return n > 0
}
