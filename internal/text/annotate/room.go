package annotate

import (
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// room is where an address is named: as exact, and as a return address. It is used
// again and again, so that a name costs no allocation.
type room struct{ exact, ret [1]stack.Frame }

func (r *room) frame(addr uint64, exact bool) []stack.Frame {
	frames := r.ret[:]
	if exact {
		frames = r.exact[:]
	}
	frames[0].PC, frames[0].Exact = addr, exact
	return frames
}

// inSpace names an address of a process.
func (r *room) inSpace(sym *symbolize.Symbolizer, addr uint64, exact bool) *stack.Frame {
	f := r.frame(addr, exact)
	sym.Frames(f)
	return &f[0]
}

// inImage names a link-time address of an image.
func (r *room) inImage(sym *symbolize.Symbolizer, im *image.Image, link uint64, exact bool) *stack.Frame {
	f := r.frame(link, exact)
	sym.InImage(im, f)
	return &f[0]
}
