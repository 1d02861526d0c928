//go:build linux

package trace

import (
	"encoding/hex"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/symbolize"
)

// Head returns what names raw addresses of a space elsewhere. Code that was moved
// out of its file's mapping is shown in it.
func Head(space *image.Space, sym *symbolize.Symbolizer) *render.Head {
	h := &render.Head{Maps: space.FileEntries()}
	for _, m := range space.Modules() {
		if !m.HasCode() {
			continue
		}
		if id := m.MappedBuildID(); id != nil {
			h.BuildIDs = append(h.BuildIDs, render.BuildID{ID: hex.EncodeToString(id), Path: m.Path})
		}
	}
	for _, s := range sym.GateSymbols() {
		h.GateSymbols = append(h.GateSymbols, render.GateSymbol(s))
	}
	return h
}
