//go:build linux

package golang

import (
	"slices"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/process"
)

// users are functions of the runtime that use runtime.allgs, from its first Go on: the
// references in their code lead to it in a program without symbols.
var users = []string{"runtime.allgadd", "runtime.forEachG", "runtime.forEachGRace", "runtime.checkdead"}

const (
	maxUserCode = 16 << 10 // bytes of such a function
	maxGs       = 1 << 20
)

// locate finds runtime.allgs.
func (p *program) locate(m *process.Recorder) error {
	for _, full := range []bool{true, false} {
		if v, ok := p.im.Variable("runtime.allgs", full); ok && p.isAllgs(m, p.address(v)) {
			p.allgs = p.address(v)
			return nil
		}
	}
	if refs := p.arch.Go.References; refs != nil {
		tried := make(map[uint64]bool)
		for _, name := range users {
			for _, span := range p.im.GoEntries(name) {
				for _, v := range refs(p.code(span), span[0]) {
					addr := p.address(v)
					if !tried[addr] && p.isAllgs(m, addr) {
						p.allgs = addr
						return nil
					}
					tried[addr] = true
				}
			}
		}
	}
	version := "an unknown version"
	if p.version != "" {
		version = escape.Name(p.version)
	}
	return p.fail("runtime.allgs is not found, or not as in Go 1.%d (the program was made by %s)", p.lay.minor, version)
}

// code returns the bytes of a function.
func (p *program) code(span [2]uint64) []byte {
	b := make([]byte, min(span[1]-span[0], maxUserCode))
	return b[:p.im.ReadCode(span[0], b)]
}

// address turns a link-time address into one of the target.
func (p *program) address(link uint64) uint64 { return p.mask(link + p.bias) }

func (p *program) mask(addr uint64) uint64 {
	if p.lay.word == 4 {
		addr &= 1<<32 - 1
	}
	return addr
}

// lookAt is how many goroutines of a slice are looked at to believe it.
const lookAt = 16

// isAllgs reports whether a slice of goroutines is at addr. Goroutines stay in
// runtime.allgs when they end, and serve again under another ID: so does even the first
// one, the main goroutine, in a shared library, where it ends at once.
func (p *program) isAllgs(m *process.Recorder, addr uint64) bool {
	list, n, ok := p.slice(m, addr)
	if !ok || n == 0 {
		return false
	}
	lived := false
	var met []uint64
	for i := range min(n, lookAt) {
		at, ok := m.Word(p.mask(list+i*uint64(p.lay.word)), p.lay.word)
		if !ok || at == 0 || slices.Contains(met, at) {
			return false
		}
		met = append(met, at)
		b := make([]byte, p.lay.gSize())
		if m.Read(at, b) < len(b) {
			return false
		}
		g := view{b, p.lay}
		lo, _ := g.bounds()
		if !g.plausible(at) {
			return false
		}
		lived = lived || g.word(p.lay.gSchedG) == at && g.wide(p.lay.gID) != 0 && lo != 0
	}
	return lived
}

// slice reads the header of a slice, whose length is bounded.
func (p *program) slice(m *process.Recorder, addr uint64) (start, n uint64, ok bool) {
	w := uint64(p.lay.word)
	start, ok1 := m.Word(addr, p.lay.word)
	n, ok2 := m.Word(p.mask(addr+w), p.lay.word)
	room, ok3 := m.Word(p.mask(addr+2*w), p.lay.word)
	return start, n, ok1 && ok2 && ok3 && start%w == 0 && n <= room && n <= maxGs
}
