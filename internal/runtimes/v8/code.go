package v8

import (
	"sort"

	"github.com/gatedso/bt/stack"
)

// code is compiled code: what was read of a Code.
type code struct {
	obj        uint64
	start, end uint64 // of its instructions
	baseline   bool
	optimised  bool
	maglev     bool
	positions  []byte // of optimised code: as bytecodes have it; of baseline code: how long the code of each bytecode is

	bytecodes *bytecodes           // of baseline code
	function  *function            // that was optimised
	exits     uint64               // offset of what leaves optimised code, from start
	literals  uint64               // the array with the inlined functions
	inlinings []byte               // where each was called
	inlined   int                  // how many functions
	places    map[uint64][]located // by address: what calls has found
}

// located is a function, and a position in it.
type located struct {
	function *function
	position int
}

// Bounds of the search for the code around an address.
const (
	maxCode     = 512 << 10 // bytes of instructions before the address that are looked through
	maxCodes    = 1 << 13
	maxMissed   = 1 << 14
	codeStep    = 32 // instructions begin at a multiple of it
	codePage    = 4096
	maxSearches = 2048 // of pages in one stop
)

// codeAt returns the compiled code that an address belongs to, nil where there is none.
func (r *reader) codeAt(pc uint64, exact bool) *code {
	if !exact {
		pc--
	}
	low, ok := r.mayBeCompiled(pc)
	if !ok {
		return nil
	}
	i := sort.Search(len(r.codes), func(i int) bool { return r.codes[i].start > pc })
	if i > 0 && pc < r.codes[i-1].end {
		return r.codes[i-1]
	}
	if r.missed[pc] || len(r.missed) >= maxMissed || len(r.codes) >= maxCodes {
		return nil
	}
	c := r.search(pc, low)
	if c == nil {
		r.missed[pc] = true
		return nil
	}
	r.codes = append(r.codes, nil)
	copy(r.codes[i+1:], r.codes[i:])
	r.codes[i] = c
	return c
}

// search looks for the object that has the instruction at pc among its own, backwards:
// before the instructions are its map and others of its fields, which no instructions
// look like.
func (r *reader) search(pc, low uint64) *code {
	head := r.l.instructions
	if pc-low > maxCode {
		low = pc - maxCode
	}
	var page [codePage]byte
	held, n := uint64(1), 0 // the page that is held
	for start := pc &^ (codeStep - 1); start >= low+head; start -= codeStep {
		at := start - head
		if at&^(codePage-1) != held {
			if held = at &^ (codePage - 1); r.heap.searches >= maxSearches {
				return nil
			}
			r.heap.searches++
			n = r.heap.Read(held, page[:])
		}
		off := int(at - held)
		if off+8 > n {
			return nil
		}
		if !isObject(word(page[:], off)) {
			continue
		}
		if c := r.heap.code(at+1, start); c != nil && pc >= c.start && pc < c.end {
			return c
		}
	}
	return nil
}

// code reads the Code whose instructions begin at start, and in which, or in whose
// InstructionStream at obj, they are; nil where it is none.
func (h *heap) code(obj, start uint64) *code {
	l := h.l
	if !l.inPlace {
		if !h.is(obj, l.streamType) {
			return nil
		}
		p, ok := h.object(obj, l.streamCode, l.codeType)
		if !ok {
			return nil
		}
		obj = p
		if at, ok := h.field(obj, l.codeStart); !ok || at != start {
			return nil
		}
	} else if !h.is(obj, l.codeType) {
		return nil
	}
	flags, ok1 := h.Word(obj-1+l.codeFlags, 4)
	size, ok2 := h.Word(obj-1+l.codeSize, 4)
	if !ok1 || !ok2 || size == 0 || size > maxCode*16 {
		return nil
	}
	c := &code{obj: obj, start: start, end: start + size, places: make(map[uint64][]located)}
	switch uint32(flags) & l.kindMask {
	case l.kindBaseline:
		c.baseline = true
	case l.kindBaseline + afterBaselineMaglev:
		c.optimised, c.maglev = true, true
	case l.kindBaseline + afterBaselineTurbofan:
		c.optimised = true
	default:
		return c
	}
	if p, ok := h.field(obj, l.codePositions); ok {
		c.positions, _ = h.byteArray(p)
	}
	deopt, _ := h.field(obj, l.codeDeopt)
	if c.baseline {
		c.bytecodes = h.bytecodes(deopt)
	} else {
		h.deoptimisation(c, deopt)
	}
	return c
}

const (
	maxInlined    = 1 << 12
	inliningEntry = 16 // bytes of an InliningPosition
	maxDeoptIndex = 64
)

// deoptimisation reads which functions optimised code was made of.
func (h *heap) deoptimisation(c *code, data uint64) {
	l := h.l
	if p, ok := h.element(data, l.deoptShared); ok {
		if l.wrapperType != 0 && h.is(p, l.wrapperType) {
			p, _ = h.field(p, l.wrapperShared)
		}
		c.function = h.function(p)
	}
	w, ok1 := h.element(data, l.deoptCount)
	e, ok2 := h.element(data, l.deoptExits)
	n, ok3 := smi(w)
	exits, ok4 := smi(e)
	if !ok1 || !ok2 || !ok3 || !ok4 || n < 0 || n > maxInlined || exits < 0 {
		return
	}
	c.exits = uint64(exits)
	c.literals, _ = h.element(data, l.deoptLiterals)
	if p, ok := h.element(data, l.deoptInlining); ok {
		c.inlinings, _ = h.byteArray(p)
	}
	c.inlined = n
}

// calls are the functions that code runs at an address, the innermost first. Optimised
// code tells of calls where they are; of an interrupted instruction it is only certain
// that it is the function's.
func (r *reader) calls(c *code, pc uint64, exact bool) []located {
	if !c.optimised || c.function == nil {
		return nil
	}
	if exact {
		return []located{{c.function, noPosition}}
	}
	if list, known := c.places[pc]; known {
		return list
	}
	list := r.heap.calls(c, int(pc-c.start)-1)
	c.places[pc] = list
	for _, at := range list {
		r.heap.place(at.function, at.position)
	}
	return list
}

func (h *heap) calls(c *code, offset int) (list []located) {
	unknown := []located{{c.function, noPosition}}
	if !h.spend(len(c.positions)) {
		return unknown
	}
	p, ok := findPosition(c.positions, offset, h.l.positionFlags)
	// Where code was given up while it called something, its return address leads to
	// the code that leaves it.
	if !ok || uint64(offset) >= c.exits {
		return unknown
	}
	for id := p.inlined(); id != 0; id = p.inlined() {
		if id*inliningEntry > len(c.inlinings) {
			return unknown
		}
		entry := c.inlinings[(id-1)*inliningEntry:]
		f := c.function
		if n := int(int32(word(entry, 8))); n >= 0 {
			if n >= c.inlined {
				return unknown
			}
			w, ok := h.element(c.literals, n)
			if !ok {
				return unknown
			}
			if f = h.function(w &^ 2); f == nil { // which may be a weak pointer
				return unknown
			}
		}
		list = append(list, located{f, h.trusted(c, f, p.offset())})
		outer := position(word(entry, 0))
		if outer.inlined() >= id {
			return unknown
		}
		p = outer
	}
	return append(list, located{c.function, h.trusted(c, c.function, p.offset())})
}

// trusted is a position that a table tells of a function, noPosition where it may be wrong.
// Of a loop's code that Maglev has made a second time, after the first pass through it, all
// positions are that of the jump back (maglev/maglev-graph-builder.cc does not reset what
// it looks positions up with): no call is there.
func (h *heap) trusted(c *code, f *function, pos int) int {
	if !c.maglev {
		return pos
	}
	b := h.bytecodesOf(f)
	if b == nil || h.isLoop(b, pos) {
		return noPosition
	}
	return pos
}

// names are the names of functions, the innermost first.
func (h *heap) names(list []located) (names []stack.Name) {
	for _, at := range list {
		names = append(names, h.place(at.function, at.position))
	}
	return names
}
