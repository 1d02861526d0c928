package cpython

import (
	"github.com/gatedso/bt/internal/process"
)

// findActive finds, before the stop, where each interpreter lists the threads that the
// program knows: threading._active, a dict of Thread objects by the numbers that
// pthread_self returns. It stays where it is as long as the module does.
func (m *memory) findActive(interps []*interp) map[uint64]uint64 {
	found := make(map[uint64]uint64)
	for _, in := range interps {
		modules, ok := m.word(in.addr + m.l.interpModules)
		if !ok {
			continue
		}
		module := m.lookup(m.dict(modules), "threading")
		if !m.is(module, "module") {
			continue
		}
		dict, _ := m.word(module + m.l.objectSize) // md_dict, behind the head
		if active := m.lookup(m.dict(dict), "_active"); active != 0 {
			found[in.addr] = active
		}
	}
	return found
}

// names finds what the program calls its threads.
func (r *reader) names() {
	for _, in := range r.interps {
		active := r.active[in.addr]
		if active == 0 {
			continue
		}
		named := r.mem.threadNames(active)
		for _, t := range r.threads {
			if t.interp == in {
				t.name = named[t.id]
			}
		}
	}
}

// threadNames reads the dict threading._active: names by what pthread_self returns.
func (m *memory) threadNames(active uint64) map[uint64]string {
	const before, part = 64, 512 // of a Thread object
	var all []entry
	var ahead []process.Range
	for e := range m.dict(active) {
		if len(all) == maxThreads {
			break
		}
		all = append(all, e)
		ahead = append(ahead, process.Range{Start: e.key, Len: 48}, process.Range{Start: e.value - before, Len: part})
	}
	m.Prefetch(ahead)
	names := make(map[uint64]string, len(all))
	for _, e := range all {
		if id, ok := m.integer(e.key); ok {
			if s, ok := m.str(m.attribute(e.value, "_name")); ok {
				names[id] = s
			}
		}
	}
	return names
}
