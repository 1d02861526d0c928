//go:build unix

package symbolize

import (
	"math/bits"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// Frames names frames of the symbolizer's address space. The PC of each and whether
// it is Exact are given; Module, ModuleOffset, Names and Miss are set. Names are
// put where the frame's Names were, if these have the capacity, so that a caller
// who names millions of addresses can use the same frames again and again.
//
// A return address is looked up one byte earlier, at the call; offsets are those
// of PC all the same.
func (s *Symbolizer) Frames(frames []stack.Frame) {
	if s.options.Lines {
		s.Lines(frames).Frames(frames, 0)
		return
	}
	s.frames(frames)
}

// frames is Frames without lines.
func (s *Symbolizer) frames(frames []stack.Frame) {
	for len(frames) > 0 {
		n := min(len(frames), elfsym.MaxBatch)
		if guard.Read(func() error { s.batch(frames[:n]); return nil }) != nil {
			s.oneByOne(frames[:n], func(f *stack.Frame) { s.one(f, s.space.Locate(lookupAddress(f))) })
		}
		frames = frames[n:]
	}
}

// InImage is Frames for link-time addresses of an image by itself. No module is set.
func (s *Symbolizer) InImage(im *image.Image, frames []stack.Frame) {
	if s.options.Lines {
		s.ImageLines(im, frames).Frames(frames, 0)
		return
	}
	s.inImageAll(im, frames)
}

// inImageAll is InImage without lines.
func (s *Symbolizer) inImageAll(im *image.Image, frames []stack.Frame) {
	for len(frames) > 0 {
		n := min(len(frames), elfsym.MaxBatch)
		if guard.Read(func() error { s.imageBatch(im, frames[:n]); return nil }) != nil {
			s.oneByOne(frames[:n], func(f *stack.Frame) { s.inImage(f, im, nil, lookupAddress(f)) })
		}
		frames = frames[n:]
	}
}

// oneByOne names frames that could not be named together, because a part of a file
// is gone: not every address needs that.
func (s *Symbolizer) oneByOne(frames []stack.Frame, name func(f *stack.Frame)) {
	for i := range frames {
		f := &frames[i]
		if guard.Read(func() error { name(f); return nil }) != nil {
			miss(f, stack.NoImage)
		}
	}
}

// batch is Frames for at most elfsym.MaxBatch frames and a caller that guards it.
func (s *Symbolizer) batch(frames []stack.Frame) {
	var places [elfsym.MaxBatch]image.Place
	todo := uint64(0) // one bit for each frame
	for i := range frames {
		p := s.space.Locate(lookupAddress(&frames[i]))
		if p.Image == nil || p.Module.Gate != maps.NoGate {
			s.one(&frames[i], p)
			continue
		}
		places[i] = p
		todo |= 1 << i
	}
	for todo != 0 { // the frames of one image
		first := &places[bits.TrailingZeros64(todo)]
		var links [elfsym.MaxBatch]uint64
		var out [elfsym.MaxBatch]*stack.Frame
		n := 0
		for rest := todo; rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros64(rest)
			p := &places[i]
			if p.Image != first.Image {
				continue
			}
			todo &^= 1 << i
			links[n], out[n] = p.Link(lookupAddress(&frames[i])), &frames[i]
			frames[i].Module = s.module(p.Module)
			n++
		}
		s.namesOf(first.Image, first.Module).batch(s, links[:n], out[:n])
	}
}

func (s *Symbolizer) imageBatch(im *image.Image, frames []stack.Frame) {
	var links [elfsym.MaxBatch]uint64
	var out [elfsym.MaxBatch]*stack.Frame
	for i := range frames {
		links[i], out[i] = lookupAddress(&frames[i]), &frames[i]
		frames[i].Module = nil
	}
	s.namesOf(im, nil).batch(s, links[:len(frames)], out[:len(frames)])
}

// batch names at most elfsym.MaxBatch frames, by their link-time addresses.
func (n *imageNames) batch(s *Symbolizer, links []uint64, out []*stack.Frame) {
	var refs [elfsym.MaxBatch]elfsym.Ref
	var offs [elfsym.MaxBatch]uint64
	src := &n.sources[0]
	src.im.FindAll(shifted(links, src.shift), refs[:], offs[:])
	shown := src.names.current()
	shown.warm(refs[:len(links)])
	for i, link := range links {
		f, ref := out[i], refs[i]
		back := f.PC - lookupAddress(f)
		f.ModuleOffset = link + back
		if ref != elfsym.NoRef {
			name, flags := src.names.get(shown, ref)
			if name != "" && (flags&sizeless == 0 || !n.refuted(link-offs[i], link)) {
				only := setOnly(f, name, offs[i]+back, src.sourceOf(ref), flags)
				if s.options.Versions {
					only.Version = src.im.Version(ref)
				}
				continue
			}
		}
		var a answer
		n.findIn(n.sources[1:], link, &a)
		s.set(f, link, &a)
	}
}

// one names a frame that lies at p.
func (s *Symbolizer) one(f *stack.Frame, p image.Place) {
	addr := lookupAddress(f)
	f.Module, f.ModuleOffset = s.module(p.Module), 0
	switch {
	case p.Mapping == nil:
		s.unmapped(f, addr)
	case p.Module == nil:
		s.jit(f, addr, stack.Anonymous)
	case p.Module.Gate != maps.NoGate:
		s.gate.name(s, f, addr, p)
	case p.Image == nil:
		f.ModuleOffset = f.PC - p.Mapping.Start + p.Mapping.Offset
		// JIT compilers map their code from memory files, too.
		s.jit(f, addr, stack.NoImage)
		if f.Miss == "" {
			f.Module, f.ModuleOffset = nil, 0
		}
	default:
		s.inImage(f, p.Image, p.Module, p.Link(addr))
	}
}

// inImage names a frame by a link-time address.
func (s *Symbolizer) inImage(f *stack.Frame, im *image.Image, mod *image.Module, link uint64) {
	f.Module, f.ModuleOffset = s.module(mod), link+f.PC-lookupAddress(f)
	n := s.namesOf(im, mod)
	var a answer
	n.findIn(n.sources, link, &a)
	s.set(f, link, &a)
}
