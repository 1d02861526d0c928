package symbolize

import (
	"github.com/gatedso/bt/jitmap"
	"github.com/gatedso/bt/kallsyms"
)

// Process is what names the addresses of a running process beside its files:
// the code that its JIT compilers made, and the kernel. Both are opened when an
// address first asks for them.
type Process struct {
	// JIT opens what the process's JIT compilers tell; it may return nil.
	JIT func() *jitmap.Source
	// Kernel opens the kernel's symbols.
	Kernel func() (*kallsyms.Table, error)
}

// jit names an address in memory that is from no file.
func (s *Symbolizer) jit(addr uint64) Name {
	n := Name{Miss: Anonymous}
	if s.options.Process == nil {
		return n
	}
	if src := s.options.Process.JIT(); src != nil {
		if name, start, from, ok := src.Lookup(addr); ok {
			return Name{Symbol: clean(name), Offset: addr - start, Source: from}
		}
	}
	return n
}

// kernel names an address that no process has mapped.
func (s *Symbolizer) kernel(addr uint64) Name {
	if s.options.Process == nil || !kallsyms.IsKernel(addr) {
		return Name{Miss: Unmapped}
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
