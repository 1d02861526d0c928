//go:build unix

package symbolize

import (
	"encoding/hex"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/stack"
)

// newModule tells of m what the model holds.
func newModule(m *image.Module) *stack.Module {
	out := &stack.Module{Path: m.Path}
	if im, err := m.Image(); err != nil {
		out.Error = escape.Error(err)
	} else if im != nil {
		out.Error = im.Cut()
	}
	out.BuildID, out.Via = hex.EncodeToString(m.MappedBuildID()), m.Via()
	return out
}
