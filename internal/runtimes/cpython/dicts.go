package cpython

import (
	"iter"

	"github.com/gatedso/bt/internal/process"
)

// Bounds of the entries that are looked at: of one dict, and of all.
const (
	maxEntries = 1 << 16
	maxLooks   = 1 << 19
)

// dictKeys is the entries of a PyDictKeysObject, Objects/dict-common.h and from 3.11 on
// pycore_dict.h.
type dictKeys struct {
	entries uint64 // where the first one is
	n       uint64
	size    uint64 // of one, in bytes
	key     uint64 // where in it the key is; the value is behind it
	split   bool   // the values are elsewhere
}

// readKeys reads the head of a dict's keys.
func (m *memory) readKeys(keys uint64) (k dictKeys, ok bool) {
	const oldHead, head = 40, 32
	n, ok := m.word(keys + head)
	if m.v.atLeast(11) {
		n, ok = m.word(keys + head - 8)
	}
	if !ok || n > maxEntries {
		return k, false
	}
	k.n = n
	if m.v.atLeast(11) {
		indices, ok1 := m.byte(keys + 9) // dk_log2_index_bytes
		kind, ok2 := m.byte(keys + 10)
		if !ok1 || !ok2 || indices > 32 || kind > 2 {
			return k, false
		}
		k.entries = keys + head + 1<<indices
		k.size, k.split = 16, kind == 2
		if kind == 0 {
			k.size, k.key = 24, 8 // the hash comes first
		}
		return k, true
	}
	size, ok := m.word(keys + 8) // dk_size
	if !ok || size > maxEntries*2 || size&(size-1) != 0 {
		return k, false
	}
	index := uint64(1)
	switch {
	case size > 0xffff:
		index = 4
	case size > 0xff:
		index = 2
	}
	k.entries, k.size, k.key = keys+oldHead+size*index, 24, 8
	return k, true
}

// entry is a key of a dict and its value.
type entry struct{ key, value uint64 }

// dict yields the entries of a dict object. ok tells that it is one.
func (m *memory) dict(obj uint64) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		if !m.is(obj, "dict") {
			return
		}
		keys, ok1 := m.word(obj + m.l.dictKeys)
		values, ok2 := m.word(obj + m.l.dictValues)
		if !ok1 || !ok2 {
			return
		}
		k, ok := m.readKeys(keys)
		if !ok {
			return
		}
		if values != 0 {
			values += m.valuesHead()
		}
		m.entries(k, values, yield)
	}
}

// valuesHead is where in struct _dictvalues the first value is.
func (m *memory) valuesHead() uint64 {
	if m.v.atLeast(13) {
		return 8 // capacity, size, embedded, valid
	}
	return 0
}

// entries yields the entries of k that have values; they are at values where that is
// not 0.
func (m *memory) entries(k dictKeys, values uint64, yield func(entry) bool) {
	for i := range k.n {
		if m.looks++; m.looks > maxLooks {
			return
		}
		at := k.entries + i*k.size + k.key
		key, ok := m.word(at)
		if !ok {
			return
		}
		at += 8
		if values != 0 {
			at = values + 8*i
		}
		value, ok := m.word(at)
		if !ok {
			return
		}
		if key != 0 && value != 0 && !yield(entry{key, value}) {
			return
		}
	}
}

// lookup finds the value of a str key among entries.
func (m *memory) lookup(entries iter.Seq[entry], name string) uint64 {
	var all []entry
	var heads []process.Range
	for e := range entries {
		all = append(all, e)
		heads = append(heads, process.Range{Start: e.key, Len: m.l.strASCII + uint64(len(name)) + 1})
	}
	m.Prefetch(heads)
	for _, e := range all {
		// Of a name that is no identifier nothing more is read.
		if n, ok := m.word(e.key + m.l.strLength); !ok || n != uint64(len(name)) {
			continue
		}
		if s, ok := m.str(e.key); ok && s == name {
			return e.value
		}
	}
	return 0
}

// Flags of types, Include/object.h.
const (
	flagInlineValues = 1 << 2 // from 3.13
	flagManagedDict  = 1 << 4 // from 3.11
)

// place is the name of an attribute, and the keys that the instances of a class share.
type place struct {
	keys uint64
	name string
}

// attribute returns what an instance's __dict__ would hold under that name, 0 for none.
func (m *memory) attribute(obj uint64, name string) uint64 {
	_, typ := m.typeOf(obj)
	flags, ok := m.word(typ + m.l.typeFlags)
	if typ == 0 || !ok {
		return 0
	}
	var values, keys, dict uint64
	if m.v.atLeast(11) && flags&flagManagedDict != 0 {
		if values, dict = m.managedDict(obj, typ, flags); values != 0 {
			keys, _ = m.word(typ + m.l.typeCachedKeys)
		}
	} else if off, ok := m.word(typ + m.l.typeDictOffset); ok && off != 0 && off <= maxOffset {
		dict, _ = m.word(obj + off)
	}
	if values == 0 {
		if !m.is(dict, "dict") {
			return 0
		}
		keys, _ = m.word(dict + m.l.dictKeys)
		if values, _ = m.word(dict + m.l.dictValues); values == 0 {
			return m.lookup(m.dict(dict), name)
		}
		values += m.valuesHead()
	}
	return m.shared(keys, values, name)
}

// shared looks a name up among keys that many instances share.
func (m *memory) shared(keys, values uint64, name string) uint64 {
	k, ok := m.readKeys(keys)
	if !ok || m.v.atLeast(11) && !k.split {
		return 0
	}
	at, known := m.places[place{keys, name}]
	if !known {
		at = -1
		for i := range k.n {
			key, ok := m.word(k.entries + i*k.size + k.key)
			if m.looks++; !ok || m.looks > maxLooks {
				break
			}
			if s, ok := m.str(key); ok && s == name {
				at = int(i)
				break
			}
		}
		m.places[place{keys, name}] = at
	}
	if at < 0 {
		return 0
	}
	value, _ := m.word(values + 8*uint64(at))
	return value
}

// managedDict returns where an object's values are, behind their head, or its dict.
// See pycore_object.h and, from 3.13 on, InternalDocs.
func (m *memory) managedDict(obj, typ, flags uint64) (values, dict uint64) {
	switch {
	case m.v.atLeast(13):
		back := uint64(24)
		if m.l.freeThreaded {
			back = 8
		}
		dict, _ = m.word(obj - back)
		if dict == 0 && flags&flagInlineValues != 0 {
			size, _ := m.word(typ + m.l.typeBasicSize)
			valid, _ := m.byte(obj + size + 3)
			if size <= maxOffset && valid == 1 {
				values = obj + size + m.valuesHead()
			}
		}
	case m.v.atLeast(12):
		v, _ := m.word(obj - 24)
		if v&1 != 0 {
			return v + 1, 0
		}
		dict = v
	default:
		if values, _ = m.word(obj - 32); values == 0 {
			dict, _ = m.word(obj - 24)
		}
	}
	return values, dict
}
