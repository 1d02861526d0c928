package cpython

import (
	"github.com/gatedso/bt/internal/process"
)

// names finds what the program calls its threads: threading._active, a dict of Thread
// objects by the numbers that pthread_self returns, lists those that are known to it.
func (r *reader) names() {
	m := r.mem
	for _, in := range r.interps {
		modules, ok := m.word(in.addr + r.l.interpModules)
		if !ok {
			continue
		}
		module := m.lookup(m.dict(modules), "threading")
		if !m.is(module, "module") {
			continue
		}
		dict, _ := m.word(module + r.l.objectSize) // md_dict, behind the head
		active := m.lookup(m.dict(dict), "_active")
		named := m.threadNames(active)
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
			if s, ok := m.str(m.lookup(m.attributes(e.value), "_name")); ok {
				names[id] = s
			}
		}
	}
	return names
}
