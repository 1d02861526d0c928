package namediff

import (
	"slices"
	"strings"
)

// class is how an answer of bt's relates to a peer's. Every class but the last is
// an agreement, or a difference that its comment explains.
type class int

const (
	// same name.
	same class = iota
	// nobody: neither has a name. Between functions lies padding, and in .dynsym
	// alone most functions of a library have no symbol at all.
	nobody
	// alias: another name of the same function. Which of them is printed is each
	// tool's own choice; bt's is written down in package elfsym.
	alias
	// sizeless: a symbol without a size, of hand-written assembly. For bt it reaches
	// to the next symbol unless it lies within a sized one, where it is a label.
	sizeless
	// second: the full symbol table has no name for the address, but .dynsym has.
	second
	// plt: a stub of the procedure linkage table, which bt names by its relocation.
	// No other tool names it, or one takes it for a part of what lies before it.
	plt
	// goTable: the function is in Go's own table, which no other tool reads.
	goTable
	// label: llvm-symbolizer takes a symbol without a size that lies within a sized
	// one for a function, or a mark of the annobin plugin's. bt does not: the former is
	// the target of a jump, the latter names no code at all.
	label
	// overrun: llvm-symbolizer lets a symbol without a size reach beyond its section,
	// as _init over .plt behind .init.
	overrun
	// refuted: bt has no name where the nearest symbol has no size and its code does
	// not lead. The other tools let such a symbol reach to the next one.
	refuted
	// unexplained: a mistake of bt's until shown otherwise.
	unexplained
	numClasses
)

var classNames = [numClasses]string{"same", "nobody's", "alias", "sizeless", ".dynsym", "PLT", "Go's table", "label", "overrun", "refuted", "UNEXPLAINED"}

func named(syms []symbol, name string) bool {
	return slices.ContainsFunc(syms, func(s symbol) bool { return s.name == name })
}

// atStart reports whether name is one of the names of what starts at addr.
func (s *subject) atStart(addr uint64, name string) bool {
	return slices.ContainsFunc(s.tables, func(t *table) bool { return named(t.at(addr), name) })
}

// beyond tells why bt has a name where no symbol covers the address.
func (a answer) beyond() class {
	switch {
	case a.name == "":
		return nobody
	case strings.HasSuffix(a.name, "@plt"):
		return plt
	case a.source == "gopclntab":
		return goTable
	}
	return unexplained
}

// bySymbols compares bt's answer with the symbols that readelf (and nm) list: the
// one that covers the address, of several the one that starts last; without one the
// nearest, if it has no size.
func (s *subject) bySymbols(addr uint64, bt answer) class {
	for i, t := range s.tables {
		c := same
		syms := t.covering(addr)
		if syms == nil {
			syms, c = t.sizeless(addr), sizeless
		} else if i > 0 {
			c = second
		}
		switch {
		case syms == nil:
			continue
		case bt.start == syms[0].value && named(syms, bt.name):
			return c
		case c == sizeless && s.refutes(addr, bt):
			return refuted
		}
		return unexplained
	}
	return bt.beyond()
}

// refutes reports whether bt may have no name at addr: a symbol without a size is
// the nearest of all tables, and begins before.
func (s *subject) refutes(addr uint64, bt answer) bool {
	for _, t := range s.tables {
		if t.covering(addr) != nil || named(t.sizeless(addr), bt.name) {
			return false
		}
		if near := t.sizeless(addr); len(near) > 0 && near[0].value == addr {
			return false
		}
	}
	return bt.name == ""
}

// byElfutils compares it with eu-addr2line's.
func (s *subject) byElfutils(addr uint64, bt, eu answer) class {
	switch {
	case bt.name == eu.name && bt.start == eu.start:
		return same
	case bt.start == eu.start && s.atStart(bt.start, eu.name):
		return alias
	case eu.name == "":
		return s.only(addr, bt)
	case s.refutes(addr, bt):
		return refuted
	}
	return unexplained
}

// byLLVM compares it with llvm-symbolizer's, which does not tell the start.
func (s *subject) byLLVM(addr uint64, bt answer, llvm string) class {
	switch {
	case bt.name == llvm:
		if llvm == "" {
			return nobody
		}
		return same
	case bt.name != "" && s.atStart(bt.start, llvm):
		return alias
	case llvm == "":
		return s.only(addr, bt)
	}
	t := s.tables[0]
	if named(t.nearest(addr), llvm) && t.sizeless(addr) == nil || strings.HasPrefix(llvm, ".annobin_") {
		return label
	}
	if i := t.below(addr) - 1; i >= 0 && t.area(t.syms[i].value) != t.area(addr) && named(t.at(t.syms[i].value), llvm) {
		return overrun
	}
	if s.refutes(addr, bt) {
		return refuted
	}
	return unexplained
}

// only tells why bt has a name where a peer has none.
func (s *subject) only(addr uint64, bt answer) class {
	if c := bt.beyond(); c != unexplained {
		return c
	}
	if s.tables[0].covering(addr) != nil {
		return unexplained
	}
	if named(s.tables[0].sizeless(addr), bt.name) {
		return sizeless
	}
	return second
}
