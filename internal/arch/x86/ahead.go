package x86

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
)

// Limits on the work of Ahead.
const (
	maxAhead  = 4000 // instructions that are followed
	maxPushes = 16   // values that a path has pushed and not popped
)

// Ahead implements arch.Arch.Ahead.
//
// It follows the code from pc to the returns that it leads to, and adds up what
// is taken off the stack on the way. A call may not return, and what lies
// behind it may be another function: so the returns count that are reached with
// the fewest calls, and they must agree.
func (m *Mode) Ahead(code []byte, pc int, called bool) (arch.Layout, bool) {
	if pc < 0 || pc >= len(code) {
		return arch.Layout{}, false
	}
	w := wayOut{m: m, code: code, start: pc, called: called, seen: map[int]place{}}
	w.now = append(w.now, way{pc: pc, place: place{base: sp}, afterCall: called})
	for len(w.now) > 0 {
		for len(w.now) > 0 {
			p := w.now[len(w.now)-1]
			w.now = w.now[:len(w.now)-1]
			w.follow(&p)
		}
		if w.found || w.unclear {
			break
		}
		if w.private.found && !w.private.unclear {
			return w.private.layout, true
		}
		w.private.unclear = true // behind a call may be another function
		w.now, w.later = w.later, nil
	}
	if !w.found && !w.unclear {
		return m.back(code, pc, called) // it never returns
	}
	return w.layout, w.found && !w.unclear
}

// wayOut is the work of Ahead.
type wayOut struct {
	m      *Mode
	code   []byte
	start  int
	called bool          // a call precedes start
	seen   map[int]place // where instructions were reached
	steps  int

	now   []way // the paths to follow
	later []way // the same behind one more call

	exit         // by which the caller finds its registers
	private exit // by which it does not: JIT compilers' calls may preserve none
}

// exit is what the returns agree on.
type exit struct {
	layout  arch.Layout
	found   bool
	unclear bool
}

// take adds a return with frame l.
func (e *exit) take(l arch.Layout) {
	if e.found && (l.Base != e.layout.Base || l.Offset != e.layout.Offset) {
		e.unclear = true
	}
	e.layout, e.found = l, true
}

// place is an address on the stack: what the register base, sp or bp, held at
// the start, and off.
type place struct {
	base uint8 // noReg: the stack pointer got a value from elsewhere
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
	restored                  // what lay at a place on the stack at the start
	changed                   // something else
)

// way is one path, at the instruction at pc, with the stack pointer at place.
type way struct {
	pc int
	place
	afterCall bool // nothing but padding lies between a call and pc
	regs      [16]held
	pushed    [maxPushes]struct {
		at place
		v  held
	}
	npushed int
}

// follow follows p until it returns, forks or cannot be told.
func (w *wayOut) follow(p *way) {
	for {
		if p.pc < 0 || p.pc >= len(w.code) {
			return
		}
		if at, ok := w.seen[p.pc]; ok {
			w.unclear = w.unclear || at != p.place
			return
		}
		if w.steps++; w.steps > maxAhead {
			w.unclear = true
			return
		}
		w.seen[p.pc] = p.place
		var in inst
		if !w.m.decode(w.code[p.pc:], &in) {
			return
		}
		if _, entry := cutAny(w.code[p.pc:], endbr); entry && (p.pc != w.start || w.called) || p.afterCall && in.isPadding() {
			return // the call was the last of its function
		}
		next := p.pc + in.size
		switch in.flow() {
		case follow.Return:
			w.returns(p)
			return
		case follow.Indirect:
			if in.hasModRM && in.mod == 3 && w.isReturn(p, in.rm) {
				p.place = place{bp, int64(w.m.PtrSize)}
				w.returns(p)
			}
			return
		case follow.Stop:
			return
		case follow.Jump:
			next += int(in.imm)
			p.afterCall = false
		case follow.Branch:
			to := *p
			to.pc, to.afterCall = next+int(in.imm), false
			w.now = append(w.now, to)
			p.afterCall = false
		case follow.Call:
			if in.op == 0xe8 && in.imm == 0 {
				// It reads the pc: the next instruction pops that.
				if !w.push(p, held{kind: changed}) {
					return
				}
				break
			}
			p.pc, p.afterCall = next, true
			w.later = append(w.later, *p)
			return
		default:
			p.afterCall = false
			if !w.step(p, &in) {
				return
			}
		}
		p.pc = next
	}
}

// returns takes p for the way that the function returns by.
func (w *wayOut) returns(p *way) {
	size := int64(w.m.PtrSize)
	if p.base == sp && p.off < 0 || p.base == noReg || p.npushed > 0 {
		return
	}
	l := arch.Layout{Base: w.m.DWARF[p.base], Offset: p.off + size, Return: w.m.onStack()}
	if w.called && size == 8 && p.base == sp && l.Offset%16 != 0 {
		// The CFA and the stack pointer at a call are multiples of 16
		// (System V ABI, AMD64 supplement, section 3.2.2): this is the
		// return of another function.
		return
	}
	out := &w.exit
	for r, h := range p.regs {
		if w.m.CalleeSaved>>r&1 == 0 {
			continue
		}
		switch {
		case h.kind == changed && r == bp:
			return // no function ends so
		case h.kind == changed:
			out = &w.private
			l.Saved = append(l.Saved, arch.SavedReg{Reg: w.m.DWARF[r], Offset: arch.NoOffset})
		case h.kind == restored && h.at.base == p.base:
			l.Saved = append(l.Saved, arch.SavedReg{Reg: w.m.DWARF[r], Offset: h.at.off - l.Offset})
		case h.kind == restored:
			l.Saved = append(l.Saved, arch.SavedReg{Reg: w.m.DWARF[r], Offset: arch.NoOffset})
		}
	}
	out.take(l)
}

// isReturn reports whether register r holds the return address: the word above the
// caller's frame pointer, which is back in its register. HotSpot's interpreter
// returns by a jump to it, and by then gives the stack pointer the value that the
// caller had left in the frame.
func (w *wayOut) isReturn(p *way, r uint8) bool {
	return p.regs[bp] == held{restored, place{bp, 0}} && p.regs[r] == held{restored, place{bp, int64(w.m.PtrSize)}}
}

// hasReturn reports whether a register holds the return address.
func (w *wayOut) hasReturn(p *way) bool {
	for r := range uint8(len(p.regs)) {
		if w.isReturn(p, r) {
			return true
		}
	}
	return false
}

// push notes that v was pushed.
func (w *wayOut) push(p *way, v held) bool {
	if p.npushed == maxPushes {
		return false
	}
	p.off -= int64(w.m.PtrSize)
	p.pushed[p.npushed].at, p.pushed[p.npushed].v = p.place, v
	p.npushed++
	return true
}

// pop takes a word off the stack.
func (w *wayOut) pop(p *way) held {
	v := held{restored, p.place}
	if n := p.npushed; n > 0 && p.pushed[n-1].at == p.place {
		v = p.pushed[n-1].v
	}
	p.raise(p.off + int64(w.m.PtrSize))
	return v
}

// raise moves the stack pointer, and drops what was pushed below.
func (p *way) raise(off int64) {
	p.off = off
	for p.npushed > 0 && p.pushed[p.npushed-1].at.off < off {
		p.npushed--
	}
}

// toFrame moves the stack pointer to bp+off.
func (p *way) toFrame(off int64) bool {
	if p.regs[bp].kind != untouched {
		return false
	}
	p.place = place{bp, off}
	p.npushed = 0
	return true
}

// toRegister moves the stack pointer to what register r holds.
func (w *wayOut) toRegister(p *way, r uint8) bool {
	if r == bp {
		return p.toFrame(0)
	}
	if !w.hasReturn(p) {
		return false
	}
	p.place = place{base: noReg}
	p.npushed = 0
	return true
}

// step does what in does to the stack and to registers. It reports false where
// the stack pointer is not known any more.
func (w *wayOut) step(p *way, in *inst) bool {
	m := w.m
	if in.m == mapOne && !in.vex {
		if in.opsize && stackOp(in) {
			return false
		}
		op, full := in.op, m.full(in)
		switch {
		case op >= 0x50 && op < 0x58:
			return w.push(p, p.regs[in.rm])
		case op == 0x68, op == 0x6a, op == 0x9c, op == 0xff && in.reg&7 == 6:
			return w.push(p, held{kind: changed})
		case op >= 0x58 && op < 0x60:
			v := w.pop(p)
			p.regs[in.rm] = v
			return in.rm != sp
		case op == 0x9d, op == 0x8f && in.memory():
			w.pop(p)
			return true
		case op == 0xc8: // enter
			return false
		case op == 0xc9: // leave
			if !p.toFrame(0) {
				return false
			}
			p.regs[bp] = w.pop(p)
			return true
		case (op == 0x81 || op == 0x83) && in.mod == 3 && in.rm == sp:
			switch in.reg & 7 {
			case 0:
				p.raise(p.off + in.imm)
				return full
			case 5:
				p.off -= in.imm
				return full
			}
			return in.reg&7 == 7 // cmp
		case op == 0x8d && in.reg == sp:
			switch {
			case !full || in.index != noReg || in.segment:
				return false
			case in.base == sp:
				p.raise(p.off + in.disp)
				return true
			}
			return in.base == bp && p.toFrame(in.disp)
		case op == 0x89 && in.mod == 3 && in.rm == sp:
			return full && w.toRegister(p, in.reg)
		case op == 0x8b && in.mod == 3 && in.reg == sp:
			return full && w.toRegister(p, in.rm)
		case op == 0x8b && in.memory() && full && in.index == noReg && !in.segment && in.reg != sp:
			switch {
			case in.base == sp:
				p.regs[in.reg] = held{restored, place{p.base, p.off + in.disp}}
				return true
			case in.base == bp && p.regs[bp].kind == untouched:
				p.regs[in.reg] = held{restored, place{bp, in.disp}}
				return true
			}
		}
	}
	written := m.writes(in)
	for r := range p.regs {
		if written>>r&1 != 0 {
			p.regs[r] = held{kind: changed}
		}
	}
	return written>>sp&1 == 0
}

// stackOp reports whether in pushes or pops.
func stackOp(in *inst) bool {
	op := in.op
	return op >= 0x50 && op < 0x60 || op == 0x68 || op == 0x6a || op == 0x8f || op == 0x9c || op == 0x9d ||
		op == 0xc8 || op == 0xc9 || op == 0xff && in.reg&7 == 6
}
