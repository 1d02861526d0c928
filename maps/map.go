package maps

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// Map is an address space: the entries of one /proc/PID/maps. It is made by
// New or Parse and must not be changed afterwards; any number of
// goroutines may use it.
type Map struct {
	Entries []Mapping // in the order of the file

	spans []span // disjoint, ascending; the gate line is not in it
	line  int    // index of the gate line, or -1
}

// span says which entry is found at the addresses [start, end).
type span struct {
	start, end uint64
	entry      int32
}

// New makes a Map of entries, in the order of the file, which it takes over.
// Where no entry shows that the kernel is 2.6.12 or newer, it undoes the
// escapes for space, tab and backslash that older ones used.
func New(entries []Mapping) *Map {
	m := &Map{Entries: entries, line: -1}
	m.unescapeOld()
	if n := len(entries); n > 0 && m.isLine(&entries[n-1]) {
		m.line = n - 1
	}
	m.index()
	return m
}

// unescapeOld undoes the escapes of a kernel older than 2.6.12, unless an entry
// shows that it is newer: names in brackets came when all escapes but that of
// the newline went, and an older kernel leaves no space in a path.
func (m *Map) unescapeOld() {
	escaped := false
	for i := range m.Entries {
		e := &m.Entries[i]
		escaped = escaped || !e.blank() && strings.IndexByte(e.Path, '\\') >= 0
	}
	if !escaped {
		return
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.special() || !e.blank() && (e.Deleted || strings.ContainsAny(e.Path, " \t")) {
			return
		}
	}
	for i := range m.Entries {
		m.Entries[i].unescapeOld()
	}
}

// index builds spans. Entries of a kernel are disjoint; where hostile ones
// overlap, the one that starts last (of those, the shortest) is found.
func (m *Map) index() {
	m.spans = make([]span, 0, len(m.Entries))
	var end uint64
	for i := range m.Entries {
		e := &m.Entries[i]
		if i == m.line {
			continue
		}
		if e.Start < end {
			m.indexOverlapping()
			return
		}
		m.spans = append(m.spans, span{e.Start, e.End, int32(i)})
		end = e.End
	}
}

// indexOverlapping builds spans of entries in any order, by a sweep.
func (m *Map) indexOverlapping() {
	order := make([]int32, 0, len(m.Entries))
	for i := range m.Entries {
		if i != m.line {
			order = append(order, int32(i))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		x, y := &m.Entries[a], &m.Entries[b]
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(y.End, x.End))
	})

	m.spans = m.spans[:0]
	var open []int32 // entries that have started, the innermost last
	var at uint64    // spans are complete below this
	// upTo completes the spans below limit.
	upTo := func(limit uint64) {
		for len(open) > 0 && at < limit {
			top := open[len(open)-1]
			end := m.Entries[top].End
			if end <= at {
				open = open[:len(open)-1]
				continue
			}
			end = min(end, limit)
			m.spans = append(m.spans, span{at, end, top})
			at = end
		}
		at = limit
	}
	for _, i := range order {
		upTo(m.Entries[i].Start)
		open = append(open, i)
	}
	upTo(^uint64(0))
}

// Find returns the entry that holds addr, or nil. A gate line yields to a
// mapping that overlaps it.
func (m *Map) Find(addr uint64) *Mapping {
	if i := m.FindIndex(addr); i >= 0 {
		return &m.Entries[i]
	}
	return nil
}

// FindIndex is Find that returns the entry's index in Entries, or -1.
func (m *Map) FindIndex(addr uint64) int {
	s := m.spans
	i := sort.Search(len(s), func(i int) bool { return s[i].end > addr })
	if i < len(s) && s[i].start <= addr {
		return int(s[i].entry)
	}
	if m.line >= 0 && m.Entries[m.line].Contains(addr) {
		return m.line
	}
	return -1
}
