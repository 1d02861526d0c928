package elfsym

import (
	"cmp"
	"debug/elf"
	"slices"
	"sync"

	"github.com/gatedso/bt/internal/arch/plt"
	"github.com/gatedso/bt/internal/guard"
)

// pltSections are the sections that hold procedure linkage stubs and nothing
// else. The order is that of the search, no more.
var pltSections = []string{".plt", ".plt.sec", ".plt.got", ".plt.bnd", ".iplt"}

const (
	// maxPLTBytes bounds what is decoded of one section: a million stubs, ten
	// times what the largest programs have.
	maxPLTBytes = 8 << 20
	// maxPLTSlots bounds how many relocations of one table can name stubs.
	maxPLTSlots = 1 << 20
)

// linkage is what an Image knows of its procedure linkage table.
type linkage struct {
	cpu  *plt.CPU // nil: stubs are not looked for
	secs []pltSection
	// blind: no section header tells where stubs are. One is recognised by its
	// code and the slot that it jumps through.
	blind bool

	once  sync.Once
	stubs []stub    // those that have names, by start
	slots []pltSlot // blind: of the relocations for stubs, by address
	rel   relocations
}

type pltSection struct {
	addr uint64
	code []byte
}

// stub is a procedure linkage stub that a symbol names.
type stub struct {
	start uint64
	size  uint32
	ref   uint32 // a Ref
}

func (s *stub) covers(vaddr uint64) bool { return vaddr-s.start < uint64(s.size) }

// findPLT looks for the stubs' sections. It decodes nothing.
func (im *Image) findPLT() {
	im.plt.cpu = plt.For(im.Machine)
	if im.plt.cpu == nil || im.Type == elf.ET_REL {
		return
	}
	im.plt.blind = len(im.secs) == 0 && len(im.dyn) > 0
	for _, name := range pltSections {
		s := im.section(name)
		if s == nil || !execSection(s) || s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 {
			continue
		}
		code := im.clip(s.Offset, min(s.FileSize, maxPLTBytes))
		im.plt.secs = append(im.plt.secs, pltSection{s.Addr, code})
	}
}

// mayPLT reports whether a stub can be at vaddr, at the price of a few comparisons.
func (im *Image) mayPLT(vaddr uint64) bool {
	for i := range im.plt.secs {
		if s := &im.plt.secs[i]; vaddr-s.addr < uint64(len(s.code)) {
			return true
		}
	}
	if im.plt.blind {
		_, ok := im.areas.find(vaddr)
		return ok
	}
	return false
}

// PLT returns the symbol that the procedure linkage stub at the link-time
// address vaddr jumps to, raw and without version, and the range of the stub in
// bytes. Users know the stub by that name, demangled, with "@plt" behind it. It
// reports false for an address in no stub, for the common part of a lazy table,
// and where the file does not tell the name.
//
// A stub is decoded to the slot of the global offset table that it jumps
// through (or to the relocation whose number it pushes for the dynamic linker),
// and the slot's relocation names the symbol. Stubs of IRELATIVE relocations,
// which have no symbol, are named by the GNU_IFUNC symbol whose resolver the
// relocation calls.
func (im *Image) PLT(vaddr uint64) (name string, start, size uint64, ok bool) {
	if !im.mayPLT(vaddr) {
		return "", 0, 0, false
	}
	guard.Read(func() error {
		im.plt.once.Do(im.buildPLT)
		s, found := im.findStub(vaddr)
		if !found {
			return nil
		}
		if sym, named := im.symbolName(s.ref); named {
			name, start, size, ok = sym, s.start, uint64(s.size), true
		}
		return nil
	})
	return name, start, size, ok
}

// symbolName returns the name of a Ref.
func (im *Image) symbolName(ref uint32) (string, bool) {
	t, i := im.table(Ref(ref))
	if t == nil {
		return "", false
	}
	s := t.at(i)
	name := t.nameAt(s.name, maxName)
	return string(name), len(name) > 0
}

func (im *Image) findStub(vaddr uint64) (stub, bool) {
	if im.plt.blind {
		return im.blindStub(vaddr)
	}
	i, exact := slices.BinarySearchFunc(im.plt.stubs, vaddr, func(s stub, v uint64) int { return cmp.Compare(s.start, v) })
	if !exact {
		i--
	}
	if i < 0 || !im.plt.stubs[i].covers(vaddr) {
		return stub{}, false
	}
	return im.plt.stubs[i], true
}

// blindStub decodes the code around vaddr. Only a stub jumps through a slot that
// the dynamic linker fills lazily.
func (im *Image) blindStub(vaddr uint64) (stub, bool) {
	for back := uint64(plt.MaxSize - plt.Align); ; back -= plt.Align {
		start := (vaddr&^(plt.Align-1) - back) & im.addrMask()
		j, ok := im.decodeStub(im.Bytes(start, plt.MaxSize), start)
		if ok && j.Slotted && vaddr-start < uint64(j.Size) {
			slot := im.slotOf(j, im.plt.rel.got)
			ref, ok := findSlot(im.plt.slots, slot)
			if j.Relative && j.Indexed { // see gotBase
				offset, indexed := im.relocOffset(im.plt.rel.plt, j.Index)
				ok = ok && indexed && offset == slot
			}
			if ok {
				return stub{start, j.Size, ref}, true
			}
		}
		if back == 0 {
			return stub{}, false
		}
	}
}

// slotOf returns the address of the slot that a stub jumps through.
func (im *Image) slotOf(j plt.Stub, got uint64) uint64 {
	if j.Relative {
		return (got + j.Slot) & im.addrMask()
	}
	return j.Slot
}

// buildPLT decodes all stubs and names them.
func (im *Image) buildPLT() {
	im.plt.rel = im.relocations()
	rel := &im.plt.rel
	slots := im.relocSlots(rel.plt, 0, im.addrMask())
	if im.plt.blind {
		im.plt.slots = slots
		return
	}
	got := im.gotBase()
	var stubs []stub
	var todo []pltSlot // what rel.dyn must tell: ref is an index of stubs
	for i := range im.plt.secs {
		sec := &im.plt.secs[i]
		im.walkStubs(sec, func(start uint64, j plt.Stub) bool {
			slot := im.slotOf(j, got)
			if !j.Slotted {
				offset, ok := im.relocOffset(rel.plt, j.Index)
				if !ok || j.Common != sec.addr {
					return true
				}
				slot = offset
			}
			ref, ok := findSlot(slots, slot)
			if !ok {
				ref = none
				todo = append(todo, pltSlot{slot, uint32(len(stubs))})
			}
			stubs = append(stubs, stub{start, j.Size, ref})
			return true
		})
	}
	if len(todo) > 0 {
		lo, hi := todo[0].slot, todo[0].slot
		for _, t := range todo {
			lo, hi = min(lo, t.slot), max(hi, t.slot)
		}
		for _, table := range rel.dyn {
			slots := im.relocSlots(table, lo, hi)
			for _, t := range todo {
				if ref, ok := findSlot(slots, t.slot); ok {
					stubs[t.ref].ref = ref
				}
			}
		}
	}
	stubs = slices.DeleteFunc(stubs, func(s stub) bool { return s.ref == none })
	slices.SortFunc(stubs, func(a, b stub) int { return cmp.Compare(a.start, b.start) })
	im.plt.stubs = slices.Clip(stubs)
}

// gotBase finds what relative jumps are relative to. That should be DT_PLTGOT,
// but mold 1.10 takes .got, so the first stub is believed when it also has the
// index of the relocation that fills its slot. (Not every stub may be: those of
// lld for IRELATIVE, which nobody binds lazily, have a wrong index.)
func (im *Image) gotBase() uint64 {
	got, done := im.plt.rel.got, false
	for i := 0; i < len(im.plt.secs) && !done; i++ {
		im.walkStubs(&im.plt.secs[i], func(_ uint64, j plt.Stub) bool {
			if j.Relative && j.Indexed {
				if offset, ok := im.relocOffset(im.plt.rel.plt, j.Index); ok {
					got = offset - j.Slot
				}
			}
			done = j.Slotted
			return !done
		})
	}
	return got
}

// decodeStub decodes the stub at the start of code, which lies at addr.
func (im *Image) decodeStub(code []byte, addr uint64) (plt.Stub, bool) {
	j, ok := im.plt.cpu.Decode(code, addr)
	j.Slot &= im.addrMask()
	j.Common &= im.addrMask()
	return j, ok
}

// walkStubs decodes a section from its start. What is no stub, such as the
// common part of a lazy table, is passed over. It ends when found returns false.
func (im *Image) walkStubs(sec *pltSection, found func(start uint64, j plt.Stub) bool) {
	for off := 0; off < len(sec.code); {
		start := sec.addr + uint64(off)
		j, ok := im.decodeStub(sec.code[off:], start)
		if !ok {
			off += plt.Align
			continue
		}
		if !found(start, j) {
			return
		}
		off += int(j.Size)
	}
}
