package arm64

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/arch/arm64/arm64asm"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/guard"
)

// disassemble implements arch.Arch.Disassemble. The kernel tells the address of
// every fault, so operands are not looked at.
func disassemble(code []byte, pc uint64, _ *arch.Regs) (arch.Instruction, bool) {
	if len(code) < 4 {
		return arch.Instruction{}, false
	}
	in := binary.LittleEndian.Uint32(code)
	text := byHand(in)
	if text == "" {
		text = decodeText(code[:4], pc)
	}
	return arch.Instruction{Text: text, Size: 4}, text != ""
}

// decodeText is the text that arm64asm has for an instruction, in the way that GNU
// objdump writes it: blanks behind commas, and addresses instead of distances.
func decodeText(code []byte, pc uint64) (text string) {
	err := guard.Library(func() error {
		in, err := arm64asm.Decode(code)
		if err != nil {
			return err
		}
		text = arm64asm.GNUSyntax(in)
		for _, arg := range in.Args {
			rel, ok := arg.(arm64asm.PCRel)
			if !ok {
				continue
			}
			to := pc + uint64(rel)
			if in.Op == arm64asm.ADRP {
				to = pc&^0xfff + uint64(rel)
			}
			text = strings.Replace(text, strings.ToLower(rel.String()), fmt.Sprintf("%#x", to), 1)
		}
		return nil
	})
	if err != nil {
		return ""
	}
	for number, name := range systemRegisters() {
		text = strings.Replace(text, number, name, 1)
	}
	if strings.HasPrefix(text, "fcmp") && strings.HasSuffix(text, "#0") {
		text += ".0"
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, ", ", ","), ",", ", ")
}

// systemRegisters are those that programs may read (manual, chapter D17), which
// arm64asm writes as numbers.
var systemRegisters = sync.OnceValue(func() map[string]string {
	return map[string]string{
		"s3_0_c0_c0_0": "midr_el1", "s3_3_c0_c0_1": "ctr_el0", "s3_3_c0_c0_7": "dczid_el0",
		"s3_3_c4_c2_0": "nzcv", "s3_3_c4_c4_0": "fpcr", "s3_3_c4_c4_1": "fpsr",
		"s3_3_c13_c0_2": "tpidr_el0", "s3_3_c13_c0_3": "tpidrro_el0",
		"s3_3_c14_c0_0": "cntfrq_el0", "s3_3_c14_c0_2": "cntvct_el0",
	}
})

// The encodings below are from the Arm Architecture Reference Manual, chapter C4.

// hintNames are the instructions of the hint space (CRm:op2), which CPUs that do
// not know them execute as nop.
var hintNames = [0x80]string{
	0: "nop", 1: "yield", 2: "wfe", 3: "wfi", 4: "sev", 5: "sevl", 6: "dgh", 7: "xpaclri",
	8: "pacia1716", 10: "pacib1716", 12: "autia1716", 14: "autib1716",
	16: "esb", 17: "psb csync", 18: "tsb csync", 20: "csdb",
	24: "paciaz", 25: "paciasp", 26: "pacibz", 27: "pacibsp",
	28: "autiaz", 29: "autiasp", 30: "autibz", 31: "autibsp",
	32: "bti", 34: "bti c", 36: "bti j", 38: "bti jc",
}

// oneSource are the instructions that sign and authenticate a register, by their
// opcode; those without "z" in the name take a modifier.
var oneSource = [...]string{
	"pacia", "pacib", "pacda", "pacdb", "autia", "autib", "autda", "autdb",
	"paciza", "pacizb", "pacdza", "pacdzb", "autiza", "autizb", "autdza", "autdzb", "xpaci", "xpacd",
}

// byHand is the text of instructions that arm64asm does not know: those about
// pointer authentication and landing pads, and the one that is never defined.
func byHand(in uint32) string {
	rd, rn, op := in&31, in>>5&31, in>>10&63
	switch {
	case in>>16 == 0:
		return fmt.Sprintf("udf #%d", in)
	case isHint(in):
		if name := hintNames[in>>5&0x7f]; name != "" {
			return name
		}
		return fmt.Sprintf("hint #%#x", in>>5&0x7f)
	case in == 0xd65f0bff:
		return "retaa"
	case in == 0xd65f0fff:
		return "retab"
	case in&0xfedff800 == 0xd61f0800: // br and blr, with key A or B, and a modifier or none
		name := []string{"bra", "blra"}[in>>21&1] + []string{"a", "b"}[in>>10&1]
		if in>>24&1 == 1 {
			return fmt.Sprintf("%s %s, %s", name, xreg(rn), xsp(rd))
		}
		if rd == 31 {
			return fmt.Sprintf("%sz %s", name, xreg(rn))
		}
	case in>>16 == 0xdac1 && op < uint32(len(oneSource)):
		if op < 8 {
			return fmt.Sprintf("%s %s, %s", oneSource[op], xreg(rd), xsp(rn))
		}
		if rn == 31 {
			return fmt.Sprintf("%s %s", oneSource[op], xreg(rd))
		}
	}
	return atomic(in)
}

// atomic is the text of the atomic instructions of ARMv8.1 (LSE), and of ldapr.
func atomic(in uint32) string {
	size, rs, rn, rt := in>>30, in>>16&31, in>>5&31, in&31
	order, width, reg := "", [...]string{"b", "h", "", ""}[size], wreg
	if size == 3 {
		reg = xreg
	}
	switch {
	case in&0x3fa07c00 == 0x08a07c00:
		if in>>22&1 == 1 {
			order += "a"
		}
		if in>>15&1 == 1 {
			order += "l"
		}
		return fmt.Sprintf("cas%s%s %s, %s, [%s]", order, width, reg(rs), reg(rt), xsp(rn))
	case in&0x3ffffc00 == 0x38bfc000:
		return fmt.Sprintf("ldapr%s %s, [%s]", width, reg(rt), xsp(rn))
	case in&0x3f200c00 == 0x38200000 && (in>>15&1 == 0 || in>>12&7 == 0):
		if in>>23&1 == 1 {
			order += "a"
		}
		if in>>22&1 == 1 {
			order += "l"
		}
		if in>>15&1 == 1 {
			return fmt.Sprintf("swp%s%s %s, %s, [%s]", order, width, reg(rs), reg(rt), xsp(rn))
		}
		name := [...]string{"add", "clr", "eor", "set", "smax", "smin", "umax", "umin"}[in>>12&7]
		if rt == 31 && in>>23&1 == 0 {
			return fmt.Sprintf("st%s%s%s %s, [%s]", name, order, width, reg(rs), xsp(rn))
		}
		return fmt.Sprintf("ld%s%s%s %s, %s, [%s]", name, order, width, reg(rs), reg(rt), xsp(rn))
	}
	return ""
}

func xreg(n uint32) string {
	if n == 31 {
		return "xzr"
	}
	return fmt.Sprintf("x%d", n)
}

func wreg(n uint32) string {
	if n == 31 {
		return "wzr"
	}
	return fmt.Sprintf("w%d", n)
}

func xsp(n uint32) string {
	if n == 31 {
		return "sp"
	}
	return fmt.Sprintf("x%d", n)
}
