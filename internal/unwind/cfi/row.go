package cfi

import "github.com/gatedso/bt/internal/arch"

// RuleKind is one of the register rules of DWARF 5 section 6.4.1.
type RuleKind uint8

const (
	Unspecified   RuleKind = iota // the table is silent: the ABI's default holds
	Undefined                     // the value is lost; for the return address: the outermost frame
	SameValue                     // not modified
	Offset                        // saved at CFA+N
	ValOffset                     // the value is CFA+N
	Register                      // held in register Reg; for the CFA rule: Reg+N
	Expression                    // saved at the address that expression N computes
	ValExpression                 // the value that expression N computes
)

// Rule tells how to recover one register's value in the caller, or, as
// Row.CFA, how to compute the canonical frame address: there Kind is Register
// (Reg+N), ValExpression, or Unspecified when the table never defined it.
type Rule struct {
	Kind RuleKind
	Reg  uint8
	N    int64 // an offset in bytes, or the index of an expression in Row.Exprs
}

// Row is one row of the call frame table: the rules that hold for every pc in
// [Start, End). It owns no memory: expressions alias the section's bytes. Rules
// for registers from arch.MaxRegs on are parsed and dropped.
type Row struct {
	Start, End uint64 // link-time addresses
	Func       uint64 // first pc of the FDE that the row comes from
	FuncEnd    uint64 // end of that FDE
	CFA        Rule
	Regs       [arch.MaxRegs]Rule
	Exprs      [][]byte // DWARF expressions that the rules index
	RA         uint8    // the return-address column
	Signal     bool     // 'S' augmentation: the frame is a signal frame
	RASigned   bool     // the return address is signed (DW_CFA_AARCH64_negate_ra_state)
	ArgsSize   uint64   // DW_CFA_GNU_args_size, informative
}
