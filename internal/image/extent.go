package image

import (
	"debug/elf"
	"math"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// Extent is what can be told of a function from where it begins, by the bytes of
// its image: for a symbol that has no size.
type Extent struct {
	end   uint64 // another function begins there, or this one's FDE ends
	start uint64
	spans []arch.Span // what its instructions can reach; nil if unknown
	known bool
}

// maxExtent bounds the bytes of code that are followed.
const maxExtent = 64 << 10

// Extent returns what is known of the function at start, a link-time address.
// Call frame information tells where others begin, and the instructions where
// execution can get.
func (im *Image) Extent(start uint64) *Extent {
	e := &Extent{start: start, end: math.MaxUint64}
	if im.Type == elf.ET_REL {
		return e // the addresses in its code are not filled in
	}
	guard.Read(func() error {
		var row cfi.Row
		for _, t := range []*cfi.Table{im.ehTable(), im.debugTable()} {
			if next, ok := t.NextFunc(start); ok {
				e.end = min(e.end, next)
			}
			if t.Row(start, &row) == nil {
				e.end = min(e.end, row.FuncEnd)
			}
		}
		a := im.Arch()
		if a == nil || a.Extent == nil || im.holes {
			return nil
		}
		e.spans, e.known = a.Extent(im.Code(start, maxExtent), start)
		return nil
	})
	return e
}

// Has reports whether the link-time address addr may belong to the function. A
// doubt counts for it.
func (e *Extent) Has(addr uint64) bool {
	if addr < e.start || addr >= e.end {
		return addr == e.start
	}
	if !e.known {
		return true
	}
	for _, s := range e.spans {
		if off := addr - e.start; off >= uint64(s.Start) && off < uint64(s.End) {
			return true
		}
	}
	return false
}
