package elfsym

import "github.com/gatedso/bt/internal/guard"

// Find is Lookup that returns a reference and the symbol's value instead of
// the symbol: for callers that remember names by reference.
func (im *Image) Find(vaddr uint64) (ref Ref, value uint64, ok bool) {
	if im.index.Load() != nil {
		return im.lookupRef(vaddr)
	}
	refs := [1]uint32{none}
	err := guard.Read(func() error {
		im.refs([]uint64{vaddr}, refs[:])
		if refs[0] != none {
			var s Symbol
			s, ok = im.symbol(Ref(refs[0]))
			value = s.Value
		}
		return nil
	})
	return Ref(refs[0]), value, ok && err == nil
}

// TableOf names the symbol table that ref is from, as Symbol.Table does.
func (im *Image) TableOf(ref Ref) string {
	if t, _ := im.table(ref); t != nil {
		return t.name
	}
	return ""
}

// Named yields the symbols that name addresses: of those that cover the same
// one, the one that wins. It reads every symbol; it is for small images.
func (im *Image) Named(yield func(Symbol) bool) {
	guard.Read(func() error {
		for ref := range Ref(im.numSyms) {
			s, ok := im.symbol(ref)
			if !ok {
				continue
			}
			if best, _, ok := im.lookupRef(s.Value); ok && best == ref && !yield(s) {
				break
			}
		}
		return nil
	})
}

// Data is the image's bytes, as the file has them; valid until Close.
func (im *Image) Data() []byte { return im.data }

// Indexed reports whether the symbol index has been built: lookupRef is cheap.
func (im *Image) Indexed() bool { return im.index.Load() != nil }
