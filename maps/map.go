package maps

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// Map is an address space: the entries of one /proc/PID/maps. It is made by
// New, Parse or ReadMap and must not be changed afterwards; any number of
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
	if !slices.ContainsFunc(entries, func(e Mapping) bool { return newer(&e) }) {
		for i := range entries {
			entries[i].unescapeOld()
		}
	}
	if n := len(entries); n > 0 && m.isLine(&entries[n-1]) {
		m.line = n - 1
	}
	m.index()
	return m
}

// newer reports whether e is of a kernel that escapes nothing but the newline:
// the names in brackets came at the same time as that, and an older kernel
// leaves no space and no lone backslash in a path.
func newer(e *Mapping) bool {
	return e.Special() || !e.blank() && (e.Deleted || strings.ContainsAny(e.Path, " \t"))
}

// index builds spans. Entries of a kernel are disjoint; where hostile ones
// overlap, the one that starts last (of those, the shortest) is found.
func (m *Map) index() {
	order := make([]int32, 0, len(m.Entries))
	for i := range m.Entries {
		if i != m.line {
			order = append(order, int32(i))
		}
	}
	inner := func(a, b int32) int {
		x, y := &m.Entries[a], &m.Entries[b]
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(y.End, x.End))
	}
	if !slices.IsSortedFunc(order, inner) {
		slices.SortStableFunc(order, inner)
	}

	m.spans = make([]span, 0, len(order))
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
		if n := len(open); n > 0 && m.Entries[open[n-1]].End <= at {
			open = open[:n-1] // keeps the stack flat when nothing overlaps
		}
		open = append(open, i)
	}
	upTo(^uint64(0))
}

// Find returns the entry that holds addr, or nil. A gate line yields to a
// mapping that overlaps it.
func (m *Map) Find(addr uint64) *Mapping {
	s := m.spans
	i := sort.Search(len(s), func(i int) bool { return s[i].end > addr })
	if i < len(s) && s[i].start <= addr {
		return &m.Entries[s[i].entry]
	}
	if m.line >= 0 && m.Entries[m.line].Contains(addr) {
		return &m.Entries[m.line]
	}
	return nil
}
