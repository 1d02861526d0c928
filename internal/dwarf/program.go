package dwarf

import "math"

// Standard and extended opcodes of line number programs (7.22).
const (
	lnsCopy = 1 + iota
	lnsAdvancePC
	lnsAdvanceLine
	lnsSetFile
	lnsSetColumn
	lnsNegateStmt
	lnsSetBasicBlock
	lnsConstAddPC
	lnsFixedAdvancePC
	lnsSetPrologueEnd
	lnsSetEpilogueBegin
	lnsSetISA

	lneEndSequence      = 1
	lneSetAddress       = 2
	lneDefineFile       = 3
	lneSetDiscriminator = 4
)

// machine runs a line number program, and gives rows to the addresses that it
// passes.
type machine struct {
	v *visitor
	t *lineTable

	addr          uint64
	opIndex       uint64
	file, column  uint32
	line          uint32
	discriminator uint32 // of the next row

	prev     uint64 // address of the last row, if has
	has      bool
	dead     bool // the sequence is that of discarded code
	last     row
	next     int    // the first address looked for at or above prev
	nextAddr uint64 // that address: no row before it matters
	left     int    // addresses that have no row yet
}

// runLines finds the rows of v.q in the unit's line program.
func (v *visitor) runLines() {
	t := &v.lines
	m := machine{v: v, t: t, left: len(v.q)}
	m.reset()
	b := t.program
	mul := uint64(t.minInst)
	simple := t.maxOps <= 1
	v.work -= len(b)
	for pos := 0; pos < len(b) && m.left > 0; {
		op := b[pos]
		pos++
		if op >= t.opcodeBase {
			m.line += uint32(t.advLine[op])
			if simple {
				m.addr += uint64(t.advance[op]) * mul
			} else {
				m.advance(uint64(t.advance[op]))
			}
			m.row()
			continue
		}
		var n uint64
		switch op {
		case 0:
			pos = m.extended(b, pos)
		case lnsCopy:
			m.row()
		case lnsAdvancePC:
			n, pos = uleb(b, pos)
			m.advance(n)
		case lnsAdvanceLine:
			var d int64
			d, pos = sleb(b, pos)
			m.line += uint32(d)
		case lnsSetFile:
			n, pos = uleb(b, pos)
			m.file = uint32(min(n, math.MaxUint32))
		case lnsSetColumn:
			n, pos = uleb(b, pos)
			m.column = uint32(min(n, math.MaxUint32))
		case lnsConstAddPC:
			m.advance(uint64(t.advance[255]))
		case lnsFixedAdvancePC:
			n, pos = fixed(b, pos, 2, t.sizes.big)
			m.addr += n
			m.opIndex = 0
		case lnsNegateStmt, lnsSetBasicBlock, lnsSetPrologueEnd, lnsSetEpilogueBegin:
		default:
			for range t.lengths[op-1] {
				pos = skipLEB(b, pos)
			}
		}
	}
}

// reset starts a sequence (6.2.2).
func (m *machine) reset() {
	m.addr, m.opIndex, m.file, m.line, m.column, m.discriminator = 0, 0, 1, 1, 0, 0
	m.has = false
	m.moved()
}

// moved looks where the addresses looked for go on at m.addr, which a sequence
// starts at.
func (m *machine) moved() {
	m.dead = !m.v.d.isCode(m.addr)
	m.seek()
}

func (m *machine) seek() {
	m.next, m.nextAddr = 0, math.MaxUint64
	if m.dead {
		return
	}
	if m.next = m.v.find(m.addr); m.next < len(m.v.q) {
		m.nextAddr = m.v.q[m.next]
	}
}

// advance adds to the address what an operation advance does (6.2.5.1).
func (m *machine) advance(n uint64) {
	if m.t.maxOps <= 1 {
		m.addr += n * uint64(m.t.minInst)
		return
	}
	ops := uint64(m.t.maxOps)
	m.addr += uint64(m.t.minInst) * ((m.opIndex + n) / ops)
	m.opIndex = (m.opIndex + n) % ops
}

// row appends a row to the table: the row before holds up to this address.
func (m *machine) row() {
	if m.addr > m.nextAddr {
		m.give()
	} else if m.addr < m.prev && m.has {
		m.seek()
	}
	m.prev, m.has = m.addr, true
	m.last = row{true, m.file, m.line, m.column, m.discriminator}
	m.discriminator = 0
}

// give gives the last row to the addresses below m.addr.
func (m *machine) give() {
	v := m.v
	if !m.has {
		// The first row of a sequence: what is below has none.
		m.seek()
		return
	}
	i := m.next
	for ; i < len(v.q) && v.q[i] < m.addr; i++ {
		if !v.rows[i].found {
			v.rows[i] = m.last
			m.left--
		}
	}
	m.next, m.nextAddr = i, math.MaxUint64
	if i < len(v.q) {
		m.nextAddr = v.q[i]
	}
}

// extended runs an extended opcode (6.2.5.3).
func (m *machine) extended(b []byte, pos int) int {
	n, pos := uleb(b, pos)
	if pos > len(b) || n == 0 || n > uint64(len(b)-pos) {
		if n == 0 && pos <= len(b) {
			return pos
		}
		return past(b)
	}
	arg := b[pos+1 : pos+int(n)]
	switch b[pos] {
	case lneEndSequence:
		if m.addr > m.nextAddr {
			m.give()
		}
		m.reset()
	case lneSetAddress:
		size := len(arg)
		if size > 8 || size == 0 {
			break
		}
		addr, next := fixed(arg, 0, size, m.t.sizes.big)
		if next > len(arg) {
			break
		}
		m.addr, m.opIndex = addr, 0
		if !m.has {
			m.moved()
		}
	case lneSetDiscriminator:
		if d, next := uleb(arg, 0); next <= len(arg) {
			m.discriminator = uint32(min(d, math.MaxUint32))
		}
	case lneDefineFile:
		if s := cstring(arg, 0); s != nil && m.t.sizes.version < 5 && len(m.t.files) < maxNames {
			dir, _ := uleb(arg, len(s)+1)
			m.t.files = append(m.t.files, lineFile{lineName: lineName{text: s}, dir: dir})
		}
	}
	return pos + int(n)
}
