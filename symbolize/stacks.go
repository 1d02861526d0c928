//go:build unix

package symbolize

import (
	"iter"
	"slices"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// maxPass is the number of addresses in one image above which its symbol index is
// worth building; fewer are found in one pass over the symbol table.
const maxPass = 256

// Stacks names all frames of a process. Names that language runtimes have given to
// frames stay before those that it finds. It reads each symbol table in a single
// pass, where that is cheaper than an index. Frames with the same address share
// their names.
func (s *Symbolizer) Stacks(p *stack.Process) {
	type address struct {
		pc    uint64
		exact bool
	}
	index := make(map[address]int)
	var frames []stack.Frame
	for list := range stacksOf(p) {
		for i := range list {
			f := &list[i]
			a := address{f.PC, f.Exact}
			if _, known := index[a]; !known {
				index[a] = len(frames)
				frames = append(frames, stack.Frame{PC: f.PC, Exact: f.Exact})
			}
		}
	}
	if guard.Read(func() error { s.together(frames); return nil }) != nil {
		s.frames(frames)
	}
	if s.options.Lines {
		s.Lines(frames).add(frames, 0)
	}
	for list := range stacksOf(p) {
		for j := range list {
			f := &list[j]
			take(f, &frames[index[address{f.PC, f.Exact}]])
			s.excerpts(f)
		}
	}
}

// StackLines finds the source lines of all frames of a process, whatever
// Options.Lines says. It changes nothing yet, so that it can be given up; add adds
// them to the frames, which Stacks has named.
func (s *Symbolizer) StackLines(p *stack.Process) (add func()) {
	var frames []stack.Frame
	for list := range stacksOf(p) {
		for i := range list {
			frames = append(frames, stack.Frame{PC: list[i].PC, Exact: list[i].Exact})
		}
	}
	lines := s.Lines(frames)
	return func() {
		k := 0
		for list := range stacksOf(p) {
			for i := range list {
				lines.addNative(&list[i], k)
				k++
			}
		}
	}
}

// addNative adds what is known of the k-th address to f, whose names other frames can
// share, behind those of language runtimes.
func (l *Lines) addNative(f *stack.Frame, k int) {
	n := 0
	for n < len(f.Names) && f.Names[n].Language != "" {
		n++
	}
	native := []stack.Frame{{Names: slices.Clone(f.Names[n:])}}
	l.add(native, k)
	f.Names = slices.Concat(f.Names[:n], native[0].Names)
}

// excerpts adds the source around the places of a language runtime's frames.
func (s *Symbolizer) excerpts(f *stack.Frame) {
	if s.options.Excerpt == nil {
		return
	}
	for i := range f.Names {
		if n := &f.Names[i]; n.Language != "" && n.Line > 0 {
			n.Excerpt = s.options.Excerpt(n.File, n.Line)
		}
	}
}

// stacksOf yields all stacks of a process, those that tasks share once.
func stacksOf(p *stack.Process) iter.Seq[[]stack.Frame] {
	return func(yield func([]stack.Frame) bool) {
		for i := range p.Threads {
			if !yield(p.Threads[i].Frames) {
				return
			}
		}
		seen := make(map[*stack.Frame]struct{})
		for _, tasks := range [][]stack.Task{p.Goroutines, p.Tasks} {
			for i := range tasks {
				frames := tasks[i].Frames
				if len(frames) == 0 || frames[0].Managed {
					continue
				}
				if _, known := seen[&frames[0]]; known {
					continue
				}
				seen[&frames[0]] = struct{}{}
				if !yield(frames) {
					return
				}
			}
		}
	}
}

// take gives f the names of named, which has the same address. What a language runtime
// has called f before stays: its own frames before the native ones, and a native name
// where there is no other.
func take(f, named *stack.Frame) {
	known := f.Names
	f.Module, f.ModuleOffset, f.Names, f.Miss = named.Module, named.ModuleOffset, named.Names, named.Miss
	if len(known) == 0 {
		return
	}
	if n := named.Function(); n != nil && n.Symbol != "" && known[len(known)-1].Language == "" {
		known = known[:len(known)-1]
	}
	f.Names = slices.Concat(known, named.Names)
	if n := f.Function(); n != nil && n.Symbol != "" {
		f.Miss = ""
	}
}

// inOne are frames of one image.
type inOne struct {
	mod    *image.Module // one of those that have the image
	frames []*stack.Frame
	links  []uint64
}

// together is Frames for any number of frames and a caller that guards it.
func (s *Symbolizer) together(frames []stack.Frame) {
	all := make(map[*image.Image]*inOne)
	for i := range frames {
		f := &frames[i]
		addr := lookupAddress(f)
		p := s.space.Locate(addr)
		if p.Image == nil || p.Module.Gate != maps.NoGate {
			s.one(f, p)
			continue
		}
		g := all[p.Image]
		if g == nil {
			g = &inOne{mod: p.Module}
			all[p.Image] = g
		}
		f.Module = s.module(p.Module)
		g.frames, g.links = append(g.frames, f), append(g.links, p.Link(addr))
	}
	for im, g := range all {
		n := s.namesOf(im, g.mod)
		if len(g.links) <= maxPass {
			n.pass(s, g.links, g.frames)
			continue
		}
		for k := 0; k < len(g.links); k += elfsym.MaxBatch {
			end := min(k+elfsym.MaxBatch, len(g.links))
			n.batch(s, g.links[k:end], g.frames[k:end])
		}
	}
}

// pass is batch for any number of frames, by one pass over each symbol table.
func (n *imageNames) pass(s *Symbolizer, links []uint64, out []*stack.Frame) {
	sorted := slices.Clone(links)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	answers := n.findAll(sorted)
	for i, f := range out {
		f.ModuleOffset = links[i] + f.PC - lookupAddress(f)
		k, _ := slices.BinarySearch(sorted, links[i])
		s.set(f, links[i], &answers[k])
	}
}
