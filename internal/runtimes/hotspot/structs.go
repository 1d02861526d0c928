package hotspot

import (
	"bytes"
	"encoding/binary"

	"github.com/gatedso/bt/internal/process"
)

// structs is what libjvm tells debuggers of its own data: gHotSpotVMStructs and the
// other tables of src/hotspot/share/runtime/vmStructs.cpp. The names of fields stay the
// same for many versions of the JDK, their offsets do not.
type structs struct {
	fields map[string]field  // by "Type::field"
	sizes  map[string]uint64 // of types, in bytes
	consts map[string]int64
}

// field is where a field lies.
type field struct {
	static bool
	at     uint64 // its offset in the type, or, of a static one, its address
}

// Bounds of the tables. The JDK's have 3,000 entries.
const (
	maxEntries = 20000
	maxName    = 200
)

// table is one of the tables.
type table struct {
	m      *process.Recorder
	symbol func(name string) (uint64, bool)
	prefix string // of the symbols that describe its entries: "gHotSpotVMStructEntry"
	names  map[uint64]string
}

// variable reads the word that a symbol of libjvm names.
func (t *table) variable(name string) uint64 {
	addr, ok := t.symbol(name)
	if !ok {
		return 0
	}
	v, _ := t.m.Word(addr, 8)
	return v
}

// each calls yield with the entries from the table at the pointer named array on, until
// it returns false, which it does at the entry that ends the table.
func (t *table) each(array string, yield func(entry []byte) bool) {
	at, stride := t.variable(array), t.variable(t.prefix+"ArrayStride")
	if at == 0 || stride == 0 || stride > 256 {
		return
	}
	entry := make([]byte, stride)
	for range maxEntries {
		if t.m.Read(at, entry) != len(entry) || !yield(entry) {
			return
		}
		at += stride
	}
}

// offset is where a part of an entry lies, and whether it has room for size bytes.
func (t *table) offset(part string, size uint64) (uint64, bool) {
	off, stride := t.variable(t.prefix+part+"Offset"), t.variable(t.prefix+"ArrayStride")
	return off, stride >= size && off <= stride-size
}

func word(b []byte, off uint64) uint64 { return binary.LittleEndian.Uint64(b[off:]) }

// name reads a name of the tables. Many entries share theirs.
func (t *table) name(addr uint64) string {
	if s, ok := t.names[addr]; ok {
		return s
	}
	s := cString(t.m, addr, maxName)
	t.names[addr] = s
	return s
}

// cString reads a string that ends in a zero byte, which is not longer than limit.
func cString(m *process.Recorder, addr uint64, limit int) string {
	b := make([]byte, limit)
	b = b[:m.Read(addr, b)]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return string(b[:i])
	}
	return ""
}

// readStructs reads the tables of a libjvm; symbol returns the addresses of its symbols.
// It reports false where they are not there, or not filled in yet.
func readStructs(m *process.Recorder, symbol func(string) (uint64, bool)) (*structs, bool) {
	s := &structs{fields: make(map[string]field), sizes: make(map[string]uint64), consts: make(map[string]int64)}
	names := make(map[uint64]string)
	s.readFields(&table{m, symbol, "gHotSpotVMStructEntry", names})
	s.readTypes(&table{m, symbol, "gHotSpotVMTypeEntry", names})
	s.readConsts(&table{m, symbol, "gHotSpotVMIntConstantEntry", names}, "gHotSpotVMIntConstants", 4)
	s.readConsts(&table{m, symbol, "gHotSpotVMLongConstantEntry", names}, "gHotSpotVMLongConstants", 8)
	return s, len(s.fields) > 0 && len(s.sizes) > 0
}

func (s *structs) readFields(t *table) {
	typeName, ok1 := t.offset("TypeName", 8)
	fieldName, ok2 := t.offset("FieldName", 8)
	isStatic, ok3 := t.offset("IsStatic", 4)
	offset, ok4 := t.offset("Offset", 8)
	address, ok5 := t.offset("Address", 8)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return
	}
	t.each("gHotSpotVMStructs", func(e []byte) bool {
		if word(e, typeName) == 0 {
			return false
		}
		f := field{at: word(e, offset)}
		if binary.LittleEndian.Uint32(e[isStatic:]) != 0 {
			f = field{static: true, at: word(e, address)}
		}
		s.fields[t.name(word(e, typeName))+"::"+t.name(word(e, fieldName))] = f
		return true
	})
}

func (s *structs) readTypes(t *table) {
	typeName, ok1 := t.offset("TypeName", 8)
	size, ok2 := t.offset("Size", 8)
	if !ok1 || !ok2 {
		return
	}
	t.each("gHotSpotVMTypes", func(e []byte) bool {
		if word(e, typeName) == 0 {
			return false
		}
		s.sizes[t.name(word(e, typeName))] = word(e, size)
		return true
	})
}

func (s *structs) readConsts(t *table, array string, size uint64) {
	name, ok1 := t.offset("Name", 8)
	value, ok2 := t.offset("Value", size)
	if !ok1 || !ok2 {
		return
	}
	t.each(array, func(e []byte) bool {
		if word(e, name) == 0 {
			return false
		}
		v := int64(int32(binary.LittleEndian.Uint32(e[value:])))
		if size == 8 {
			v = int64(word(e, value))
		}
		s.consts[t.name(word(e, name))] = v
		return true
	})
}

// maxField is more than the size of any structure that is read.
const maxField = 1 << 16

// offset returns the offset of the first of the fields that there is.
func (s *structs) offset(names ...string) (uint64, bool) {
	for _, n := range names {
		if f, ok := s.fields[n]; ok && !f.static && f.at < maxField {
			return f.at, true
		}
	}
	return 0, false
}

// static returns the address of the first of the static fields that there is.
func (s *structs) static(names ...string) (uint64, bool) {
	for _, n := range names {
		if f, ok := s.fields[n]; ok && f.static && f.at != 0 {
			return f.at, true
		}
	}
	return 0, false
}
