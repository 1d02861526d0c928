package cfi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func TestInstructions(t *testing.T) {
	cfa := Rule{Kind: Register, Reg: 7, N: 8}
	expr := []byte{0x77, 8}
	block := cat(len(expr), expr)
	at := func(v uint64) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
	for _, c := range []struct {
		name       string
		insns      []byte
		pc         uint64
		start, end uint64
		cfa        Rule
		reg        int // whose rule is checked
		rule       Rule
	}{
		{"none", nil, 0x1080, 0x1000, 0x1100, cfa, 16, Rule{Offset, 0, -8}},
		{"nop", cat(0, 0), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{}},
		{"advance, before", cat(opAdvanceLoc|4, opDefCFAOffset, 16), 0x1003, 0x1000, 0x1004, cfa, 3, Rule{}},
		{"advance, at", cat(opAdvanceLoc|4, opDefCFAOffset, 16), 0x1004, 0x1004, 0x1100, Rule{Register, 7, 16}, 3, Rule{}},
		{"advance by 0", cat(opAdvanceLoc, opDefCFAOffset, 16), 0x1000, 0x1000, 0x1100, Rule{Register, 7, 16}, 3, Rule{}},
		{"advance1", cat(opAdvanceLoc1, 0x80, opDefCFAOffset, 16), 0x1080, 0x1080, 0x1100, Rule{Register, 7, 16}, 3, Rule{}},
		{"advance2", cat(opAdvanceLoc2, 0x80, 0, opDefCFAOffset, 16), 0x107f, 0x1000, 0x1080, cfa, 3, Rule{}},
		{"advance4", cat(opAdvanceLoc4, at(0x80), opDefCFAOffset, 16), 0x1081, 0x1080, 0x1100, Rule{Register, 7, 16}, 3, Rule{}},
		{"advance8", cat(opAdvanceLoc8, at(0x80), at(0), opDefCFAOffset, 16), 0x1081, 0x1080, 0x1100, Rule{Register, 7, 16}, 3, Rule{}},
		{"advance beyond the FDE", cat(opAdvanceLoc4, at(0x1000), opDefCFAOffset, 16), 0x10ff, 0x1000, 0x1100, cfa, 3, Rule{}},
		{"advance beyond memory", cat(opAdvanceLoc8, at(0xffffffff), at(0xffffffff), opDefCFAOffset, 16), 0x10ff, 0x1000, 0x1100, cfa, 3, Rule{}},
		{"set_loc", cat(opSetLoc, at(0x1010), opDefCFAOffset, 16), 0x1010, 0x1010, 0x1100, Rule{Register, 7, 16}, 3, Rule{}},
		{"set_loc, before", cat(opSetLoc, at(0x1010), opDefCFAOffset, 16), 0x100f, 0x1000, 0x1010, cfa, 3, Rule{}},

		{"def_cfa", cat(opDefCFA, 6, uleb(300)), 0x1000, 0x1000, 0x1100, Rule{Register, 6, 300}, 3, Rule{}},
		{"def_cfa_sf", cat(opDefCFASF, 6, sleb(-3)), 0x1000, 0x1000, 0x1100, Rule{Register, 6, 24}, 3, Rule{}},
		{"def_cfa_register", cat(opDefCFARegister, 6), 0x1000, 0x1000, 0x1100, Rule{Register, 6, 8}, 3, Rule{}},
		{"def_cfa_offset", cat(opDefCFAOffset, 64), 0x1000, 0x1000, 0x1100, Rule{Register, 7, 64}, 3, Rule{}},
		{"def_cfa_offset_sf", cat(opDefCFAOffsetSF, sleb(5)), 0x1000, 0x1000, 0x1100, Rule{Register, 7, -40}, 3, Rule{}},
		{"def_cfa_expression", cat(opDefCFAExpression, block), 0x1000, 0x1000, 0x1100, Rule{ValExpression, 0, 0}, 3, Rule{}},
		{"def_cfa_register after an expression", cat(opDefCFAExpression, block, opDefCFARegister, 6), 0x1000, 0x1000, 0x1100, Rule{Register, 6, 8}, 3, Rule{}},
		{"def_cfa_offset in an expression", cat(opDefCFAExpression, block, opDefCFAOffset, 32), 0x1000, 0x1000, 0x1100, Rule{ValExpression, 0, 0}, 3, Rule{}},

		{"offset", cat(opOffset|3, 2), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Offset, 0, -16}},
		{"offset_extended", cat(opOffsetExtended, 33, 2), 0x1000, 0x1000, 0x1100, cfa, 33, Rule{Offset, 0, -16}},
		{"offset_extended of a vector register", cat(opOffsetExtended, uleb(200), 2), 0x1000, 0x1000, 0x1100, cfa, 33, Rule{}},
		{"offset of a vector register", cat(opOffset|63, 2), 0x1000, 0x1000, 0x1100, cfa, 33, Rule{}},
		{"offset_extended_sf", cat(opOffsetExtendedSF, 3, sleb(-2)), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Offset, 0, 16}},
		{"GNU_negative_offset_extended", cat(opGNUNegativeOffsetExtended, 3, 2), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Offset, 0, 16}},
		{"val_offset", cat(opValOffset, 3, 2), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{ValOffset, 0, -16}},
		{"val_offset_sf", cat(opValOffsetSF, 3, sleb(-2)), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{ValOffset, 0, 16}},
		{"register", cat(opRegister, 3, 9), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Register, 9, 0}},
		{"register that is not carried", cat(opRegister, 3, uleb(300)), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Kind: Undefined}},
		{"expression", cat(opExpression, 3, block), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Expression, 0, 0}},
		{"val_expression", cat(opValExpression, 3, block), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{ValExpression, 0, 0}},
		{"undefined", cat(opUndefined, 16), 0x1000, 0x1000, 0x1100, cfa, 16, Rule{Kind: Undefined}},
		{"same_value", cat(opSameValue, 3), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Kind: SameValue}},
		{"restore", cat(opOffset|16, 5, opRestore|16), 0x1000, 0x1000, 0x1100, cfa, 16, Rule{Offset, 0, -8}},
		{"restore to nothing", cat(opOffset|3, 5, opRestore|3), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{}},
		{"restore_extended", cat(opOffset|16, 5, opRestoreExtended, 16), 0x1000, 0x1000, 0x1100, cfa, 16, Rule{Offset, 0, -8}},
		{"restore of a vector register", cat(opRestoreExtended, uleb(90), opRestore|60), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{}},

		{"remember", cat(opRememberState, opDefCFA, 6, 16, opOffset|3, 2), 0x1000, 0x1000, 0x1100, Rule{Register, 6, 16}, 3, Rule{Offset, 0, -16}},
		{"remember and restore, the CFA too", cat(opRememberState, opDefCFA, 6, 16, opOffset|3, 2, opRestoreState), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{}},
		{"nested", cat(opRememberState, opOffset|3, 2, opRememberState, opOffset|3, 3, opRestoreState), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Offset, 0, -16}},
		{"an expression comes back", cat(opExpression, 3, block, opRememberState, opSameValue, 3, opRestoreState), 0x1000, 0x1000, 0x1100, cfa, 3, Rule{Expression, 0, 0}},
		{"not executed behind pc", cat(opAdvanceLoc|8, opRestoreState, 0x3f), 0x1007, 0x1000, 0x1008, cfa, 3, Rule{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			row := mustRow(t, simple(c.insns), c.pc)
			if row.Func != 0x1000 || row.FuncEnd != 0x1100 || row.Start != c.start || row.End != c.end {
				t.Errorf("row is [%#x, %#x), want [%#x, %#x)", row.Start, row.End, c.start, c.end)
			}
			if row.CFA != c.cfa {
				t.Errorf("CFA %+v, want %+v", row.CFA, c.cfa)
			}
			if row.Regs[c.reg] != c.rule {
				t.Errorf("register %d %+v, want %+v", c.reg, row.Regs[c.reg], c.rule)
			}
			if row.CFA.Kind == ValExpression || row.Regs[c.reg].Kind >= Expression {
				if len(row.Exprs) != 1 || !bytes.Equal(row.Exprs[0], expr) {
					t.Errorf("expressions %x", row.Exprs)
				}
			} else if len(row.Exprs) != 0 {
				t.Errorf("expressions %x", row.Exprs)
			}
		})
	}
}

func TestInstructionFlags(t *testing.T) {
	row := mustRow(t, simple(opGNUArgsSize, uleb(1000), opNegateRAState), 0x1000)
	if row.ArgsSize != 1000 || !row.RASigned {
		t.Errorf("args size %d, signed %v", row.ArgsSize, row.RASigned)
	}
	// The signing state is a register of its own, and remembered like one.
	row = mustRow(t, simple(opRememberState, opNegateRAStateWithPC, opRestoreState), 0x1000)
	if row.RASigned {
		t.Error("signed after restore_state")
	}
}

// A CIE may itself have expressions, and a restore must bring them back.
func TestRestoreExpression(t *testing.T) {
	a := asm{eh: true}
	c := a.cie1("zR", []byte{1, peUdata4}, usual, opExpression, 3, 1, 0x31)
	a.entry(c, cat(a.uint(0x1000, 4), a.uint(0x100, 4), 0, opSameValue, 3, opAdvanceLoc|1, opRestore|3))
	table := New(Config{EhFrame: Section{testAddr, a.b}, PtrSize: 8, Order: binary.LittleEndian})
	for range 2 { // parsed, kept
		row := mustRow(t, table, 0x1001)
		if r := row.Regs[3]; r.Kind != Expression || string(row.Exprs[r.N]) != "\x31" {
			t.Errorf("%+v %x", r, row.Exprs)
		}
		if row = mustRow(t, table, 0x1000); row.Regs[3].Kind != SameValue {
			t.Errorf("%+v", row.Regs[3])
		}
	}
}

func TestMalformedInstructions(t *testing.T) {
	for _, c := range []struct {
		name  string
		insns []byte
		want  string
	}{
		{"unknown", cat(0x3f), "unknown call frame instruction"},
		{"unmatched", cat(opRestoreState), "without DW_CFA_remember_state"},
		{"deep", bytes.Repeat([]byte{opRememberState}, maxRemembered+1), "nested too deeply"},
		{"cut short", cat(opDefCFA, 7), "cut short"},
		{"cut short in a number", cat(opDefCFAOffset, 0x80), "cut short"},
		{"cut short advance", cat(opAdvanceLoc4, 1, 1), "cut short"},
		{"cut short set_loc", cat(opSetLoc, 1, 1), "cut short"},
		{"endless number", cat(opDefCFAOffset, bytes.Repeat([]byte{0x80}, 40), 0), "cut short"},
		{"cut short block", cat(opExpression, 3, 9, 0x30), "cut short"},
		{"huge block", cat(opExpression, 3, uleb(1<<63), 0x30), "cut short"},
		{"CFA register", cat(opDefCFARegister, 34), "CFA register is out of range"},
		{"too many", make([]byte, maxOps+1), "too many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var row Row
			err := simple(c.insns).Row(0x1000, &row)
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if format.Section != ".eh_frame" {
				t.Errorf("%q does not name the section", err)
			}
		})
	}
}
