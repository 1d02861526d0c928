//go:build unix

package symbolize

import (
	"github.com/gatedso/bt/internal/names/jitmap"
	"github.com/gatedso/bt/internal/names/kallsyms"
	"github.com/gatedso/bt/stack"
)

// Process is what names the addresses of a running process beside its files:
// the code that its JIT compilers made, and the kernel.
type Process struct {
	// JIT is what the process's JIT compilers tell; it may be nil.
	JIT *jitmap.Source
	// Kernel opens the kernel's symbols, when an address first asks for them.
	Kernel func() (*kallsyms.Table, error)
}

// jit names a frame in memory that is from no file; why is what it lacks otherwise.
func (s *Symbolizer) jit(f *stack.Frame, addr uint64, why stack.Miss) {
	if p := s.options.Process; p != nil && p.JIT != nil {
		if name, start, from, ok := p.JIT.Current(addr); ok {
			s.set(f, addr, &answer{name: cut(name), start: start, source: from})
			if f.Miss == "" {
				return
			}
		}
	}
	if name, start, ok := s.space.JITName(addr); ok {
		s.set(f, addr, &answer{name: s.options.demangler.name(name), start: start, source: "the GDB JIT interface"})
		if f.Miss == "" {
			return
		}
	}
	miss(f, why)
}

// unmapped names an address that the process had not mapped when its maps were
// read: it is the kernel's, or of code compiled since then.
func (s *Symbolizer) unmapped(f *stack.Frame, addr uint64) {
	p := s.options.Process
	if p == nil {
		miss(f, stack.Unmapped)
		return
	}
	if !kallsyms.IsKernel(addr) {
		s.jit(f, addr, stack.Unmapped)
		return
	}
	t, err := p.Kernel()
	if err != nil {
		miss(f, stack.KernelHidden)
		return
	}
	sym, ok := t.Lookup(addr)
	if !ok {
		miss(f, stack.Unmapped)
		return
	}
	from := "kallsyms"
	if sym.Module != "" {
		from += " (" + sym.Module + ")"
	}
	s.set(f, addr, &answer{name: s.options.demangler.name(sym.Name), start: sym.Start, source: from})
}
