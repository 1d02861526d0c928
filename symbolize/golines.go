//go:build unix

package symbolize

import (
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/unwind/gopcln"
	"github.com/gatedso/bt/stack"
)

// appendGo appends what Go's own tables say of an address: every Go program has
// them.
func appendGo(dst []stack.Name, im *image.Image, link uint64) []stack.Name {
	var room [16]gopcln.Frame
	frames := im.GoFrames(room[:0], link)
	for i, f := range frames {
		dst = append(dst, stack.Name{Symbol: string(f.Func), File: string(f.File), Line: int(max(f.Line, 0)), Inlined: i < len(frames)-1})
	}
	return dst
}
