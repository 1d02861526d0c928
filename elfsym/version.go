package elfsym

import (
	"debug/elf"

	"github.com/gatedso/bt/internal/guard"
)

// versions are the versions of the dynamic symbols, as the LSB's "Symbol
// Versioning" has them: an index for each symbol, and lists of the versions that
// the file defines and that it needs of others.
type versions struct {
	syms  []byte // DT_VERSYM: half-words
	known map[uint16]version
	strs  []byte // DT_STRTAB
}

// version is what an index stands for.
type version struct {
	name   uint32 // offset in the strings
	needed bool   // another file's
}

const (
	versymHidden = 0x8000 // not the version that a link gets by default
	verGlobal    = 1      // this index, and 0, stand for no version
	// maxVersions bounds how many list entries are read: an index has 15 bits.
	maxVersions = 1 << 15
	maxVersion  = 1 << 10 // bytes of a name
)

// Version returns what is written behind a symbol's name to tell its version: "@@V"
// for the default one, "@V" for another, "" where it has none. The names in .symtab
// carry it themselves, dynamic symbols have a table for it.
func (im *Image) Version(ref Ref) (v string) {
	guard.Read(func() error {
		t, i := im.table(ref)
		if t == nil {
			return nil
		}
		if t.name != ".symtab" {
			im.versionsOnce.Do(im.readVersions)
			if v = im.versions.of(im, i); v != "" {
				return nil
			}
		}
		s := t.at(i)
		whole := cString(t.strs, s.name, maxName)
		suffix := whole[len(trimVersion(whole)):]
		v = string(suffix[:min(len(suffix), maxVersion)])
		return nil
	})
	return v
}

// of returns the version of dynamic symbol i.
func (v *versions) of(im *Image, i uint32) string {
	if uint64(len(v.syms)) < 2*uint64(i)+2 {
		return ""
	}
	ndx := im.Order.Uint16(v.syms[2*uint64(i):])
	known, ok := v.known[ndx&^versymHidden]
	if !ok {
		return ""
	}
	name := cString(v.strs, known.name, maxVersion)
	switch {
	case len(name) == 0:
		return ""
	case known.needed || ndx&versymHidden != 0:
		return "@" + string(name)
	}
	return "@@" + string(name)
}

// readVersions finds the tables by PT_DYNAMIC.
func (im *Image) readVersions() {
	v := &im.versions
	var defs, needs []byte
	strsz := uint64(0)
	for tag, val := range im.dynamic {
		switch tag {
		case elf.DT_VERSYM:
			v.syms = im.at(val)
		case elf.DT_STRTAB:
			v.strs = im.at(val)
		case elf.DT_STRSZ:
			strsz = val
		case elf.DT_VERDEF:
			defs = im.at(val)
		case elf.DT_VERNEED:
			needs = im.at(val)
		}
	}
	v.strs = v.strs[:min(uint64(len(v.strs)), strsz)]
	v.known = make(map[uint16]version)
	left := maxVersions
	// Verdef: version, flags, index and count of half-words; hash, offset of the
	// first Verdaux, which begins with the name, and of the next Verdef.
	for d := range im.chain(defs, 20, 16, &left) {
		if aux := skip(d, im.Order.Uint32(d[12:])); len(aux) >= 4 {
			v.add(im.Order.Uint16(d[4:]), version{im.Order.Uint32(aux), false})
		}
	}
	// Verneed: version and count of half-words; file, offset of the first Vernaux
	// and of the next Verneed. Vernaux: hash; flags and index of half-words; name,
	// offset of the next.
	for n := range im.chain(needs, 16, 12, &left) {
		for a := range im.chain(skip(n, im.Order.Uint32(n[8:])), 16, 12, &left) {
			v.add(im.Order.Uint16(a[6:]), version{im.Order.Uint32(a[8:]), true})
		}
	}
}

func (v *versions) add(ndx uint16, ver version) {
	ndx &^= versymHidden
	if _, have := v.known[ndx]; !have && ndx > verGlobal {
		v.known[ndx] = ver
	}
}

// chain yields the entries of a list, each from its start to the end of the bytes
// there are, at least size. The word at next of an entry is the distance to the one
// behind it, 0 in the last. left counts down the entries that may yet be read.
func (im *Image) chain(b []byte, size, next int, left *int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) >= size && *left > 0 {
			*left--
			if !yield(b) {
				return
			}
			step := im.Order.Uint32(b[next:])
			if step == 0 {
				return
			}
			b = skip(b, step)
		}
	}
}

// skip returns b from n on.
func skip(b []byte, n uint32) []byte { return b[min(uint64(n), uint64(len(b))):] }
