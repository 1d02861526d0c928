package cpython

import (
	"cmp"
	"slices"

	"github.com/gatedso/bt/internal/process"
)

// code is what is kept of a PyCodeObject.
type code struct {
	name, file string
	first      int
	table      []byte // co_lnotab or co_linetable
	start      uint64 // where its bytecode begins
	size       uint64 // of that in bytes; 0 where it is not known
	copies     uint64 // the array of what threads run in its place, 0 if there is none
	ok         bool
	cleanup    bool // the interpreter's own, around a call of __init__
}

// Bounds of what is read of a code object.
const (
	maxLines = 4 << 20
	codeHead = 208 // more than the fields of any version, in bytes
	textHead = 160 // what is read ahead of a string
	lineHead = 256 // and of a table of lines
)

// readCodes reads the code objects of all frames, with few system calls.
func (m *memory) readCodes(threads []*pyThread) map[uint64]*code {
	codes := make(map[uint64]*code)
	var heads []process.Range
	for _, t := range threads {
		for _, s := range t.segs {
			for _, f := range s.frames {
				if codes[f.code] == nil {
					codes[f.code] = new(code)
					heads = append(heads, process.Range{Start: f.code, Len: codeHead})
				}
			}
		}
	}
	slices.SortFunc(heads, func(a, b process.Range) int { return cmp.Compare(a.Start, b.Start) })
	m.Prefetch(heads)
	var parts []process.Range
	ahead := func(addr, n uint64) {
		if addr != 0 {
			parts = append(parts, process.Range{Start: addr, Len: n})
		}
	}
	for _, h := range heads {
		name, _ := m.word(h.Start + m.nameField())
		file, _ := m.word(h.Start + m.l.codeFile)
		lines, _ := m.word(h.Start + m.l.codeLines)
		ahead(name, textHead)
		ahead(file, textHead)
		ahead(lines, lineHead)
	}
	slices.SortFunc(parts, func(a, b process.Range) int { return cmp.Compare(a.Start, b.Start) })
	m.Prefetch(slices.Compact(parts))
	for _, h := range heads {
		*codes[h.Start] = m.readCode(h.Start)
	}
	return codes
}

// nameField is where a code object has the name to show.
func (m *memory) nameField() uint64 {
	if m.l.codeQualName != 0 {
		return m.l.codeQualName
	}
	return m.l.codeName
}

func (m *memory) readCode(addr uint64) (c code) {
	if !m.is(addr, "code") {
		return c
	}
	name, ok1 := m.word(addr + m.nameField())
	file, ok2 := m.word(addr + m.l.codeFile)
	lines, ok3 := m.word(addr + m.l.codeLines)
	first, ok4 := m.int32(addr + m.l.codeFirstLine)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return c
	}
	if c.name, c.ok = m.str(name); !c.ok {
		return c
	}
	if c.file, c.ok = m.str(file); !c.ok {
		return c
	}
	c.first = int(first)
	c.cleanup = m.v.atLeast(12) && name == file
	c.table, c.ok = m.bytes(lines, maxLines)
	if m.v.atLeast(11) {
		c.start = addr + m.l.codeBytes
		n, _ := m.word(addr + m.l.objectSize) // ob_size, in code units
		if c.size = 2 * n; n > 1<<30 {
			c.ok = false
		}
		if m.l.codeTLBC != 0 && m.l.freeThreaded {
			c.copies, _ = m.word(addr + m.l.codeTLBC)
		}
	}
	return c
}

// line returns the line that a frame is in, 0 where there is none. ok is false where
// the frame cannot be one of the code.
func (m *memory) line(f *pyFrame, c *code) (line int, ok bool) {
	switch {
	case !m.v.atLeast(10):
		return lnotab(c.table, c.first, int(int32(f.instr))), true
	case !m.v.atLeast(11):
		return lineTable(c.table, c.first, 2*int(int32(f.instr))), true
	}
	start := c.start
	if f.tlbc != 0 && c.copies != 0 {
		// _PyCodeArray: how many there are, and the addresses.
		n, _ := m.word(c.copies)
		if start, ok = m.word(c.copies + 8 + 8*uint64(uint32(f.tlbc))); !ok || uint64(uint32(f.tlbc)) >= n {
			return 0, false
		}
	}
	at := int64(f.instr - start)
	if at < -2 || at >= int64(c.size) {
		return 0, false
	}
	return locations(c.table, c.first, int(at)), true
}
