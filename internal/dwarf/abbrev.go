package dwarf

import "math"

// table is a compiled table of abbreviations (7.5.3).
type table struct {
	sizes  sizes
	fixed  [formAddrx4 + 1]int8 // sizes by form: unknownForm, or variable
	raw    []byte               // .debug_abbrev from the table on
	dense  []abbrev             // by code - 1
	sparse map[uint64]abbrev    // whose codes are not consecutive
	ops    []op
	consts []uint64
}

// abbrev says how to read the entries of one code.
type abbrev struct {
	specs    uint32 // where in table.raw its attributes are
	ops      uint32 // the first of those that walk runs
	nOps     uint16
	tag      uint16
	kids     bool
	bad      bool // has an unknown form: what follows cannot be read
	function bool // a subprogram or an inlined call
	leaf     bool // holds no code, whatever is below it
	// size is that of all attributes, -1 where the contents tell.
	size int32
}

// op skips bytes and then reads or skips one attribute. maxAttrs of them skip less
// than what a uint16 holds.
type op struct {
	skip uint16 // bytes
	form uint8  // 0: none
	slot slot   // noSlot: skipped
	val  uint32 // of an implicit constant: in table.consts
}

// maxAttrs bounds the attributes of one entry. Compilers write some twenty.
const maxAttrs = 1 << 10

// What table.fixed has of forms without a fixed size.
const (
	variable    = -1
	unknownForm = -2
)

// begin makes t a table of the abbreviations that b starts with, without any yet.
func (t *table) begin(b []byte, s sizes) {
	if len(b) > math.MaxInt32 {
		b = b[:math.MaxInt32]
	}
	if t.sizes != s || t.raw == nil {
		for form := range t.fixed {
			t.fixed[form] = unknownForm
			if f := normalForm(uint64(form), s); f != 0 {
				t.fixed[form] = int8(fixedSize(f, s))
			}
		}
	}
	t.sizes, t.raw, t.sparse = s, b, nil
	t.dense, t.ops, t.consts = t.dense[:0], t.ops[:0], t.consts[:0]
}

// compile reads the table that b starts with.
func (t *table) compile(b []byte, s sizes) {
	t.begin(b, s)
	for pos := 0; ; {
		code, next := uleb(t.raw, pos)
		if next > len(t.raw) || code == 0 {
			return
		}
		a, next, ok := t.declaration(next)
		if !ok {
			return
		}
		t.add(code, &a)
		pos = next
	}
}

// find returns the abbreviation of one code of the table that b starts with.
func (t *table) find(b []byte, s sizes, want uint64) (a abbrev, ok bool) {
	t.begin(b, s)
	b = t.raw
	for pos := 0; ; {
		code, next := uleb(b, pos)
		if next > len(b) || code == 0 {
			return a, false
		}
		if code == want {
			a, _, ok = t.declaration(next)
			return a, ok
		}
		if pos = skipLEB(b, next) + 1; pos > len(b) {
			return a, false
		}
		for n := 0; ; n++ {
			var name, form uint64
			if name, form, pos = pair(b, pos); pos > len(b) || n > maxAttrs {
				return a, false
			}
			if form == formImplicitConst {
				pos = skipLEB(b, pos)
			}
			if name == 0 && form == 0 {
				break
			}
		}
	}
}

// pair reads the name and the form of an attribute.
func pair(b []byte, pos int) (name, form uint64, next int) {
	if uint(pos+1) < uint(len(b)) && b[pos]|b[pos+1] < 0x80 {
		return uint64(b[pos]), uint64(b[pos+1]), pos + 2
	}
	name, pos = uleb(b, pos)
	form, pos = uleb(b, pos)
	return name, form, pos
}

// form returns the form of a number in the table, 0 for an unknown one, and its
// size.
func (t *table) form(form uint64) (f uint8, size int) {
	if form >= uint64(len(t.fixed)) {
		if f = normalForm(form, t.sizes); f == 0 {
			return 0, variable
		}
		return f, int(t.fixed[f])
	}
	if size = int(t.fixed[form]); size == unknownForm {
		return 0, variable
	}
	return uint8(form), size
}

// declaration reads the abbreviation whose tag is at pos, and emits the ops that
// read what a walk needs of its entries and skip the rest.
func (t *table) declaration(pos int) (a abbrev, next int, ok bool) {
	b := t.raw
	tag, pos := uleb(b, pos)
	if pos >= len(b) {
		return a, pos, false
	}
	a = abbrev{specs: uint32(pos + 1), ops: uint32(len(t.ops)), tag: uint16(min(tag, 0xffff)), kids: b[pos] != 0}
	pos++
	want := uint32(0)
	switch a.tag {
	case tagSubprogram, tagInlined:
		a.function, want = true, 1<<sLow|1<<sHigh|1<<sRanges
	case tagClass, tagEnumeration, tagStruct, tagSubroutine, tagUnion, tagArray, tagInterface, tagCallSite, tagGNUCallSite:
		if a.leaf = a.kids; a.leaf {
			want = 1 << sSibling
		}
	}
	skip, all, reads := 0, 0, false
	for n := 0; ; n++ {
		var name, number uint64
		if name, number, pos = pair(b, pos); pos > len(b) || n > maxAttrs {
			return a, pos, false
		}
		var val int64
		if number == formImplicitConst {
			if val, pos = sleb(b, pos); pos > len(b) {
				return a, pos, false
			}
		}
		if name == 0 && number == 0 {
			break
		}
		form, size := t.form(number)
		a.bad = a.bad || form == 0
		if size < 0 {
			all = math.MinInt32
		}
		all += size
		s := slotOf(name)
		switch {
		case s != noSlot && want&(1<<s) != 0:
			want &^= 1 << s // the first one counts
			t.emit(op{uint16(skip), form, s, t.constant(form, val)})
			skip, reads = 0, true
		case size >= 0:
			skip += size
		default:
			t.emit(op{uint16(skip), form, noSlot, 0})
			skip = 0
		}
	}
	a.size = -1
	if all >= 0 {
		a.size = int32(all)
	}
	switch {
	case a.bad:
		a.size = -1
	case skip > 0 && (reads || all < 0 || a.function || a.leaf):
		t.emit(op{skip: uint16(skip), slot: noSlot})
	}
	a.nOps = uint16(len(t.ops) - int(a.ops))
	return a, pos, true
}

func (t *table) emit(o op) { t.ops = append(t.ops, o) }

// constant keeps the value of an implicit constant.
func (t *table) constant(form uint8, val int64) uint32 {
	if form != formImplicitConst {
		return 0
	}
	t.consts = append(t.consts, uint64(val))
	return uint32(len(t.consts) - 1)
}

func (t *table) add(code uint64, a *abbrev) {
	if code == uint64(len(t.dense)+1) && t.sparse == nil {
		t.dense = append(t.dense, *a)
		return
	}
	if t.sparse == nil {
		t.sparse = make(map[uint64]abbrev)
	}
	if _, twice := t.sparse[code]; !twice && (code == 0 || code > uint64(len(t.dense))) {
		t.sparse[code] = *a
	}
}

// abbrev returns the abbreviation of a code, nil if there is none.
func (t *table) abbrev(code uint64) *abbrev {
	if code-1 < uint64(len(t.dense)) {
		return &t.dense[code-1]
	}
	if a, ok := t.sparse[code]; ok {
		return &a
	}
	return nil
}

// run runs the ops of a on the attributes at pos, and returns the position behind
// them.
func (t *table) run(b []byte, pos int, a *abbrev, e *entry) int {
	list := t.ops[a.ops : a.ops+uint32(a.nOps)]
	for i := range list {
		o := &list[i]
		if pos += int(o.skip); pos > len(b) {
			return past(b)
		}
		switch {
		case o.slot != noSlot:
			v := attr{form: o.form}
			if o.form == formImplicitConst {
				v.val = t.consts[o.val]
			}
			v, pos = readForm(b, pos, v, t.sizes)
			e.set(o.slot, v.form, v.val)
		case o.form == 0:
		case o.form == formExprloc && pos < len(b) && b[pos] < 0x80:
			pos += 1 + int(b[pos])
		default:
			pos = skipForm(b, pos, o.form, t.sizes)
		}
	}
	return pos
}

// read reads all attributes of an entry, which start at pos, and returns the
// position behind them. a is not bad.
func (t *table) read(b []byte, pos int, a *abbrev, e *entry) int {
	for at := int(a.specs); pos <= len(b); {
		var name, number uint64
		name, number, at = pair(t.raw, at)
		var val int64
		if number == formImplicitConst {
			val, at = sleb(t.raw, at)
		}
		if at > len(t.raw) || name == 0 && number == 0 {
			break
		}
		form, size := t.form(number)
		s := slotOf(name)
		switch {
		case s != noSlot:
			var v attr
			v, pos = readForm(b, pos, attr{form, uint64(val)}, t.sizes)
			e.set(s, v.form, v.val)
		case size >= 0:
			pos += size
		default:
			pos = skipForm(b, pos, form, t.sizes)
		}
	}
	return pos
}
