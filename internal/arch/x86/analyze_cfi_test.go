package x86

import (
	"debug/elf"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/arch/follow"
	"github.com/gatedso/bt/internal/arch/internal/cfitest"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// machine returns the machine number of a DWARF register.
func (m *Mode) machine(r arch.Reg) int {
	n := 8
	if m.PtrSize == 8 {
		n = 16
	}
	return slices.Index(m.DWARF[:n], r)
}

func modeOf(im *cfitest.Image) *Mode {
	if im.Class == elf.ELFCLASS32 {
		return &I386
	}
	return &AMD64
}

// compare checks Analyze on the function of one FDE at up to max places and
// calls report for each difference.
func compare(im *cfitest.Image, y *cfitest.Tally, f cfi.FDE, rng *rand.Rand, max int, report func(pc uint64, what string)) {
	m := modeOf(im)
	code := im.Code(f.Start, f.End)
	var row cfi.Row
	if len(code) == 0 || im.Table.Row(f.Start, &row) != nil {
		return
	}
	// Only whole functions: not their cold parts, and not PLTs, where
	// several entries share an FDE.
	if row.CFA.Kind != cfi.Register || arch.Reg(row.CFA.Reg) != m.DWARF[sp] || row.CFA.N != int64(m.PtrSize) || row.Signal ||
		row.Regs[row.RA].Kind != cfi.Offset {
		return
	}
	y.Funcs++
	var at []int
	for off := 0; off < len(code); {
		var in inst
		if !m.decode(code[off:], &in) {
			break
		}
		if !in.isPadding() {
			at = append(at, off)
		}
		off += in.size
	}
	if len(at) > max {
		rng.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
		at = at[:max]
	}
	// What a caller has: not where the function ends.
	code = im.From(f.Start)
	code = code[:min(len(code), int(f.End-f.Start)+2048)]
	for _, off := range at {
		pc := f.Start + uint64(off)
		var in inst
		m.decode(code[off:], &in)
		// Where a call has been made, the frame is looked up inside it.
		lookup := off
		if in.flow() == follow.Call && rng.IntN(2) == 0 {
			lookup++
		}
		if im.Table.Row(pc, &row) != nil {
			continue
		}
		y.Points++
		var st *follow.State
		a := newAnalysis(m, code)
		st = a.find(lookup)
		var l arch.Layout
		ok := false
		if st != nil {
			l, ok = m.layout(st)
		}
		if !ok {
			y.Unknown++
			report(pc, "unknown")
			continue
		}
		if row.CFA.Kind == cfi.ValExpression {
			// gcc's only one: the word at a frame pointer.
			e := row.Exprs[row.CFA.N]
			if len(e) == 3 && e[0] == 0x70+byte(m.DWARF[bp]) && e[2] == 0x06 &&
				st.Load(st.Regs[bp].Plus(int64(int8(e[1]<<1)>>1))) == follow.CFA(0) {
				y.Right++
			} else {
				y.Other++
				report(pc, fmt.Sprintf("not comparable: %+v, CFI % x", l, e))
			}
			continue
		}
		v := st.Regs[m.machine(arch.Reg(row.CFA.Reg))]
		if !v.FromCFA() {
			y.Other++
			report(pc, fmt.Sprintf("not comparable: %+v, CFI %+v", l, row.CFA))
			continue
		}
		if int64(-v.Off) != row.CFA.N {
			y.Wrong++
			report(pc, fmt.Sprintf("wrong: %+v %+v, CFI %+v", l, v, row.CFA))
			continue
		}
		y.Right++
		for r := range 16 {
			if m.CalleeSaved>>r&1 == 0 {
				continue
			}
			reg := m.DWARF[r]
			y.Register(reg, cfitest.Find(&l, reg), row.Regs[reg], int64(st.Regs[sp].Off), st.Regs[sp].FromCFA(), func(what string) { report(pc, what) })
		}
	}
}

// compareFile checks every step-th function of a file at up to perFunc places.
func compareFile(t *testing.T, path string, perFunc, step int) *cfitest.Tally {
	im := cfitest.Open(t, path)
	var y cfitest.Tally
	rng := rand.New(rand.NewPCG(1, 2))
	im.Each(t, step, func(f cfi.FDE, report func(uint64, string)) { compare(im, &y, f, rng, perFunc, report) })
	t.Log(&y)
	return &y
}

// TestAnalyzeLikeCFI compares with the call frame information of libraries.
// Where the two differ, it is that which errs: hand-written code that pushes
// registers and does not say so, or says of a return behind another that the
// stack is still what it was before the first.
func TestAnalyzeLikeCFI(t *testing.T) {
	for _, path := range []string{
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/lib64/ld-linux-x86-64.so.2",
		"/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/lib32/libc.so.6",
		"/lib32/libm.so.6",
	} {
		t.Run(path[1:], func(t *testing.T) {
			y := compareFile(t, path, 6, 5)
			if 500*y.Wrong > y.Points || 1000*y.BadSaved > y.Right {
				t.Errorf("wrong too often: %v", y)
			}
			if 50*y.Unknown > y.Points || 100*y.Other > y.Points {
				t.Errorf("unknown too often: %v", y)
			}
		})
	}
}

// TestAnalyzeCompiled compares with the call frame information of a program at
// every instruction.
func TestAnalyzeCompiled(t *testing.T) {
	gcc := testenv.Need(t, "gcc", "gcc")
	for _, bits := range []string{"-m64", "-m32"} {
		for _, flags := range [][]string{
			{"-O0"},
			{"-O1"},
			{"-O2", "-fno-pic", "-no-pie"},
			{"-Os"},
			{"-O2", "-fstack-clash-protection", "-fstack-protector-all"},
			{"-O2", "-fcf-protection=full", "-mavx2"},
		} {
			t.Run(bits+strings.Join(flags, ""), func(t *testing.T) {
				exe := filepath.Join(t.TempDir(), "frames")
				args := append([]string{bits, "-w", "-fasynchronous-unwind-tables", "-o", exe, "testdata/frames.c"}, flags...)
				if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
					testenv.Skip(t, "gcc %s: %v: apt-get install gcc-multilib\n%s", bits, err, out)
				}
				y := compareFile(t, exe, 1<<20, 1)
				// usebig sets the stack pointer anew behind a call whose
				// effect on it nothing tells, so the instruction or two
				// in between are wrong in 32-bit code.
				if y.BadSaved > 0 || y.Wrong > 0 && (bits == "-m64" || y.Wrong > 2) {
					t.Errorf("wrong: %v", y)
				}
				if y.Unknown > 0 && (bits == "-m64" || 30*y.Unknown > y.Points) || y.Other > 0 {
					t.Errorf("unknown too often: %v", y)
				}
			})
		}
	}
}

func BenchmarkAnalyze(b *testing.B) {
	im := cfitest.Open(b, "/lib/x86_64-linux-gnu/libc.so.6")
	var best cfi.FDE
	im.Table.FDEs(func(f cfi.FDE) bool {
		if n := f.End - f.Start; n < 5000 && n > best.End-best.Start {
			best = f
		}
		return true
	})
	code := im.Code(best.Start, best.End)
	b.ReportAllocs()
	for b.Loop() {
		AMD64.Analyze(code, best.Start, best.Start+uint64(len(code)/2))
	}
}
