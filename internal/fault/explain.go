package fault

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/maps"
)

// instruction finds the instruction that was the fault.
func (c *Cause) instruction(d *Death) {
	if !c.HasPC {
		return
	}
	at := c.PC
	switch {
	case c.Signo == sigTRAP && d.Info.Code == siKernel:
		at -= uint64(d.Arch.Traps.Breakpoint)
	case c.Signo == sigSYS:
		return // the pc lies behind the system call
	case c.HasAddr && c.Addr == c.PC && (c.Signo == sigSEGV || c.Signo == sigBUS):
		return // what lies there was not executed
	}
	c.InsnAddr = at
	c.Code, c.CodeAddr = d.Code, d.CodeAddr
	off := at - d.CodeAddr
	if at < d.CodeAddr || off >= uint64(len(d.Code)) {
		c.Code = nil
		return
	}
	if d.Arch.Disassemble == nil {
		return
	}
	if ins, ok := d.Arch.Disassemble(d.Code[off:], at, d.Regs); ok && ins.Size <= len(d.Code)-int(off) {
		c.Insn = ins
	}
}

// hints finds out what the facts mean.
func (c *Cause) hints(d *Death) {
	hint := func(h Hint) { c.Hints = append(c.Hints, h) }
	switch {
	case c.Signo == sigSEGV && d.Info.Code == siKernel:
		// The CPU refused an operand without looking, or the instruction.
		if d.Arch == nil || !d.Arch.Traps.Silent {
			return
		}
		if !c.refusedOperand(d) {
			hint(Protection)
		}
	case c.Signo == sigBUS && d.Info.Code == busADRALN:
		hint(Misaligned)
	case c.Signo == sigBUS && d.Info.Code == busADRERR && c.HasAddr && d.Maps != nil:
		if m := d.Maps.Find(c.Addr); m != nil && m.IsFile() {
			hint(PastEOF)
		}
	case c.Signo == sigSEGV && d.Info.Code == segvMTESERR:
		hint(Tagged)
	case c.Signo == sigSEGV && c.HasAddr:
		c.badAccess(d, hint)
	case c.Signo == sigILL && c.HasPC && d.Arch.Traps.Refused != nil && c.InsnAddr-c.CodeAddr < uint64(len(c.Code)):
		switch d.Arch.Traps.Refused(c.Code[c.InsnAddr-c.CodeAddr:], d.Regs) {
		case arch.NoLandingPad:
			hint(NoLandingPad)
		case arch.NotAuthentic:
			hint(NotAuthentic)
		}
	}
}

// refusedOperand finds the operand that the CPU refused without looking.
func (c *Cause) refusedOperand(d *Death) bool {
	traps := &d.Arch.Traps
	for _, addr := range c.Insn.Addrs {
		if !traps.Canonical(addr) && (d.Maps == nil || d.Maps.Find(addr) == nil) {
			c.Addr, c.HasAddr = addr, true
			c.Hints = append(c.Hints, NotCanonical)
			return true
		}
	}
	for _, addr := range c.Insn.Addrs {
		if traps.Aligned > 0 && c.Insn.Width >= traps.Aligned && addr%uint64(c.Insn.Width) != 0 {
			c.Addr, c.HasAddr = addr, true
			c.Hints = append(c.Hints, Misaligned)
			return true
		}
	}
	return false
}

// badAccess looks at a SIGSEGV with an address.
func (c *Cause) badAccess(d *Death, hint func(Hint)) {
	var m *maps.Mapping
	if d.Maps != nil {
		m = d.Maps.Find(c.Addr)
	}
	jumped := c.HasPC && c.Addr == c.PC
	ptr := 8
	if d.Arch != nil {
		ptr = d.Arch.PtrSize
	}
	switch {
	case c.Addr < nullPage && m == nil && jumped && c.Addr == 0:
		hint(NullCall)
	case c.Addr < nullPage && m == nil:
		hint(NullPointer)
		if jumped {
			hint(BadJump)
		}
	case jumped:
		if c.unsigned(d) {
			hint(NotAuthentic)
		}
		hint(BadJump)
	case c.overflow(d, m):
		hint(StackOverflow)
	case d.Arch != nil && d.Arch.Traps.Canonical != nil && !d.Arch.Traps.Canonical(c.Addr):
		hint(NotCanonical)
	case ptr == 8 && c.Addr>>63 != 0:
		hint(KernelAddress)
	case m != nil && d.Info.Code == segvACCERR && m.Perm&(maps.Read|maps.Write) == maps.Read:
		hint(WriteRefused)
	}
}

// unsigned reports whether the address is one of code but for its signature: an
// authentication that fails leaves such an address.
func (c *Cause) unsigned(d *Death) bool {
	if d.Arch == nil || d.Maps == nil || d.Arch.StripPAC == nil || d.Maps.Find(c.Addr) != nil {
		return false
	}
	addr := d.Arch.StripPAC(c.Addr, 0)
	m := d.Maps.Find(addr)
	return addr != c.Addr && m != nil && m.Perm&maps.Exec != 0
}

// overflow reports whether the address, in m if anything is mapped there, was
// used as memory below a stack.
func (c *Cause) overflow(d *Death, m *maps.Mapping) bool {
	if d.Maps == nil || d.Arch == nil || d.Regs == nil {
		return false
	}
	if m != nil && m.Perm&(maps.Read|maps.Write|maps.Exec) != 0 {
		return false
	}
	sp, ok := d.Regs.Get(d.Arch.SP)
	if !ok || distance(sp, c.Addr) > nearStack {
		return false
	}
	// The stack is the mapping that ends the guard, or the hole.
	var stack *maps.Mapping
	if m != nil {
		stack = d.Maps.Find(m.End)
	} else {
		stack = locate(d.Maps, c.Addr).Above
	}
	return stack != nil && stack.Perm&maps.Write != 0 && !stack.IsFile() &&
		sp < stack.End && stack.Start-c.Addr <= 2*nearStack
}

func distance(a, b uint64) uint64 {
	if a < b {
		return b - a
	}
	return a - b
}
