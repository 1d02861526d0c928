package dwarf

import "strings"

// maxChain bounds references from one entry to the next: concrete, abstract,
// declaration.
const maxChain = 16

// name returns the name of the function at off in c: its linkage name, or else
// its name within the scopes around it. It is "" where there is none.
func (v *visitor) name(c *cu, off int) text {
	var name attr
	var nameIn, nc *cu
	nameAt := 0
	for n := 0; ; n++ {
		if n == maxChain {
			v.d.note(c.u, "references from one entry to the next do not end")
			break
		}
		e, ok := v.entryAt(c, off)
		if !ok {
			break
		}
		if a, ok := e.get(sLinkage); ok {
			if t := v.text(c, a); t.s != "" {
				t.linkage = true
				return t
			}
		}
		if a, ok := e.get(sName); ok && nameIn == nil {
			name, nameIn = a, c
		}
		// The scopes are those of the last entry: a declaration in its class.
		nc, nameAt = c, off
		a, ok := e.get(sOrigin)
		if !ok {
			break
		}
		if c, off = v.follow(c, a); c == nil {
			break
		}
	}
	if nameIn == nil {
		return text{}
	}
	whole := nc.separator() == ""
	if whole || v.d.o.Bare {
		t := v.text(nameIn, name)
		t.linkage = whole && t.s != ""
		return t
	}
	return v.d.texts.get(poolKey{sec: &nc.b[0], off: uint64(nameAt), entry: true}, func() string {
		own := nameIn.str(name)
		if len(own) == 0 {
			return ""
		}
		return v.qualified(nc, nameAt, own)
	})
}

// text is the string of an attribute as a name.
func (v *visitor) text(c *cu, a attr) text {
	sec, off := c.stringAt(a)
	if off >= uint64(len(sec)) {
		return text{}
	}
	return v.d.texts.get(poolKey{sec: &sec[0], off: off}, func() string { return string(cstring(sec, off)) })
}

// entryAt reads the entry at off.
func (v *visitor) entryAt(c *cu, off int) (e entry, ok bool) {
	if v.work <= 0 {
		return e, false
	}
	code, pos := uleb(c.b, off)
	if pos > len(c.b) {
		return e, false
	}
	a := c.tab.abbrev(code)
	if a == nil || a.bad {
		return e, false
	}
	end := c.tab.read(c.b, pos, a, &e)
	v.work -= end - off
	return e, end <= len(c.b)
}

// separator returns what stands between scopes in a unit's language (7.12), ""
// where names have none or are complete.
func (c *cu) separator() string {
	a, _ := c.root.get(sLang)
	switch a.val {
	case 0x04, 0x1a, 0x21, 0x2b, 0x3a, 0x1c: // C++ and Rust
		return "::"
	case 0x08, 0x0e, 0x22, 0x23, 0x2d, 0x13, 0x1e, 0x27, 0x1b, 0x28: // Fortran, D, Swift, OCaml, Zig and others
		return "."
	}
	return ""
}

// qualified puts the names of the scopes around the entry at off before name.
func (v *visitor) qualified(c *cu, off int, name []byte) string {
	sep := c.separator()
	if sep == "" {
		return string(name)
	}
	parts := v.around(c, off)
	if len(parts) == 0 {
		return string(name)
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p)
		b.WriteString(sep)
	}
	b.Write(name)
	return b.String()
}
