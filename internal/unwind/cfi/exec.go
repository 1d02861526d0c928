package cfi

import (
	"math/bits"
	"sync"

	"github.com/gatedso/bt/internal/arch"
)

// Call frame instructions, DWARF 5 section 6.4.2 and table 7.29. The first
// three keep an operand in their low six bits.
const (
	opAdvanceLoc = 0x40
	opOffset     = 0x80
	opRestore    = 0xc0

	opNop              = 0x00
	opSetLoc           = 0x01
	opAdvanceLoc1      = 0x02
	opAdvanceLoc2      = 0x03
	opAdvanceLoc4      = 0x04
	opOffsetExtended   = 0x05
	opRestoreExtended  = 0x06
	opUndefined        = 0x07
	opSameValue        = 0x08
	opRegister         = 0x09
	opRememberState    = 0x0a
	opRestoreState     = 0x0b
	opDefCFA           = 0x0c
	opDefCFARegister   = 0x0d
	opDefCFAOffset     = 0x0e
	opDefCFAExpression = 0x0f
	opExpression       = 0x10
	opOffsetExtendedSF = 0x11
	opDefCFASF         = 0x12
	opDefCFAOffsetSF   = 0x13
	opValOffset        = 0x14
	opValOffsetSF      = 0x15
	opValExpression    = 0x16

	opAdvanceLoc8 = 0x1d
	// A64 ABI: the pc at which the address was signed enters the signature.
	opNegateRAStateWithPC = 0x2c
	// The same number is DW_CFA_GNU_window_save on SPARC, which bt does
	// not unwind; no other compiler emits it.
	opNegateRAState             = 0x2d
	opGNUArgsSize               = 0x2e
	opGNUNegativeOffsetExtended = 0x2f
)

const (
	maxRemembered = 64      // nested remember_state; compilers nest one or two
	maxOps        = 1 << 20 // instructions executed for one row
)

// state is what remember_state saves.
type state struct {
	regs [arch.MaxRegs]Rule

	// The CFA rule. def_cfa_offset changes the offset alone and
	// def_cfa_register the register alone, even while an expression is in
	// force: so gcc's unwinder takes it, and so do assemblers' users.
	cfaKind RuleKind // Unspecified, Register or ValExpression
	cfaReg  uint64
	cfaOff  int64
	cfaExpr int

	signed bool
	exprs  bool // a register's rule may be an expression
}

// vm executes call frame instructions. Expressions are kept as the offset of
// their length in the section until the row is complete.
type vm struct {
	fde        fde
	cur        state
	initial    *state // what the CIE established, nil while it does
	remembered []state
	argsSize   uint64
	ops        int
}

// vms saves allocating, and clearing, what a row is made in.
var vms = sync.Pool{New: func() any { return new(vm) }}

// row computes the row for pc, which must lie in the FDE m.fde of s.
func (m *vm) row(s *section, pc uint64, row *Row) error {
	f := &m.fde
	c := f.cie
	if c.ra >= arch.MaxRegs {
		return s.errorf(c.off, "return-address column is out of range")
	}
	m.remembered = m.remembered[:0]
	m.argsSize = 0
	m.ops = 0
	if !c.ready {
		// There is no location to advance in a CIE: all of it holds.
		var start, end uint64
		m.cur = state{}
		m.initial = nil
		if err := m.run(s, f, c.insns, c.end, ^uint64(0), &start, &end); err != nil {
			return err
		}
		m.remembered = m.remembered[:0]
		c.initial, c.ready = m.cur, true
		if slot := s.cieSlot(uint64(c.off)); slot.Load() == nil {
			kept := new(cieState)
			*kept = *c
			slot.Store(kept)
		}
	} else {
		m.cur = c.initial
	}
	m.initial = &c.initial

	row.Start, row.End = f.start, f.end
	if err := m.run(s, f, f.insns, f.insnsEnd, pc, &row.Start, &row.End); err != nil {
		return err
	}
	row.Func, row.FuncEnd = f.start, f.end
	row.RA = uint8(c.ra)
	row.Signal = c.signal
	row.RASigned = m.cur.signed
	row.ArgsSize = m.argsSize
	row.Regs = m.cur.regs
	row.Exprs = row.Exprs[:0]
	if m.cur.exprs {
		for i := range row.Regs {
			if r := &row.Regs[i]; r.Kind >= Expression {
				r.N = s.addExpr(row, int(r.N))
			}
		}
	}
	switch m.cur.cfaKind {
	case ValExpression:
		row.CFA = Rule{Kind: ValExpression, N: s.addExpr(row, m.cur.cfaExpr)}
	case Register:
		if m.cur.cfaReg >= arch.MaxRegs {
			return s.errorf(f.off, "CFA register is out of range")
		}
		row.CFA = Rule{Kind: Register, Reg: uint8(m.cur.cfaReg), N: m.cur.cfaOff}
	default:
		row.CFA = Rule{}
	}
	return nil
}

// addExpr gives row the expression whose length lies at off.
func (s *section) addExpr(row *Row, off int) int64 {
	r := s.reader(off, len(s.data))
	row.Exprs = append(row.Exprs, r.block())
	return int64(len(row.Exprs) - 1)
}

// set gives register reg a rule; registers that no caller depends on are dropped.
func (m *vm) set(reg uint64, rule Rule) {
	if reg < arch.MaxRegs {
		m.cur.regs[reg] = rule
	}
}

// restore gives register reg the rule that the CIE gave it; in the CIE itself
// there is none yet.
func (m *vm) restore(reg uint64) {
	if m.initial == nil {
		m.set(reg, Rule{})
	} else if reg < arch.MaxRegs {
		m.cur.regs[reg] = m.initial.regs[reg]
		m.cur.exprs = m.cur.exprs || m.initial.exprs
	}
}

// run executes the instructions at [from, to) until one would go beyond pc.
// *start becomes the address of the row that holds for pc; *end is lowered to
// the address of the next one.
func (m *vm) run(s *section, f *fde, from, to int, pc uint64, start, end *uint64) error {
	c := &f.cie.cie
	r := s.reader(from, to)
	for r.off < to {
		at := r.off
		if m.ops++; m.ops > maxOps {
			return s.errorf(f.off, "too many call frame instructions")
		}
		op := r.u8()
		var delta uint64
		advance := false
		switch low := uint64(op & 0x3f); op & 0xc0 {
		case opAdvanceLoc:
			delta, advance = low, true
		case opOffset:
			m.set(low, Rule{Kind: Offset, N: int64(r.uleb()) * c.dataAlign})
		case opRestore:
			m.restore(low)
		default:
			switch op {
			case opNop:
			case opSetLoc:
				b := s.bases
				b.function = f.start
				next := r.pointer(c.enc, c.ptrSize, &b)
				if r.failed {
					break
				}
				if next > pc {
					*end = min(*end, next)
					return nil
				}
				*start = next
			case opDefCFAOffset: // half of all there is
				m.cur.cfaOff = int64(r.uleb())
			case opAdvanceLoc1:
				delta, advance = r.uint(1), true
			case opAdvanceLoc2:
				delta, advance = r.uint(2), true
			case opAdvanceLoc4:
				delta, advance = r.uint(4), true
			case opAdvanceLoc8:
				delta, advance = r.uint(8), true
			default:
				if msg := m.exec(op, &r, c); msg != "" {
					return s.errorf(at, msg)
				}
			}
		}
		if r.failed {
			return s.errorf(at, "call frame instruction is cut short")
		}
		if advance {
			// An advance beyond the end of the address space, or of
			// the FDE, ends the row with the FDE.
			hi, lo := bits.Mul64(delta, c.codeAlign)
			next, carry := bits.Add64(*start, lo, 0)
			if hi != 0 || carry != 0 || next > pc {
				if hi == 0 && carry == 0 {
					*end = min(*end, next)
				}
				return nil
			}
			*start = next
		}
	}
	return nil
}

// exec executes an instruction that changes the row. It returns what is wrong
// with it, or "".
func (m *vm) exec(op byte, r *reader, c *cie) string {
	switch op {
	case opDefCFA:
		m.cur.cfaKind, m.cur.cfaReg = Register, r.uleb()
		m.cur.cfaOff = int64(r.uleb())
	case opDefCFASF:
		m.cur.cfaKind, m.cur.cfaReg = Register, r.uleb()
		m.cur.cfaOff = r.sleb() * c.dataAlign
	case opDefCFARegister:
		m.cur.cfaKind, m.cur.cfaReg = Register, r.uleb()
	case opDefCFAOffsetSF:
		m.cur.cfaOff = r.sleb() * c.dataAlign
	case opDefCFAExpression:
		m.cur.cfaKind, m.cur.cfaExpr = ValExpression, r.off
		r.block()

	case opOffsetExtended:
		m.set(r.uleb(), Rule{Kind: Offset, N: int64(r.uleb()) * c.dataAlign})
	case opOffsetExtendedSF:
		m.set(r.uleb(), Rule{Kind: Offset, N: r.sleb() * c.dataAlign})
	case opGNUNegativeOffsetExtended:
		m.set(r.uleb(), Rule{Kind: Offset, N: -int64(r.uleb()) * c.dataAlign})
	case opValOffset:
		m.set(r.uleb(), Rule{Kind: ValOffset, N: int64(r.uleb()) * c.dataAlign})
	case opValOffsetSF:
		m.set(r.uleb(), Rule{Kind: ValOffset, N: r.sleb() * c.dataAlign})
	case opRegister:
		reg, from := r.uleb(), r.uleb()
		if from >= arch.MaxRegs { // nobody knows that register's value
			m.set(reg, Rule{Kind: Undefined})
		} else {
			m.set(reg, Rule{Kind: Register, Reg: uint8(from)})
		}
	case opExpression:
		m.setExpr(Expression, r)
	case opValExpression:
		m.setExpr(ValExpression, r)
	case opUndefined:
		m.set(r.uleb(), Rule{Kind: Undefined})
	case opSameValue:
		m.set(r.uleb(), Rule{Kind: SameValue})
	case opRestoreExtended:
		m.restore(r.uleb())

	case opRememberState:
		if len(m.remembered) == maxRemembered {
			return "DW_CFA_remember_state nested too deeply"
		}
		m.remembered = append(m.remembered, m.cur)
	case opRestoreState:
		// The CFA rule is part of the state: gcc and binutils emit and
		// expect it so.
		n := len(m.remembered) - 1
		if n < 0 {
			return "DW_CFA_restore_state without DW_CFA_remember_state"
		}
		m.cur = m.remembered[n]
		m.remembered = m.remembered[:n]

	case opNegateRAState, opNegateRAStateWithPC:
		m.cur.signed = !m.cur.signed
	case opGNUArgsSize:
		m.argsSize = r.uleb()
	default:
		return "unknown call frame instruction"
	}
	return ""
}

// setExpr gives a register a rule that the expression at r makes.
func (m *vm) setExpr(kind RuleKind, r *reader) {
	reg := r.uleb()
	m.set(reg, Rule{Kind: kind, N: int64(r.off)})
	m.cur.exprs = true
	r.block()
}
