package arm64

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
	"github.com/gatedso/bt/internal/arch/internal/cfitest"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// compare checks the analysis on the function of one FDE, at every every-th
// instruction, and calls report for each difference.
func compare(im *cfitest.Image, y *cfitest.Tally, f cfi.FDE, every int, report func(pc uint64, what string)) {
	code := im.Code(f.Start, f.End)
	var row cfi.Row
	if len(code) == 0 || im.Table.Row(f.Start, &row) != nil {
		return
	}
	// Only whole functions: not their cold parts, and not PLTs.
	ra := row.Regs[LR].Kind
	if row.CFA.Kind != cfi.Register || arch.Reg(row.CFA.Reg) != SP || row.CFA.N != 0 || row.Signal || ra != cfi.Unspecified && ra != cfi.SameValue {
		return
	}
	y.Funcs++
	whole := im.From(f.Start)
	whole = whole[:min(len(whole), len(code)+2048)] // what a caller has: not where the function ends
	for off := y.Points % every * 4; off+4 <= len(code); off += 4 * every {
		pc := f.Start + uint64(off)
		var in inst
		decode(code[off:], &in)
		if in.isPadding(code[off:]) || im.Table.Row(pc, &row) != nil || row.Regs[LR].Kind == cfi.Undefined {
			continue
		}
		// Where a call has been made, the frame is looked up inside it.
		lookup := off
		if in.flow == follow.Call && y.Points%2 == 0 {
			lookup++
		}
		y.Points++
		st := newAnalysis(whole).find(lookup)
		if st == nil {
			y.Unknown++
			report(pc, "unknown")
			continue
		}
		compareRow(y, st, &row, lookup == off, func(what string) { report(pc, what) })
	}
}

func compareRow(y *cfitest.Tally, st *follow.State, row *cfi.Row, exact bool, report func(what string)) {
	l, ok := layout(st)
	if !ok {
		y.Unknown++
		report("unknown")
		return
	}
	if row.CFA.Kind != cfi.Register || row.CFA.Reg > 31 || !st.Regs[row.CFA.Reg].FromCFA() {
		y.Other++
		report(fmt.Sprintf("not comparable: %+v, CFI %+v", l, row.CFA))
		return
	}
	if v := st.Regs[row.CFA.Reg]; int64(-v.Off) != row.CFA.N {
		y.Wrong++
		report(fmt.Sprintf("wrong: %+v %+v, CFI %+v", l, v, row.CFA))
		return
	}
	// The return address may be in the link register, and on the stack as well.
	ret, saved := row.Regs[LR], int64(0)
	if off, ok := st.Saved(follow.Value{Kind: follow.Back}); ok {
		saved = off
	}
	inReg := l.Return == arch.Return{InReg: true, Reg: LR}
	switch {
	case ret.Kind == cfi.Offset && (ret.N == saved || inReg):
	case (ret.Kind == cfi.Unspecified || ret.Kind == cfi.SameValue) && (inReg || !exact):
	case ret.Kind == cfi.Register && l.Return == arch.Return{InReg: true, Reg: arch.Reg(ret.Reg)}:
	default:
		y.Wrong++
		report(fmt.Sprintf("wrong return address: %+v, CFI %+v", l, ret))
		return
	}
	y.Right++
	sp := st.Regs[regSP]
	for reg := X0 + 19; reg <= FP; reg++ {
		y.Register(reg, cfitest.Find(&l, reg), row.Regs[reg], int64(sp.Off), sp.FromCFA(), report)
	}
}

func compareFile(t *testing.T, path string, every, step int) *cfitest.Tally {
	im := cfitest.Open(t, path)
	var y cfitest.Tally
	im.Each(t, step, func(f cfi.FDE, report func(uint64, string)) { compare(im, &y, f, every, report) })
	t.Log(&y)
	return &y
}

// TestAnalyzeLikeCFI compares with the call frame information of libraries. With
// BT_FULL=1 it does at every instruction.
func TestAnalyzeLikeCFI(t *testing.T) {
	every := 41
	if testenv.Full() {
		every = 1
	}
	const libs = "/usr/aarch64-linux-gnu/lib/"
	for _, path := range []string{libs + "libc.so.6", libs + "ld-linux-aarch64.so.1", libs + "libm.so.6", libs + "libstdc++.so.6", libs + "libgomp.so.1"} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			n := every
			if n == 1 && !strings.HasPrefix(filepath.Base(path), "libc.") {
				n = 5 // each instruction of libc alone takes a minute
			}
			y := compareFile(t, path, n, 1)
			if y.Points == 0 || 500*y.Wrong > y.Points || 1000*y.BadSaved > y.Right {
				t.Errorf("wrong too often: %v", y)
			}
			// What an exception leads to, and then on to _Unwind_Resume, is not found.
			often := 50
			if strings.HasPrefix(filepath.Base(path), "libstdc++") {
				often = 20
			}
			if often*y.Unknown > y.Points || 100*y.Other > y.Points || 50*y.Lost > y.Saved {
				t.Errorf("unknown too often: %v", y)
			}
		})
	}
}

// TestAnalyzeCompiled compares with the call frame information of a program at
// every instruction.
func TestAnalyzeCompiled(t *testing.T) {
	for _, flags := range []string{
		"-O0", "-O1", "-O2 -fno-pic -no-pie", "-Os", "-O2 -fomit-frame-pointer",
		"-O2 -fstack-clash-protection -fstack-protector-all",
		"-O2 -mbranch-protection=standard", "-O2 -mbranch-protection=pac-ret+leaf+b-key -fno-omit-frame-pointer",
	} {
		t.Run(flags, func(t *testing.T) {
			exe := filepath.Join(t.TempDir(), "frames")
			testenv.Compile(t, exe, "aarch64-linux-gnu-gcc-12", append(strings.Fields("-w -fasynchronous-unwind-tables "+flags), "../x86/testdata/frames.c")...)
			y := compareFile(t, exe, 1, 1)
			if y.BadSaved > 0 || y.Wrong > 0 {
				t.Errorf("wrong: %v", y)
			}
			if y.Unknown > 0 || y.Other > 0 || y.Points == 0 {
				t.Errorf("unknown: %v", y)
			}
		})
	}
}
