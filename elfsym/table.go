package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// table is a symbol table in place.
type table struct {
	name  string // ".symtab", ".dynsym" or "dynamic"
	syms  []byte // whole entries
	strs  []byte
	n     uint32
	first Ref // the Ref of symbol 0

	order   binary.ByteOrder
	is64    bool
	common  bool   // 64-bit, little-endian, no low bit, no descriptors: decoded without detours
	exec    []bool // by section index: executable. nil: any section will do
	lowBit  bool   // bit 0 of a function's value is no part of its address
	mapping bool   // there are mapping symbols
	opd     descriptors
	bases   []uint64 // by section index, what values count from: see layOut
}

// symbol is a decoded entry; value is without that low bit, and that of a function's
// code, not of its descriptor.
type symbol struct {
	value, size uint64
	name        uint32
	shndx       uint16
	info        byte
}

func (s *symbol) typ() elf.SymType { return elf.ST_TYPE(s.info) }

const (
	symSize64 = 24
	symSize32 = 16
	// maxSyms is more than any program's table has: 1.5 GiB. The numbers of two
	// tables' symbols must stay below 2^31.
	maxSyms = 1 << 26
)

// at decodes entry i, which must be below t.n.
func (t *table) at(i uint32) symbol {
	if t.common {
		b := t.syms[uint64(i)*symSize64:][:symSize64]
		le := binary.LittleEndian
		return symbol{le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint32(b), le.Uint16(b[6:]), b[4]}
	}
	return t.atAny(i)
}

// atAny is at for all layouts.
func (t *table) atAny(i uint32) (s symbol) {
	if t.is64 {
		b := t.syms[uint64(i)*symSize64:][:symSize64]
		s = symbol{t.order.Uint64(b[8:]), t.order.Uint64(b[16:]), t.order.Uint32(b), t.order.Uint16(b[6:]), b[4]}
	} else {
		b := t.syms[uint64(i)*symSize32:][:symSize32]
		s = symbol{uint64(t.order.Uint32(b[4:])), uint64(t.order.Uint32(b[8:])), t.order.Uint32(b), t.order.Uint16(b[14:]), b[12]}
	}
	if t.lowBit && isFunc(s.typ()) {
		s.value &^= 1
	}
	if t.opd.data != nil {
		t.follow(&s)
	}
	if int(s.shndx) < len(t.bases) {
		s.value += t.bases[s.shndx]
	}
	return s
}

func isFunc(t elf.SymType) bool { return t == elf.STT_FUNC || t == elf.STT_GNU_IFUNC }

// candidate applies the rules of the package comment, except that the value
// must lie in an area, which the callers know more cheaply. It reads a name
// only where the name can matter, as the names are spread over many pages.
func (t *table) candidate(s *symbol) bool {
	typ := s.typ()
	switch typ {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC, elf.STT_OBJECT, elf.STT_NOTYPE:
	default:
		return false
	}
	switch shndx := elf.SectionIndex(s.shndx); {
	case shndx == elf.SHN_UNDEF:
		return false
	case shndx == elf.SHN_XINDEX:
		// More than 65,279 sections: the true index is elsewhere, but that the
		// value lies in an area says nearly as much, where it is an address.
		if t.bases != nil {
			return false
		}
	case shndx >= elf.SHN_LORESERVE:
		return false
	case t.exec != nil && (int(shndx) >= len(t.exec) || !t.exec[shndx]):
		return false
	}
	if s.name == 0 || uint64(s.name) >= uint64(len(t.strs)) {
		return false
	}
	return isFunc(typ) || elf.ST_BIND(s.info) != elf.STB_LOCAL || !t.label(t.strs[s.name:])
}

var (
	localPrefix   = []byte(".L")
	annobinPrefix = []byte(".annobin_")
)

// label reports whether a name is an assembler's or a plugin's, for no human.
func (t *table) label(name []byte) bool {
	switch {
	case name[0] == 0:
		return true
	case name[0] == '.':
		return bytes.HasPrefix(name, localPrefix) || bytes.HasPrefix(name, annobinPrefix)
	case name[0] == '$' && t.mapping && len(name) >= 2:
		switch name[1] {
		case 'a', 'd', 't', 'x':
			return len(name) == 2 || name[2] == 0 || name[2] == '.'
		}
	}
	return false
}

const maxName = 1 << 20

// nameAt returns the string at offset off of the string table, without its
// version.
func (t *table) nameAt(off uint32, limit int) []byte {
	return trimVersion(cString(t.strs, off, limit))
}

// cString returns the string at offset off of strs, cut at limit bytes.
func cString(strs []byte, off uint32, limit int) []byte {
	if uint64(off) >= uint64(len(strs)) {
		return nil
	}
	b := strs[off:]
	b = b[:min(len(b), limit)]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b
}

// trimVersion drops @VER or @@VER. It leaves what only looks like a version:
// the argument sizes of stdcall (f@8), names that begin with @ (fastcall), and
// Microsoft's mangling, which begins with a question mark.
func trimVersion(b []byte) []byte {
	i := bytes.IndexByte(b, '@')
	if i <= 0 || b[0] == '?' {
		return b
	}
	v := bytes.TrimPrefix(b[i+1:], []byte("@"))
	if len(v) == 0 || v[0] >= '0' && v[0] <= '9' {
		return b
	}
	return b[:i:i]
}

// stbGNUUnique is STB_GNU_UNIQUE, a global symbol of which a process has one.
const stbGNUUnique elf.SymBind = 10

// rank orders symbols with the same start: less is better.
func (s *symbol) rank() int {
	r := 0
	switch s.typ() {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC:
	case elf.STT_OBJECT:
		r = 2
	default:
		r = 4
	}
	if !s.global() && !s.weak() {
		r++
	}
	return r
}

func (s *symbol) global() bool {
	b := elf.ST_BIND(s.info)
	return b == elf.STB_GLOBAL || b == stbGNUUnique
}

func (s *symbol) weak() bool { return elf.ST_BIND(s.info) == elf.STB_WEAK }

// tieName is how many bytes of a name count when it decides between symbols: a
// million aliases of one long name must not cost more than that.
const tieName = 256

// better reports whether symbol a (number i) comes before b (number j), which
// has the same start.
func (t *table) better(a *symbol, i uint32, b *symbol, j uint32) bool {
	if ra, rb := a.rank(), b.rank(); ra != rb {
		return ra < rb
	}
	if na, nb := t.nameRank(a), t.nameRank(b); na != nb {
		return na < nb
	}
	return i < j
}

// nameRanks is above all that nameRank returns.
const nameRanks = 1 << 20

// nameRank orders symbols of the same rank by their names: less is better. It
// reads the name, which costs more than all the rest of a comparison.
func (t *table) nameRank(s *symbol) int {
	name := t.nameAt(s.name, tieName)
	r := underscores(name) << 10
	if !s.global() {
		r |= 1 << 9
	}
	return r | len(name)
}

var (
	glibcInternal = []byte("__GI_")
	// The gate DSO's own names (arch/*/include/asm/vdso.h). In a stack the
	// caller of __vdso_clock_gettime is libc's clock_gettime: two frames of one
	// name would hide which is which.
	gatePrefixes = [...][]byte{[]byte("__vdso_"), []byte("__kernel_")}
)

// underscores counts leading underscores, but for names that are known by them.
// The aliases that glibc's hidden_def makes for calls within the library have
// more than any other name.
func underscores(name []byte) int {
	for _, p := range gatePrefixes {
		if bytes.HasPrefix(name, p) {
			return 0
		}
	}
	n := 0
	for n < len(name) && name[n] == '_' {
		n++
	}
	if bytes.HasPrefix(name, glibcInternal) {
		n += tieName
	}
	return n
}
