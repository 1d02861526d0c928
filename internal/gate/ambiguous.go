package gate

import (
	"fmt"

	"github.com/gatedso/bt/maps"
)

// ambiguous says why it is not clear what the gate e of m stands for: no kernel
// writes a second gate line, or one across a mapping.
func ambiguous(m *maps.Map, e *maps.Mapping) error {
	for i := range m.Entries {
		o := &m.Entries[i]
		if o == e {
			continue
		}
		if isLine(o) {
			return fmt.Errorf("the maps have two gate lines, at %x and %x", o.Start, e.Start)
		}
		// [vdso] is what the line stands for.
		if m.GateOf(o) == maps.NoGate && o.Start < e.End && e.Start < o.End {
			return fmt.Errorf("the gate line at %x-%x overlaps the mapping at %x-%x (%q)", e.Start, e.End, o.Start, o.End, o.Path)
		}
	}
	return nil
}

// isLine reports whether an entry, wherever it stands, reads like a gate line
// with a path.
func isLine(e *maps.Mapping) bool {
	return e.Perm == 0 && e.Offset == 0 && e.Dev == 0 && e.Inode == 0 && len(e.Path) > 0 && e.Path[0] == '/'
}
