package x86

import (
	"strconv"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/guard"
)

// Disassemble implements arch.Arch.Disassemble.
func (m *Mode) Disassemble(code []byte, pc uint64, regs *arch.Regs) (ins arch.Instruction, ok bool) {
	var in inst
	if !m.decode(code, &in) {
		return ins, false
	}
	ins.Size = in.size
	if text := byHand(code[:in.size]); text != "" {
		ins.Text = text
		return ins, true
	}
	d, text, err := m.decodeText(code[:in.size], pc)
	if err != nil || d.Op == 0 || d.Len != in.size {
		return arch.Instruction{}, false
	}
	ins.Text = text
	ins.Width = d.MemBytes
	switch d.Op {
	case x86asm.LEA, x86asm.NOP:
		return ins, true // their operand is no access
	}
	for _, arg := range d.Args {
		if mem, isMem := arg.(x86asm.Mem); isMem {
			if addr, known := m.effective(&d, mem, pc, regs); known {
				ins.Addrs = append(ins.Addrs, addr)
			}
		}
	}
	return ins, true
}

// decodeText has x86asm decode an instruction. It takes some for others, which
// shows in their length, and panics on none that is known; code can be anything.
func (m *Mode) decodeText(code []byte, pc uint64) (d x86asm.Inst, text string, err error) {
	err = guard.Library(func() (err error) {
		if d, err = x86asm.Decode(code, 8*m.PtrSize); err != nil || d.Op == 0 {
			return err
		}
		for i, arg := range d.Args {
			// 32-bit displacements are not sign-extended, 8-bit ones are. The
			// operands of 8 bytes are those of mov to and from rax.
			mem, isMem := arg.(x86asm.Mem)
			if !isMem {
				continue
			}
			signed := d.AddrSize == 32 && mem.Base != 0
			if d.AddrSize == 64 && mem.Disp>>31 == 1 {
				op := d.Opcode >> 24
				signed = op < 0xa0 || op > 0xa3
			}
			if signed {
				mem.Disp = int64(int32(mem.Disp))
				d.Args[i] = mem
			}
		}
		text = gnuSyntax(d, pc)
		return nil
	})
	return d, text, err
}

// gnuSyntax is the text of an instruction. x86asm leaves out an absolute address that is
// 0, and writes those below 0 and what lies before the pc without a sign, as 32 bits.
func gnuSyntax(d x86asm.Inst, pc uint64) string {
	const stands = 0x7badcafe // for the operand's
	for i, arg := range d.Args {
		mem, isMem := arg.(x86asm.Mem)
		absolute := mem.Base == 0 && mem.Index == 0
		if !isMem || !absolute && mem.Base != x86asm.RIP && mem.Base != x86asm.EIP || mem.Disp == stands {
			continue
		}
		number := ""
		switch {
		case absolute && mem.Disp <= 0 && d.AddrSize == 64:
			number = "0x" + strconv.FormatUint(uint64(mem.Disp), 16)
		case absolute && mem.Disp == 0:
			number = "0x0"
		case !absolute && mem.Disp < 0:
			number = "-0x" + strconv.FormatInt(-mem.Disp, 16)
		default:
			continue
		}
		mem.Disp = stands
		d.Args[i] = mem
		return strings.Replace(x86asm.GNUSyntax(d, pc, nil), "0x7badcafe", number, 1)
	}
	return x86asm.GNUSyntax(d, pc, nil)
}

// byHand is the text of instructions that x86asm does not know: it answers
// endbr with a lone rep prefix, and lets vzeroupper swallow a byte.
func byHand(code []byte) string {
	switch string(code) {
	case "\xf3\x0f\x1e\xfa":
		return "endbr64"
	case "\xf3\x0f\x1e\xfb":
		return "endbr32"
	case "\xc5\xf8\x77":
		return "vzeroupper"
	case "\xc5\xfc\x77":
		return "vzeroall"
	}
	return ""
}

// effective is the address of a memory operand, if the registers that it takes
// are known. The bases of fs and gs never are.
func (m *Mode) effective(d *x86asm.Inst, mem x86asm.Mem, pc uint64, regs *arch.Regs) (uint64, bool) {
	if mem.Segment == x86asm.FS || mem.Segment == x86asm.GS {
		return 0, false
	}
	addr := uint64(mem.Disp)
	if mem.Base != 0 {
		v, ok := m.value(d, mem.Base, pc, regs)
		if !ok {
			return 0, false
		}
		addr += v
	}
	if mem.Index != 0 && mem.Scale != 0 {
		v, ok := m.value(d, mem.Index, pc, regs)
		if !ok {
			return 0, false
		}
		addr += v * uint64(mem.Scale)
	}
	if d.AddrSize == 32 || m.PtrSize == 4 {
		addr = uint64(uint32(addr))
	}
	return addr, true
}

// value is what an address register holds.
func (m *Mode) value(d *x86asm.Inst, r x86asm.Reg, pc uint64, regs *arch.Regs) (uint64, bool) {
	switch {
	case r == x86asm.RIP || r == x86asm.EIP:
		return pc + uint64(d.Len), true
	case m.PtrSize == 8 && r >= x86asm.RAX && r <= x86asm.R15:
		return regs.Get(m.DWARF[r-x86asm.RAX])
	case r >= x86asm.EAX && r <= x86asm.EDI, m.PtrSize == 8 && r > x86asm.EDI && r <= x86asm.R15L:
		v, ok := regs.Get(m.DWARF[r-x86asm.EAX])
		return uint64(uint32(v)), ok
	}
	return 0, false
}
