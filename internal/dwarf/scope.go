package dwarf

import "sort"

// level is the entries below one entry of a unit, of which those are known that have
// entries of their own. It is read as far as it was needed: the names of a unit lie in a
// few of its scopes, and DW_AT_sibling leads past the others.
type level struct {
	pos  int // of the next entry that was not read yet
	done bool
	kids []child // by offset
}

// child is an entry that has entries of its own.
type child struct {
	die      int // its offset
	from, to int // offset of the first entry in it, and of what is behind the last one
	scope    bool
	in       level
}

// Limits of the scopes around one name, and of the entries whose place is kept of one unit.
const (
	maxParts = 64
	maxKids  = 1 << 20
)

// around returns the names of the scopes that the entry at off lies in, the outermost
// first.
func (v *visitor) around(c *cu, off int) (parts []string) {
	if c.scopes == nil {
		c.scopes = &level{pos: c.u.root}
	}
	in := c.scopes
	for depth := 0; depth < maxDepth && len(parts) < maxParts; depth++ {
		k := v.childAround(c, in, off)
		if k == nil {
			break
		}
		if k.scope {
			if name := v.scopeName(c, k.die); name != "" {
				parts = append(parts, name)
			}
		}
		if k.in.pos == 0 {
			k.in.pos = k.from
		}
		in = &k.in
	}
	return parts
}

// childAround returns the entry of a level that the one at off lies in, nil if there is
// none.
func (v *visitor) childAround(c *cu, in *level, off int) *child {
	for !in.done && in.pos <= off && v.work > 0 {
		v.readChild(c, in)
	}
	i := sort.Search(len(in.kids), func(i int) bool { return in.kids[i].from > off }) - 1
	if i < 0 || off >= in.kids[i].to {
		return nil
	}
	return &in.kids[i]
}

// readChild reads the next entry of a level.
func (v *visitor) readChild(c *cu, in *level) {
	b, t, die := c.b, c.tab, in.pos
	code, pos := uleb(b, die)
	a := t.abbrev(code)
	if code == 0 || pos > len(b) || a == nil || a.bad || len(in.kids) >= maxKids {
		in.done = true
		return
	}
	var e entry
	switch {
	case a.leaf:
		pos = t.run(b, pos, a, &e) // reads the sibling
	case a.kids:
		pos = t.read(b, pos, a, &e)
	case a.size >= 0:
		pos += int(a.size)
	default:
		pos = t.run(b, pos, a, &e)
	}
	v.work -= pos - die
	if pos > len(b) {
		in.done = true
		return
	}
	if in.pos = pos; !a.kids {
		return
	}
	end, ok := c.sibling(&e, pos)
	if !ok {
		end = v.skipKids(c, pos)
	}
	in.pos = end
	in.kids = append(in.kids, child{die: die, from: pos, to: end, scope: a.scope()})
}

// skipKids returns the position behind the entries that begin at pos, and those in them.
func (v *visitor) skipKids(c *cu, pos int) int {
	b, t, start := c.b, c.tab, pos
	var e entry
	for depth := 1; depth > 0 && pos < len(b); {
		var code uint64
		if code, pos = uleb(b, pos); code == 0 {
			depth--
			continue
		}
		a := t.abbrev(code)
		if pos > len(b) || a == nil || a.bad {
			pos = len(b)
			break
		}
		if a.size >= 0 {
			pos += int(a.size)
		} else {
			e.has = 0
			pos = t.run(b, pos, a, &e)
		}
		if a.kids {
			depth++
		}
	}
	pos = min(pos, len(b))
	v.work -= pos - start
	return pos
}

// scope reports whether the entry is part of the names of those in it.
func (a *abbrev) scope() bool {
	switch a.tag {
	case tagNamespace, tagModule, tagClass, tagStruct, tagUnion, tagInterface, tagEnumeration:
		return a.kids
	}
	return false
}

// scopeName returns the name of the scope at off, which another entry may have.
func (v *visitor) scopeName(c *cu, off int) string {
	code, _ := uleb(c.b, off)
	a := c.tab.abbrev(code)
	for range maxChain {
		e, ok := v.entryAt(c, off)
		if !ok {
			break
		}
		if n, ok := e.get(sName); ok {
			return string(c.str(n))
		}
		o, ok := e.get(sOrigin)
		if !ok {
			break
		}
		if c, off = v.follow(c, o); c == nil {
			break
		}
	}
	if a != nil && a.tag == tagNamespace {
		return "(anonymous namespace)"
	}
	return ""
}
