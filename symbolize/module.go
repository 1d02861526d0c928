//go:build unix

package symbolize

import (
	"encoding/hex"
	"errors"
	"io/fs"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/stack"
)

// newModule tells of m what the model holds.
func newModule(m *image.Module) *stack.Module {
	out := &stack.Module{Path: m.Path}
	im, err := m.Image()
	if err == nil {
		err = m.FileError()
	}
	if err != nil {
		out.Error, out.Refused = escape.Error(err), errors.Is(err, fs.ErrPermission)
	} else if im != nil {
		out.Error = im.Cut()
	}
	out.BuildID, out.Via = hex.EncodeToString(m.MappedBuildID()), m.Via()
	return out
}
