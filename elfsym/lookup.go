package elfsym

import (
	"debug/elf"
	"math"
	"slices"

	"github.com/gatedso/bt/internal/guard"
)

// Symbol is a symbol that names an address. It stays valid after Close.
type Symbol struct {
	Name  string // without version
	Value uint64 // link-time address
	Size  uint64
	Type  elf.SymType
	Bind  elf.SymBind
	Table string // ".symtab", ".dynsym", or "dynamic" for PT_DYNAMIC's
}

// Match is the answer of LookupAll for one address.
type Match struct {
	Symbol
	Ref Ref
	OK  bool
}

// Ref is the number of a symbol of an Image, counted over its tables.
type Ref uint32

// A scan costs some 3 ns a symbol and an index some 30: with this many scans
// made the index would have been the better way, so that it is made next.
const maxScans = 8

// maxBatch is the largest batch for which a scan beats building the index.
const maxBatch = 4096

// hasSymbols reports whether there is a symbol table at all.
func (im *Image) hasSymbols() bool { return len(im.tables) > 0 }

// NumSymbols returns the number of entries of all symbol tables.
func (im *Image) NumSymbols() int { return int(im.numSyms) }

// Lookup finds the symbol that names the link-time address vaddr. The first
// lookups scan the table, the later ones use an index.
func (im *Image) Lookup(vaddr uint64) (Symbol, bool) {
	out := [1]Match{}
	im.LookupAll([]uint64{vaddr}, out[:])
	return out[0].Symbol, out[0].OK
}

// LookupAll is Lookup for many addresses, in ascending order. out must be at
// least as long as vaddrs. A small batch costs one pass over the symbol table.
func (im *Image) LookupAll(vaddrs []uint64, out []Match) {
	refs := make([]uint32, len(vaddrs))
	clear(out[:len(vaddrs)])
	guard.Read(func() error {
		im.refs(vaddrs, refs)
		for i, ref := range refs {
			switch {
			case ref == none:
			case i > 0 && ref == refs[i-1]:
				out[i] = out[i-1]
			default:
				out[i].Ref = Ref(ref)
				out[i].Symbol, out[i].OK = im.symbol(Ref(ref))
			}
		}
		return nil
	})
}

// refs finds the Ref of each address, or none.
func (im *Image) refs(vaddrs []uint64, refs []uint32) {
	for i := range refs {
		refs[i] = none
	}
	if len(vaddrs) == 0 || im.numSyms == 0 {
		return
	}
	if im.index.Load() == nil && im.cheapToScan(len(vaddrs)) && slices.IsSorted(vaddrs) && im.scanAll(vaddrs, refs) {
		return
	}
	ix := im.indexed()
	for i, a := range vaddrs {
		if at, ok := im.areas.find(a); ok {
			refs[i], _ = ix.find(at.base + uint32(a-at.lo))
		}
	}
}

// cheapToScan decides whether the index is not worth its while yet.
func (im *Image) cheapToScan(addrs int) bool {
	if addrs > maxBatch || addrs > int(im.numSyms/4)+1 {
		return false
	}
	cost := uint64(im.numSyms)
	if addrs > 8 {
		cost *= 2
	}
	return im.scanned.Add(cost) <= maxScans*uint64(im.numSyms)
}

// scanAll answers by one pass over each table that is needed.
func (im *Image) scanAll(vaddrs []uint64, refs []uint32) bool {
	for _, t := range im.tables {
		probes := make([]probe, 0, len(vaddrs))
		for i, a := range vaddrs {
			if refs[i] != none {
				continue
			}
			if at, ok := im.areas.find(a); ok {
				probes = append(probes, probe{addr: a, at: at, src: i})
			}
		}
		if !t.lookup(&im.areas, probes, func(src int, sym uint32) { refs[src] = uint32(t.first) + sym }) {
			for i := range refs {
				refs[i] = none
			}
			return false
		}
	}
	return true
}

// indexed returns the index, and builds it on the first call. A file that goes
// away meanwhile leaves an empty index.
func (im *Image) indexed() *index {
	if ix := im.index.Load(); ix != nil {
		return ix
	}
	im.indexMu.Lock()
	defer im.indexMu.Unlock()
	if ix := im.index.Load(); ix != nil {
		return ix
	}
	var ix *index
	err := guard.Read(func() error {
		ix = im.buildIndex()
		return nil
	})
	if err != nil {
		ix = &index{stretches: []stretch{{0, none}}}
		ix.seal(im.areas.total)
	}
	im.index.Store(ix)
	return ix
}

// lookupRef finds the symbol that names vaddr, and its value, from the index,
// which the first call builds. It allocates nothing and reads no byte of the
// file, so that it needs no Protect.
func (im *Image) lookupRef(vaddr uint64) (ref Ref, value uint64, ok bool) {
	ix := im.index.Load()
	if ix == nil {
		ix = im.indexed()
	}
	at, ok := im.areas.find(vaddr)
	if !ok {
		return 0, 0, false
	}
	r, start := ix.find(at.base + uint32(vaddr-at.lo))
	if r == none {
		return 0, 0, false
	}
	return Ref(r), at.addr(start), true
}

// table returns the table of a Ref and its number there; nil when there is no
// such Ref.
func (im *Image) table(ref Ref) (*table, uint32) {
	for _, t := range im.tables {
		if ref-t.first < Ref(t.n) {
			return t, uint32(ref - t.first)
		}
	}
	return nil, 0
}

// NameBytes returns the name of a symbol, without its version, in place: it is
// valid until Close. It reads the mapped file; wrap a loop of calls into Protect.
func (im *Image) NameBytes(ref Ref) []byte {
	t, i := im.table(ref)
	if t == nil {
		return nil
	}
	s := t.at(i)
	return t.nameAt(s.name, maxName)
}

// Symbol returns the symbol that a Ref stands for. It reports false for a Ref
// of another Image and for a symbol without a name.
func (im *Image) Symbol(ref Ref) (sym Symbol, ok bool) {
	guard.Read(func() error {
		sym, ok = im.symbol(ref)
		return nil
	})
	return sym, ok
}

func (im *Image) symbol(ref Ref) (Symbol, bool) {
	t, i := im.table(ref)
	if t == nil {
		return Symbol{}, false
	}
	s := t.at(i)
	name := string(t.nameAt(s.name, maxName))
	return Symbol{Name: name, Value: s.value, Size: s.size, Type: s.typ(), Bind: elf.ST_BIND(s.info), Table: t.name}, name != ""
}

// FuncStart returns the start of the function that vaddr lies in, where a symbol
// that is no object tells it.
func (im *Image) FuncStart(vaddr uint64) (start uint64, ok bool) {
	guard.Read(func() error {
		ref := [1]uint32{}
		im.refs([]uint64{vaddr}, ref[:])
		if t, i := im.table(Ref(ref[0])); t != nil && ref[0] != math.MaxUint32 {
			s := t.at(i)
			start, ok = s.value, s.typ() != elf.STT_OBJECT
		}
		return nil
	})
	return start, ok
}
