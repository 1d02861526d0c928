package arm64

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// Limits on the work of ahead.
const (
	maxAhead  = 4000 // instructions that are followed
	maxStored = 32   // words of the stack that a path has written
)

// ahead implements arch.Arch.Ahead.
//
// It follows the code from pc to the returns that it leads to, and adds up what is
// taken off the stack on the way. A call may not return, and what lies behind it may
// be another function: so the returns count that are reached with the fewest calls,
// and they must agree.
func ahead(code []byte, pc int, called bool) (arch.Layout, bool) {
	pc &^= 3
	if pc < 0 || pc >= len(code) {
		return arch.Layout{}, false
	}
	w := wayOut{code: code, called: called, seen: map[int]place{}}
	first := way{pc: pc, afterCall: called}
	first.regs[regSP] = held{onStack, place{base: regSP}}
	if called {
		first.clobber()
	}
	w.now = append(w.now, first)
	for len(w.now) > 0 {
		for len(w.now) > 0 {
			p := w.now[len(w.now)-1]
			w.now = w.now[:len(w.now)-1]
			w.follow(&p)
		}
		if w.found || w.unclear {
			break
		}
		w.now, w.later = w.later, nil
	}
	return w.layout, w.found && !w.unclear
}

// wayOut is the work of ahead.
type wayOut struct {
	code   []byte
	called bool          // the first instruction is behind a call
	seen   map[int]place // the stack pointer where instructions were reached
	steps  int

	now   []way // the paths to follow
	later []way // the same behind one more call

	layout  arch.Layout // what the returns agree on
	found   bool
	unclear bool
}

// place is an address: off bytes above what the stack pointer, or x29, held at the
// start.
type place struct {
	base uint8 // regSP or regFP
	off  int64
}

// held says what a register holds.
type held struct {
	kind heldKind
	at   place
}

type heldKind uint8

const (
	untouched heldKind = iota // what it held at the start
	restored                  // what lay at a place at the start
	onStack                   // a place
	changed                   // something else
)

// way is one path, at the instruction at pc.
type way struct {
	pc        int
	afterCall bool // nothing but padding lies between a call and pc
	regs      [32]held
	stored    [maxStored]struct {
		at place
		v  held
	}
	nstored int
}

// clobber is what a call does to registers: AAPCS64, section 6.1.1.
func (p *way) clobber() {
	for r := range p.regs {
		if r <= 18 || r == regLR {
			p.regs[r] = held{kind: changed}
		}
	}
}

// follow follows p until it returns, forks or cannot be told.
func (w *wayOut) follow(p *way) {
	for p.pc >= 0 && p.pc+4 <= len(w.code) {
		sp := p.regs[regSP].at
		if at, ok := w.seen[p.pc]; ok {
			w.unclear = w.unclear || at != sp
			return
		}
		if w.steps++; w.steps > maxAhead {
			w.unclear = true
			return
		}
		w.seen[p.pc] = sp
		var in inst
		decode(w.code[p.pc:], &in)
		if p.afterCall && (in.isPadding(w.code[p.pc:]) || entersFunction(w.code[p.pc:])) {
			return // the call was the last of its function
		}
		next := p.pc + 4
		switch in.flow {
		case follow.Return:
			w.returns(p, in.rn)
			return
		case follow.Indirect, follow.Stop:
			return
		case follow.Jump:
			next = p.pc + int(in.displacement)
		case follow.Branch:
			to := *p
			to.pc, to.afterCall = p.pc+int(in.displacement), false
			w.now = append(w.now, to)
		case follow.Call:
			p.clobber()
			p.pc, p.afterCall = next, true
			w.later = append(w.later, *p)
			return
		default:
			if p.step(&in); p.regs[regSP].kind != onStack {
				return
			}
		}
		p.pc, p.afterCall = next, false
	}
}

// entersFunction reports whether code begins with an instruction that only a function
// begins with: one that signs the return address.
func entersFunction(code []byte) bool {
	const paciasp, pacibsp = 0xd503233f, 0xd503237f
	w := word(code)
	return w == paciasp || w == pacibsp
}

// step does what in does to registers and the stack.
func (p *way) step(in *inst) {
	switch in.op {
	case opAdd:
		p.set(in.rd, p.get(in.rn).plus(in.imm))
		return
	case opMove:
		p.set(in.rd, p.get(in.rn))
		return
	case opStore, opLoad:
		p.access(in)
		return
	}
	registers(in.writes, func(r uint8) { p.set(r, held{kind: changed}) })
}

// access does what the load or store in does.
func (p *way) access(in *inst) {
	base := p.get(in.rn)
	at := base
	if in.index == byOffset || in.index == byPre {
		at = base.plus(in.imm)
	}
	if in.index == byUnknown {
		at = held{kind: changed}
	}
	size := int64(in.size)
	if in.op == opStore {
		p.store(at, in.rd, in)
		if in.two {
			p.store(at.plus(size), in.rt2, in)
		}
	}
	var first, second held
	if in.op == opLoad {
		first, second = p.load(at, in), p.load(at.plus(size), in)
	}
	if in.writesBack() {
		p.set(in.rn, base.plus(in.imm))
	}
	if in.op == opLoad && !in.vector {
		p.set(in.rd, first)
		if in.two {
			p.set(in.rt2, second)
		}
	}
}

// get returns what register r holds; an address if it may lead to the stack.
func (p *way) get(r uint8) held {
	if r == noReg {
		return held{kind: changed}
	}
	if v := p.regs[r]; r != regFP || v.kind != untouched {
		return p.value(r)
	}
	return held{onStack, place{base: regFP}}
}

// value is what register r holds. What a register held at the start has its number
// elsewhere: in the base of a place that is no other, at the offset 1.
func (p *way) value(r uint8) held {
	v := p.regs[r]
	if v == (held{}) {
		v.at = place{base: r, off: 1}
	}
	return v
}

// set gives register r a value. What lies below the stack pointer is gone.
func (p *way) set(r uint8, v held) {
	if r == noReg {
		return
	}
	if r == regFP && v == (held{onStack, place{base: regFP}}) || v == (held{untouched, place{base: r, off: 1}}) {
		v = held{}
	}
	p.regs[r] = v
	if r != regSP || v.kind != onStack {
		return
	}
	n := 0
	for _, s := range p.stored[:p.nstored] {
		if s.at.base != v.at.base || s.at.off >= v.at.off {
			p.stored[n] = s
			n++
		}
	}
	p.nstored = n
}

// plus returns the address off bytes above v.
func (v held) plus(off int64) held {
	if v.kind != onStack || off > 1<<30 || off < -1<<30 || v.at.off > 1<<30 || v.at.off < -1<<30 {
		return held{kind: changed}
	}
	v.at.off += off
	return v
}

// store notes that register r was stored at the place that v is.
func (p *way) store(v held, r uint8, in *inst) {
	if v.kind != onStack {
		return
	}
	value := held{kind: changed}
	if in.size == 8 && !in.vector && r != noReg {
		value = p.value(r)
	}
	for i := range p.stored[:p.nstored] {
		if p.stored[i].at == v.at {
			p.stored[i].v = value
			return
		}
	}
	if p.nstored < maxStored {
		p.stored[p.nstored].at, p.stored[p.nstored].v = v.at, value
		p.nstored++
	}
}

// load returns what lies at the place that v is.
func (p *way) load(v held, in *inst) held {
	if v.kind != onStack || in.size != 8 {
		return held{kind: changed}
	}
	for _, s := range p.stored[:p.nstored] {
		if s.at == v.at {
			return s.v
		}
	}
	return held{restored, v.at}
}

// returns takes p for the way that the function returns by, through register r.
func (w *wayOut) returns(p *way, r uint8) {
	sp := p.regs[regSP].at
	if sp.base == regSP && (sp.off < 0 || sp.off%16 != 0) || int(r) >= len(p.regs) {
		return // no function leaves the stack so
	}
	l := arch.Layout{Base: arch.Reg(sp.base), Offset: sp.off}
	switch back := p.regs[r]; {
	case back.kind == untouched && p.value(r).at.base != regFP:
		l.Return = arch.Return{InReg: true, Reg: arch.Reg(p.value(r).at.base)}
	case back.kind == restored && back.at.base == sp.base:
		l.Return = arch.Return{Offset: back.at.off - sp.off}
		l.Saved = append(l.Saved, arch.SavedReg{Reg: LR, Offset: arch.NoOffset})
	default:
		return
	}
	for r := 19; r <= regFP; r++ {
		switch v := p.regs[r]; {
		case v == (held{}):
		case v.kind == restored && v.at.base == sp.base && v.at.off < sp.off:
			l.Saved = append(l.Saved, arch.SavedReg{Reg: arch.Reg(r), Offset: v.at.off - sp.off})
		default:
			return // no function that keeps to the procedure call standard ends so
		}
	}
	if w.found && (l.Base != w.layout.Base || l.Offset != w.layout.Offset || l.Return != w.layout.Return) {
		w.unclear = true
	}
	w.layout, w.found = l, true
}
