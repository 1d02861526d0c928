package unwind

import (
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// exprEnv is the frame that an expression sees.
type exprEnv struct {
	s *state
	// missing is the address of a word that the memory does not hold.
	missing   uint64
	isMissing bool
}

func (e *exprEnv) Reg(n uint64) (uint64, bool) {
	if n >= arch.MaxRegs {
		return 0, false
	}
	return e.s.regs.Get(arch.Reg(n))
}

func (e *exprEnv) Mem(addr uint64, size int) (uint64, bool) {
	v, ok := e.s.mem.Word(addr&e.s.data, size)
	if !ok {
		e.missing, e.isMissing = addr&e.s.mask, true
	}
	return v, ok
}

// eval evaluates the expression of a rule. cfa is on the stack at its start,
// but for the rule of the CFA itself.
func (s *state) eval(f Frame, row *cfi.Row, rule cfi.Rule, cfa *uint64) (uint64, End, uint64) {
	if rule.N < 0 || rule.N >= int64(len(row.Exprs)) {
		return 0, EndBadRow, f.PC
	}
	env := exprEnv{s: s}
	ctx := cfi.Context{Env: &env, PtrSize: s.arch.PtrSize}
	var v uint64
	var err error
	if cfa != nil {
		ctx.CFA, ctx.HasCFA = *cfa, true
		v, err = cfi.Eval(row.Exprs[rule.N], &ctx, *cfa)
	} else {
		v, err = cfi.Eval(row.Exprs[rule.N], &ctx)
	}
	switch {
	case err == nil:
		return v, stepOn, 0
	case env.isMissing:
		return 0, EndNoMemory, env.missing
	}
	return 0, EndBadRow, f.PC
}
