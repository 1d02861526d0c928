package elfsym

import (
	"debug/elf"
	"sort"
	"strings"
)

// reference is the rule of the package comment, written a second time and as
// plainly as possible: on debug/elf's own symbols, one address at a time, every
// symbol looked at.
type reference struct {
	tables [][]refSym
	areas  [][2]uint64
}

type refSym struct {
	name        string
	value, size uint64
	typ         elf.SymType
	bind        elf.SymBind
	num         int
}

func newReference(f *elf.File) *reference {
	r := &reference{}
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_EXECINSTR != 0 && s.Flags&elf.SHF_ALLOC != 0 && s.Size > 0 {
			r.areas = append(r.areas, [2]uint64{s.Addr, s.Addr + s.Size})
		}
	}
	bySection := r.areas != nil
	if !bySection {
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
				r.areas = append(r.areas, [2]uint64{p.Vaddr, p.Vaddr + p.Memsz})
			}
		}
	}
	static, _ := f.Symbols()
	dynamic, _ := f.DynamicSymbols()
	for _, syms := range [][]elf.Symbol{static, dynamic} {
		var out []refSym
		for i, s := range syms {
			typ, bind := elf.ST_TYPE(s.Info), elf.ST_BIND(s.Info)
			if typ != elf.STT_FUNC && typ != elf.STT_OBJECT && typ != elf.STT_NOTYPE && typ != elf.STT_GNU_IFUNC {
				continue
			}
			if s.Section == 0 || s.Section >= 0xff00 || s.Name == "" {
				continue
			}
			v := s.Value
			section := f.Sections[s.Section]
			if f.Machine == elf.EM_PPC64 && section.Name == ".opd" && (typ == elf.STT_FUNC || typ == elf.STT_GNU_IFUNC) {
				word := make([]byte, 8)
				if _, err := section.ReadAt(word, int64(v-section.Addr)); err != nil {
					continue
				}
				v = f.ByteOrder.Uint64(word)
			} else if bySection && section.Flags&elf.SHF_EXECINSTR == 0 {
				continue
			}
			if bind == elf.STB_LOCAL && typ != elf.STT_FUNC && typ != elf.STT_GNU_IFUNC {
				if strings.HasPrefix(s.Name, ".L") || strings.HasPrefix(s.Name, ".annobin_") {
					continue
				}
				arm := f.Machine == elf.EM_ARM || f.Machine == elf.EM_AARCH64 || f.Machine == elf.EM_RISCV
				base, _, _ := strings.Cut(s.Name, ".")
				if arm && (base == "$a" || base == "$d" || base == "$t" || base == "$x") {
					continue
				}
			}
			if f.Machine == elf.EM_ARM && typ != elf.STT_OBJECT && typ != elf.STT_NOTYPE {
				v &^= 1
			}
			a, ok := r.area(v)
			if !ok {
				continue
			}
			name := s.Name
			if i := strings.IndexByte(name, '@'); i > 0 && name[0] != '?' {
				if v := strings.TrimPrefix(name[i+1:], "@"); v != "" && (v[0] < '0' || v[0] > '9') {
					name = name[:i]
				}
			}
			out = append(out, refSym{name, v, min(s.Size, a[1]-v), typ, bind, i + 1})
		}
		if out != nil {
			r.tables = append(r.tables, out)
		}
	}
	return r
}

func (r *reference) area(addr uint64) ([2]uint64, bool) {
	for _, a := range r.areas {
		if addr >= a[0] && addr < a[1] {
			return a, true
		}
	}
	return [2]uint64{}, false
}

func (r *reference) lookup(addr uint64) (refSym, bool) {
	a, ok := r.area(addr)
	if !ok {
		return refSym{}, false
	}
	for _, syms := range r.tables {
		if s, ok := covering(syms, addr); ok {
			return s, true
		}
		var nearest []refSym
		for _, s := range syms {
			if s.value < a[0] || s.value > addr {
				continue
			}
			if len(nearest) > 0 && s.value > nearest[0].value {
				nearest = nil
			}
			if len(nearest) == 0 || s.value == nearest[0].value {
				nearest = append(nearest, s)
			}
		}
		if len(nearest) == 0 {
			continue
		}
		if _, inside := covering(syms, nearest[0].value); !inside {
			return best(nearest), true
		}
	}
	return refSym{}, false
}

// covering finds the sized symbol that covers addr.
func covering(syms []refSym, addr uint64) (refSym, bool) {
	var in []refSym
	for _, s := range syms {
		if s.value <= addr && addr-s.value < s.size {
			in = append(in, s)
		}
	}
	if in == nil {
		return refSym{}, false
	}
	return best(in), true
}

// best applies the order of preference.
func best(syms []refSym) refSym {
	class := func(s refSym) int {
		switch s.typ {
		case elf.STT_FUNC, elf.STT_GNU_IFUNC:
			return 0
		case elf.STT_OBJECT:
			return 1
		}
		return 2
	}
	binding := func(s refSym) int {
		switch s.bind {
		case elf.STB_GLOBAL, 10:
			return 0
		case elf.STB_WEAK:
			return 1
		}
		return 2
	}
	short := func(s string) string { return s[:min(len(s), 256)] }
	bars := func(s string) int {
		n := len(s) - len(strings.TrimLeft(s, "_"))
		if strings.HasPrefix(s, "__GI_") {
			n += 1000
		}
		return n
	}
	sort.SliceStable(syms, func(i, j int) bool {
		a, b := syms[i], syms[j]
		switch {
		case a.value != b.value:
			return a.value > b.value
		case class(a) != class(b):
			return class(a) < class(b)
		case (binding(a) == 2) != (binding(b) == 2):
			return binding(b) == 2
		case bars(short(a.name)) != bars(short(b.name)):
			return bars(short(a.name)) < bars(short(b.name))
		case binding(a) != binding(b):
			return binding(a) < binding(b)
		case len(short(a.name)) != len(short(b.name)):
			return len(short(a.name)) < len(short(b.name))
		}
		return a.num < b.num
	})
	return syms[0]
}
