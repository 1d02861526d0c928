package dwarf

// table is a compiled table of abbreviations (7.5.3).
type table struct {
	sizes  sizes
	dense  []abbrev          // by code - 1
	sparse map[uint64]abbrev // whose codes are not consecutive
	ops    []op
}

// abbrev says how to read the entries of one code.
type abbrev struct {
	tag      uint16
	kids     bool
	bad      bool // has an unknown form: what follows cannot be read
	function bool // a subprogram or an inlined call
	leaf     bool // holds no code, whatever is below it
	// size is that of all attributes, -1 where the contents tell.
	size int32
	// The ops that walk runs, and those that read all attributes.
	walk, full ops
}

type ops struct{ from, to uint32 }

// op skips bytes and then reads or skips one attribute.
type op struct {
	skip uint32 // bytes
	form uint8  // 0: none
	slot slot   // noSlot: skipped
	val  uint64 // of an implicit constant
}

// maxAttrs bounds the attributes of one entry. Compilers write some twenty.
const maxAttrs = 1 << 10

// compile reads the table that b starts with.
func compile(b []byte, s sizes) *table {
	t := &table{sizes: s}
	var specs []spec
	for pos := 0; ; {
		code, next := uleb(b, pos)
		if next > len(b) || code == 0 {
			return t
		}
		var tag uint64
		tag, pos = uleb(b, next)
		if pos >= len(b) {
			return t
		}
		a := abbrev{tag: uint16(min(tag, 0xffff)), kids: b[pos] != 0}
		pos++
		var ok bool
		if specs, pos, ok = readSpecs(b, pos, s, specs[:0]); !ok {
			return t
		}
		t.add(code, &a, specs)
	}
}

// spec is one attribute of an abbreviation.
type spec struct {
	slot slot
	form uint8
	val  uint64
}

func readSpecs(b []byte, pos int, s sizes, specs []spec) ([]spec, int, bool) {
	for {
		name, next := uleb(b, pos)
		form, next := uleb(b, next)
		if next > len(b) {
			return specs, next, false
		}
		var val uint64
		if form == formImplicitConst {
			var v int64
			v, next = sleb(b, next)
			val = uint64(v)
		}
		pos = next
		if name == 0 && form == 0 {
			return specs, pos, true
		}
		if len(specs) == maxAttrs {
			return specs, pos, false
		}
		specs = append(specs, spec{slotOf(name), normalForm(form, s), val})
	}
}

func (t *table) add(code uint64, a *abbrev, specs []spec) {
	a.function = a.tag == tagSubprogram || a.tag == tagInlined
	switch a.tag {
	case tagClass, tagEnumeration, tagStruct, tagSubroutine, tagUnion, tagArray, tagInterface, tagCallSite, tagGNUCallSite:
		a.leaf = a.kids
	}
	for _, sp := range specs {
		if sp.form == 0 {
			a.bad = true
		}
		n := fixedSize(sp.form, t.sizes)
		if n < 0 {
			a.size = -1
		} else if a.size >= 0 {
			a.size += int32(n)
		}
	}
	if a.bad {
		a.size = -1
	} else {
		a.full = t.emit(specs, 1<<nSlots-1)
		want := uint32(0)
		if a.function {
			want = 1<<sLow | 1<<sHigh | 1<<sRanges
		} else if a.leaf {
			want = 1 << sSibling
		}
		a.walk = t.emit(specs, want)
	}
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

// emit appends the ops that read the slots of want and skip the rest.
func (t *table) emit(specs []spec, want uint32) ops {
	from := uint32(len(t.ops))
	skip := uint32(0)
	for _, sp := range specs {
		n := fixedSize(sp.form, t.sizes)
		switch {
		case sp.slot != noSlot && want&(1<<sp.slot) != 0:
			want &^= 1 << sp.slot // the first one counts
			t.ops = append(t.ops, op{skip, sp.form, sp.slot, sp.val})
			skip = 0
		case n >= 0:
			skip += uint32(n)
		default:
			t.ops = append(t.ops, op{skip, sp.form, noSlot, 0})
			skip = 0
		}
	}
	if skip > 0 {
		t.ops = append(t.ops, op{skip: skip, slot: noSlot})
	}
	return ops{from, uint32(len(t.ops))}
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

// run runs ops on the attributes at pos, and returns the position behind them.
func (t *table) run(b []byte, pos int, o ops, e *entry) int {
	list := t.ops[o.from:o.to]
	for i := range list {
		o := &list[i]
		if pos += int(o.skip); pos > len(b) {
			return past(b)
		}
		switch {
		case o.slot != noSlot:
			var a attr
			a, pos = readForm(b, pos, attr{o.form, o.val}, t.sizes)
			e.set(o.slot, a.form, a.val)
		case o.form == 0:
		case o.form == formExprloc && pos < len(b) && b[pos] < 0x80:
			pos += 1 + int(b[pos])
		default:
			pos = skipForm(b, pos, o.form, t.sizes)
		}
	}
	return pos
}
