package module

import "github.com/gatedso/bt/cfi"

func (im *Image) goRow(pc uint64) *cfi.Row { return nil }

// GoFunc names a link-time address by Go's pcln table.
func (im *Image) GoFunc(link uint64) (name string, start uint64, ok bool) { return "", 0, false }
