package symbolize

import (
	"cmp"
	"errors"
	"slices"
	"sort"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/maps"
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

func (g *gateNames) name(s *Symbolizer, addr uint64, p image.Place) Name {
	n := Name{Module: p.Module, ModOff: addr - p.Mapping.Start}
	if !g.ok {
		n.Miss = GateUnset
		return n
	}
	if p.Module.Gate == maps.Vsyscall {
		if name, start, ok := gate.Vsyscall(addr); ok {
			n.Symbol, n.Offset, n.Source = name, addr-start, "vsyscall ABI"
		} else {
			n.Miss = NoSymbol
		}
		return n
	}
	im := g.file
	if im == nil {
		im = p.Image
	}
	if im == nil {
		g.bySymbols(&n, addr)
		return n
	}
	p.Image, p.Bias = im, im.GateBias(p.Mapping.Start, p.Mapping.End)
	return s.inImage(im, p.Module, p.Link(addr))
}

// bySymbols names addr by the symbols that came with a report.
func (g *gateNames) bySymbols(n *Name, addr uint64) {
	n.Miss = GateUnset
	i := sort.Search(len(g.symbols), func(i int) bool { return g.symbols[i].Addr > addr }) - 1
	if i < 0 {
		return
	}
	if s := &g.symbols[i]; addr-s.Addr < max(s.Size, 1) {
		n.Symbol, n.Offset, n.Source, n.Miss = escape.Name(s.Name), addr-s.Addr, "the report", Named
	}
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
