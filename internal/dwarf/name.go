package dwarf

import "strings"

// maxChain bounds references from one entry to the next: concrete, abstract,
// declaration.
const maxChain = 16

// name returns the name of the function at off in c: its linkage name, or else
// its name within the scopes around it. It is "" where there is none. linkage tells
// that symbol tables have the function under this name, too.
func (v *visitor) name(c *cu, off int) (_ string, linkage bool) {
	var name []byte
	var nc *cu
	nameAt := 0
	for range maxChain {
		e, ok := v.entryAt(c, off)
		if !ok {
			break
		}
		if a, ok := e.get(sLinkage); ok {
			if s := c.str(a); len(s) > 0 {
				return string(s), true
			}
		}
		if a, ok := e.get(sName); ok && name == nil {
			name = c.str(a)
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
	if len(name) == 0 {
		return "", false
	}
	if v.d.o.Bare {
		return string(name), nc.separator() == ""
	}
	return v.qualified(nc, nameAt, name), nc.separator() == ""
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
	end := c.tab.run(c.b, pos, a.full, &e)
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
	if c.scopes == nil {
		c.scopes = v.readScopes(c)
	}
	parts := c.scopes.around(off)
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
