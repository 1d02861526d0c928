//go:build unix

package symbolize

import (
	"cmp"
	"errors"
	"slices"
	"sort"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

// GateSymbol is a symbol of the gate DSO at its run-time address.
type GateSymbol struct {
	Addr, Size uint64
	Name       string
}

// gateNames names addresses in the gate DSO by the setting.
type gateNames struct {
	setting gate.Setting
	file    *image.Image // named by the setting, nil for live and unset
	symbols []GateSymbol // sorted
	ok      bool
}

func newGateNames(space *image.Space, o *Options) (*gateNames, error) {
	setting := o.Gate
	g := &gateNames{setting: setting, ok: !setting.Unset()}
	g.symbols = slices.Clone(o.GateSymbols)
	slices.SortFunc(g.symbols, func(a, b GateSymbol) int { return cmp.Compare(a.Addr, b.Addr) })
	if setting.Unset() || setting.IsLive() {
		return g, nil
	}
	for _, m := range space.Modules() {
		if m.Gate != maps.VDSO && m.Gate != maps.Line {
			continue
		}
		im, err := setting.Open(MappedGate(m))
		if errors.Is(err, gate.ErrNotRegistered) {
			return g, err
		}
		if err != nil {
			g.ok = false
			return g, err
		}
		if im == nil {
			continue
		}
		g.file = image.NewImage(im)
		if m.Gate == maps.Line {
			// Its memory may not be readable: the file stands for it.
			m.SetImage(g.file, "gate DSO")
		}
	}
	return g, nil
}

// MappedGate is what is known of the image that is mapped as m.
func MappedGate(m *image.Module) gate.Mapped {
	g := gate.Mapped{BuildID: m.MappedBuildID()}
	if m.Gate == maps.VDSO {
		if im, err := m.Image(); err == nil {
			g.Machine = im.Machine
		}
	}
	return g
}

// name names a frame of the gate; addr is its lookup address, which lies at p.
func (g *gateNames) name(s *Symbolizer, f *stack.Frame, addr uint64, p image.Place) {
	f.ModuleOffset = f.PC - p.Mapping.Start
	if !g.ok {
		miss(f, stack.GateUnset)
		return
	}
	if p.Module.Gate == maps.Vsyscall {
		a := answer{source: "vsyscall ABI"}
		a.name, a.start, _ = gate.Vsyscall(addr)
		s.set(f, addr, &a)
		return
	}
	im := g.file
	if im == nil {
		im = p.Image
	}
	if im == nil {
		g.bySymbols(s, f, addr)
		return
	}
	p.Image, p.Bias = im, im.GateBias(p.Mapping.Start, p.Mapping.End)
	s.inImage(f, im, p.Module, p.Link(addr))
}

// bySymbols names a frame by the symbols that came with a report.
func (g *gateNames) bySymbols(s *Symbolizer, f *stack.Frame, addr uint64) {
	i := sort.Search(len(g.symbols), func(i int) bool { return g.symbols[i].Addr > addr }) - 1
	if i < 0 || addr-g.symbols[i].Addr >= max(g.symbols[i].Size, 1) {
		miss(f, stack.GateUnset)
		return
	}
	s.set(f, addr, &answer{name: g.symbols[i].Name, start: g.symbols[i].Addr, source: "the report"})
}

// GateSymbols lists the symbols of the process's own gate image, for a report.
func (s *Symbolizer) GateSymbols() []GateSymbol {
	var list []GateSymbol
	for _, m := range s.space.Modules() {
		if m.Gate != maps.VDSO {
			continue
		}
		im, err := m.Image()
		if err != nil {
			continue
		}
		start, end := m.Range()
		bias := im.GateBias(start, end)
		im.Named(func(sym elfsym.Symbol) bool {
			addr := sym.Value + bias
			if im.PtrSize() == 4 {
				addr &= 1<<32 - 1
			}
			list = append(list, GateSymbol{Addr: addr, Size: sym.Size, Name: sym.Name})
			return true
		})
	}
	return list
}
