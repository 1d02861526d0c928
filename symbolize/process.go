package symbolize

import (
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/names/jitmap"
	"github.com/gatedso/bt/internal/names/kallsyms"
)

// Process is what names the addresses of a running process beside its files:
// the code that its JIT compilers made, and the kernel.
type Process struct {
	// JIT is what the process's JIT compilers tell; it may be nil.
	JIT *jitmap.Source
	// Kernel opens the kernel's symbols, when an address first asks for them.
	Kernel func() (*kallsyms.Table, error)
}

// jit names an address in memory that is from no file.
func (s *Symbolizer) jit(addr uint64) Name {
	n := Name{Miss: Anonymous}
	if s.options.Process == nil || s.options.Process.JIT == nil {
		return n
	}
	if name, start, from, ok := s.options.Process.JIT.Current(addr); ok {
		return Name{Symbol: escape.Name(name), Offset: addr - start, Source: from}
	}
	return n
}

// unmapped names an address that the process had not mapped when its maps were
// read: it is the kernel's, or of code compiled since then.
func (s *Symbolizer) unmapped(addr uint64) Name {
	if s.options.Process == nil {
		return Name{Miss: Unmapped}
	}
	if !kallsyms.IsKernel(addr) {
		n := s.jit(addr)
		if n.Symbol == "" {
			n.Miss = Unmapped
		}
		return n
	}
	t, err := s.options.Process.Kernel()
	if err != nil {
		return Name{Miss: KernelHidden}
	}
	sym, ok := t.Lookup(addr)
	if !ok {
		return Name{Miss: Unmapped}
	}
	from := "kallsyms"
	if sym.Module != "" {
		from += " (" + sym.Module + ")"
	}
	return Name{Symbol: s.options.Demangle.name(sym.Name), Offset: addr - sym.Start, Source: from}
}
