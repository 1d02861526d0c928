package dwarf

import (
	"slices"
	"sort"
)

// scope is an entry of a unit that names lie in: a namespace, a module, a class.
type scope struct {
	from, to int   // offsets of the first entry in it, and behind the last
	parent   int32 // -1: the unit
	name     string
}

// scopes are those of a unit, by their offsets.
type scopes []scope

// maxScopes bounds the scopes of one unit, maxParts those around one name.
const (
	maxScopes = 1 << 20
	maxParts  = 64
)

// readScopes makes the list of a unit's scopes in one walk.
func (v *visitor) readScopes(c *cu) *scopes {
	s := new(scopes)
	b, t := c.b, c.tab
	v.work -= len(b) - c.u.off
	var open []int32 // the scope around each entry that is open
	inner := int32(-1)
	for pos := c.u.root; pos < len(b) && v.work > 0; {
		var code uint64
		code, pos = uleb(b, pos)
		if code == 0 {
			if len(open) == 0 || pos > len(b) {
				return s
			}
			outer := open[len(open)-1]
			if open = open[:len(open)-1]; outer != inner {
				(*s)[inner].to = pos
			}
			inner = outer
			continue
		}
		a := t.abbrev(code)
		if a == nil || a.bad || len(open) >= maxDepth {
			return s
		}
		var e entry
		switch {
		case a.scope():
			pos = t.read(b, pos, a, &e)
		case a.size >= 0:
			pos += int(a.size)
		default:
			pos = t.run(b, pos, a, &e)
		}
		if pos > len(b) {
			return s
		}
		if !a.kids {
			continue
		}
		open = append(open, inner)
		if a.scope() && len(*s) < maxScopes {
			*s = append(*s, scope{from: pos, to: len(b), parent: inner, name: v.scopeName(c, a, &e)})
			inner = int32(len(*s) - 1)
		}
	}
	return s
}

// scope reports whether the entry is part of the names of those in it.
func (a *abbrev) scope() bool {
	switch a.tag {
	case tagNamespace, tagModule, tagClass, tagStruct, tagUnion, tagInterface, tagEnumeration:
		return a.kids
	}
	return false
}

// scopeName returns the name of a scope, which another entry may have.
func (v *visitor) scopeName(c *cu, a *abbrev, e *entry) string {
	for range maxChain {
		if n, ok := e.get(sName); ok {
			return string(c.str(n))
		}
		o, ok := e.get(sOrigin)
		if !ok {
			break
		}
		var off int
		if c, off = v.follow(c, o); c == nil {
			break
		}
		next, ok := v.entryAt(c, off)
		if !ok {
			break
		}
		*e = next
	}
	if a.tag == tagNamespace {
		return "(anonymous namespace)"
	}
	return ""
}

// around returns the names of the scopes that the entry at off lies in, the
// outermost first.
func (s scopes) around(off int) []string {
	i := int32(sort.Search(len(s), func(i int) bool { return s[i].from > off }) - 1)
	var parts []string
	for ; i >= 0 && len(parts) < maxParts; i = s[i].parent {
		if off < s[i].to && s[i].name != "" {
			parts = append(parts, s[i].name)
		}
	}
	slices.Reverse(parts)
	return parts
}
