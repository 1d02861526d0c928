package elfsym

import "github.com/gatedso/bt/internal/guard"

// Sizeless reports whether a symbol has no size: how far it reaches is then a
// guess where symbols may be missing behind it, as in .dynsym alone.
func (im *Image) Sizeless(ref Ref) (sizeless bool) {
	guard.Read(func() error {
		if t, i := im.table(ref); t != nil {
			sizeless = t.at(i).size == 0
		}
		return nil
	})
	return sizeless
}
