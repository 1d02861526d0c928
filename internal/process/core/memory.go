package core

import (
	"cmp"
	"errors"
	"runtime/debug"
	"slices"
	"sort"

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
	// The file can be truncated while it is mapped.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			n, err = 0, ErrTruncated
		}
	}()
	for n < len(b) {
		at := addr + uint64(n)
		if at < addr {
			return n, ErrNotHeld
		}
		i := f.find(at)
		if i < 0 {
			return n, ErrNotHeld
		}
		n += copy(b[n:], f.mem[i].data[at-f.mem[i].start:])
	}
	return n, nil
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
// returns how much there was. The Memory serves one goroutine. A fault on a
// file that somebody truncates ends in a panic: see elfsym.Protect.
func (f *File) Memory(more func(addr uint64, b []byte) int) unwind.Memory {
	return &memory{f: f, more: more}
}

type memory struct {
	f    *File
	more func(addr uint64, b []byte) int
	last piece // of the last hit
}

// Word implements unwind.Memory.
func (m *memory) Word(addr uint64, size int) (uint64, bool) {
	if off := addr - m.last.start; off < uint64(len(m.last.data)) && uint64(len(m.last.data))-off >= uint64(size) {
		return unwind.Word(m.last.data[off:], size)
	}
	if i := m.f.find(addr); i >= 0 {
		p := m.f.mem[i]
		if off := addr - p.start; uint64(len(p.data))-off >= uint64(size) {
			m.last = p
			return unwind.Word(p.data[off:], size)
		}
	}
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
