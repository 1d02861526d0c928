package dwarf

// cu is a unit with its root entry read: what it takes to read the others.
type cu struct {
	d   *Data
	u   *unit
	b   []byte // .debug_info up to the end of the unit
	tab *table
	tag uint16 // of the root entry

	low        uint64 // base address of its ranges
	hasLow     bool
	root       entry
	strOffsets uint64
	rnglists   uint64
	ranges     uint64 // what DW_AT_ranges of a split unit of version 4 adds to
	addr       []byte // .debug_addr, that of the skeleton for a split unit
	addrBase   uint64
	rangeData  []byte // .debug_ranges
	scopes     *level // of the entries that names lie in
}

// open reads the root entry of a unit; nil if it cannot be read.
func (v *visitor) open(d *Data, u *unit) *cu {
	if c, ok := v.cus[u]; ok {
		return c
	}
	if len(v.cus) >= maxOpen {
		clear(v.cus)
	}
	tab := v.table(d, u)
	code, _ := uleb(d.s.Info[:u.end:u.end], u.root)
	var c *cu
	if a := tab.abbrev(code); a != nil {
		c = newCU(d, u, tab, a)
	}
	v.cus[u] = c
	return c
}

// openRoot is open for a caller who reads no other entry of the unit. What it
// returns holds until the next call.
func (v *visitor) openRoot(u *unit) *cu {
	d := v.d
	if u.abbrevOff >= uint64(len(d.s.Abbrev)) {
		return nil
	}
	code, _ := uleb(d.s.Info[:u.end:u.end], u.root)
	k := rootKey{u.abbrevOff, code, u.sizes}
	r, ok := v.roots[k]
	if !ok {
		// Units share their tables, and the root entry's abbreviation may come late.
		if v.roots == nil || len(v.roots) >= maxTables {
			v.roots = make(map[rootKey]abbrev)
		}
		a, found := v.rootTab.find(d.s.Abbrev[u.abbrevOff:], u.sizes, code)
		a.bad = a.bad || !found
		v.roots[k], r = a, a
	} else {
		v.rootTab.begin(d.s.Abbrev[u.abbrevOff:], u.sizes)
	}
	return newCU(d, u, &v.rootTab, &r)
}

// rootKey is what the abbreviation of a root entry depends on.
type rootKey struct {
	off, code uint64
	sizes     sizes
}

// newCU reads the root entry of a unit, whose abbreviation is a.
func newCU(d *Data, u *unit, tab *table, a *abbrev) *cu {
	c := &cu{d: d, u: u, b: d.s.Info[:u.end:u.end], tab: tab, addr: d.s.Addr, rangeData: d.s.Ranges}
	_, pos := uleb(c.b, u.root)
	if a.bad {
		return nil
	}
	c.tag = a.tag
	if tab.read(c.b, pos, a, &c.root) > len(c.b) {
		return nil
	}
	if u.sizes.version >= 5 && u.typ == unitSplitCompile {
		// Without a base the contribution's header is to be skipped.
		c.strOffsets, c.rnglists = 8, 12
		if u.sizes.off == 8 {
			c.strOffsets, c.rnglists = 16, 20
		}
	}
	c.root.value(sStrOffsets, &c.strOffsets)
	c.root.value(sAddrBase, &c.addrBase)
	c.root.value(sRnglists, &c.rnglists)
	if a, ok := c.root.get(sLow); ok {
		c.low, c.hasLow = c.address(a)
	}
	return c
}

// address returns the address that an attribute holds.
func (c *cu) address(a attr) (addr uint64, ok bool) {
	switch a.form {
	case formAddr:
		return a.val, true
	case formAddrx, formAddrx1, formAddrx2, formAddrx3, formAddrx4:
		return c.addrx(a.val)
	}
	return 0, false
}

// addrx returns an entry of .debug_addr (7.27).
func (c *cu) addrx(i uint64) (addr uint64, ok bool) {
	size := uint64(c.u.sizes.addr)
	n := uint64(len(c.addr))
	if i >= n || c.addrBase > n || i*size > n-c.addrBase {
		return 0, false
	}
	addr, next := fixed(c.addr, int(c.addrBase+i*size), int(size), c.d.big)
	return addr, next <= len(c.addr)
}

// str returns the string of an attribute; nil if it is none. The bytes are the
// section's.
func (c *cu) str(a attr) []byte { return cstring(c.stringAt(a)) }

// stringAt returns where the string of an attribute is: at off in sec, which is nil
// if it is none.
func (c *cu) stringAt(a attr) (sec []byte, off uint64) {
	s := &c.d.s
	switch a.form {
	case formString:
		return c.b, a.val
	case formStrp:
		return s.Str, a.val
	case formLineStrp:
		return s.LineStr, a.val
	case formStrpSup:
		if c.d.o.Alt != nil {
			return c.d.o.Alt.s.Str, a.val
		}
	case formStrx, formStrx1, formStrx2, formStrx3, formStrx4:
		size := uint64(c.u.sizes.off)
		n := uint64(len(s.StrOffsets))
		if a.val >= n || c.strOffsets > n || a.val*size > n-c.strOffsets {
			return nil, 0
		}
		off, next := fixed(s.StrOffsets, int(c.strOffsets+a.val*size), int(size), c.d.big)
		if next <= len(s.StrOffsets) {
			return s.Str, off
		}
	}
	return nil, 0
}

// text is str of an attribute of the root entry.
func (c *cu) text(s slot) []byte {
	if a, ok := c.root.get(s); ok {
		return c.str(a)
	}
	return nil
}

// isConst reports whether a form is of class constant, which makes
// DW_AT_high_pc an offset.
func isConst(form uint8) bool {
	switch form {
	case formData1, formData2, formData4, formData8, formUdata, formSdata, formImplicitConst:
		return true
	}
	return false
}

// span returns the range that DW_AT_low_pc and DW_AT_high_pc give (2.17.2).
func (c *cu) span(e *entry) (s Span, ok bool) {
	low, ok1 := e.get(sLow)
	high, ok2 := e.get(sHigh)
	if !ok1 || !ok2 {
		return s, false
	}
	if s.Start, ok = c.address(low); !ok {
		return s, false
	}
	if isConst(high.form) {
		s.End = s.Start + high.val
	} else if s.End, ok = c.address(high); !ok {
		return s, false
	}
	return s, s.End > s.Start
}
