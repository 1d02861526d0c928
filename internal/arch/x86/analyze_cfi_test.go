package x86

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

// image is an ELF file with its code and its call frame information.
type image struct {
	mode  *Mode
	table *cfi.Table
	texts []cfi.Section
}

func openImage(t testing.TB, path string) *image {
	t.Helper()
	f, err := elf.Open(path)
	if os.IsNotExist(err) {
		t.Skip("not on this machine")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	im := &image{mode: &AMD64}
	if f.Class == elf.ELFCLASS32 {
		im.mode = &I386
	}
	c := cfi.Config{PtrSize: im.mode.PtrSize, Order: binary.LittleEndian}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS {
			continue
		}
		exec := s.Flags&elf.SHF_EXECINSTR != 0
		if !exec && s.Name != ".eh_frame" && s.Name != ".eh_frame_hdr" {
			continue
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		sec := cfi.Section{Addr: s.Addr, Data: data}
		switch {
		case exec:
			im.texts = append(im.texts, sec)
		case s.Name == ".eh_frame":
			c.EhFrame = sec
		default:
			c.EhFrameHdr = sec
		}
	}
	im.table = cfi.New(c)
	return im
}

// code returns the bytes of [start, end).
func (im *image) code(start, end uint64) []byte {
	for _, s := range im.texts {
		if start >= s.Addr && end <= s.Addr+uint64(len(s.Data)) && start < end {
			return s.Data[start-s.Addr : end-s.Addr]
		}
	}
	return nil
}

// from returns the bytes from start to the section's end.
func (im *image) from(start uint64) []byte {
	for _, s := range im.texts {
		if start >= s.Addr && start < s.Addr+uint64(len(s.Data)) {
			return s.Data[start-s.Addr:]
		}
	}
	return nil
}

// machine returns the machine number of a DWARF register.
func (m *Mode) machine(r arch.Reg) int {
	n := 8
	if m.PtrSize == 8 {
		n = 16
	}
	return slices.Index(m.DWARF[:n], r)
}

// tally counts how Analyze fares against call frame information.
type tally struct {
	funcs, points                int
	right, unknown, wrong, other int
	saved, lost, badSaved        int
}

func (y *tally) String() string {
	return fmt.Sprintf("%d functions, %d points: %d right, %d unknown (%.2f%%), %d wrong, %d not comparable; registers: %d right, %d lost, %d wrong",
		y.funcs, y.points, y.right, y.unknown, 100*float64(y.unknown)/float64(max(y.points, 1)), y.wrong, y.other, y.saved, y.lost, y.badSaved)
}

// compare checks Analyze on the function of one FDE at up to max places and
// calls report for each difference.
func (im *image) compare(y *tally, f cfi.FDE, rng *rand.Rand, max int, report func(pc uint64, what string)) {
	m := im.mode
	code := im.code(f.Start, f.End)
	var row cfi.Row
	if len(code) == 0 || im.table.Row(f.Start, &row) != nil {
		return
	}
	// Only whole functions: not their cold parts, and not PLTs, where
	// several entries share an FDE.
	if row.CFA.Kind != cfi.Register || arch.Reg(row.CFA.Reg) != m.DWARF[sp] || row.CFA.N != int64(m.PtrSize) || row.Signal ||
		row.Regs[row.RA].Kind != cfi.Offset {
		return
	}
	y.funcs++
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
	code = im.from(f.Start)
	code = code[:min(len(code), int(f.End-f.Start)+2048)]
	for _, off := range at {
		pc := f.Start + uint64(off)
		var in inst
		m.decode(code[off:], &in)
		// Where a call has been made, the frame is looked up inside it.
		lookup := off
		if in.flow() == flowCall && rng.IntN(2) == 0 {
			lookup++
		}
		if im.table.Row(pc, &row) != nil {
			continue
		}
		y.points++
		var st *state
		a := newAnalysis(m, code)
		st = a.find(lookup)
		var l arch.Layout
		ok := false
		if st != nil {
			l, ok = st.layout(m)
		}
		if !ok {
			y.unknown++
			report(pc, "unknown")
			continue
		}
		if row.CFA.Kind == cfi.ValExpression {
			// gcc's only one: the word at a frame pointer.
			e := row.Exprs[row.CFA.N]
			if len(e) == 3 && e[0] == 0x70+byte(m.DWARF[bp]) && e[2] == 0x06 &&
				st.load(st.regs[bp].plus(int64(int8(e[1]<<1)>>1))) == (value{kind: address, n: cfa}) {
				y.right++
			} else {
				y.other++
				report(pc, fmt.Sprintf("not comparable: %+v, CFI % x", l, e))
			}
			continue
		}
		v := st.regs[m.machine(arch.Reg(row.CFA.Reg))]
		if !v.fromCFA() {
			y.other++
			report(pc, fmt.Sprintf("not comparable: %+v, CFI %+v", l, row.CFA))
			continue
		}
		if int64(-v.off) != row.CFA.N {
			y.wrong++
			report(pc, fmt.Sprintf("wrong: %+v %+v, CFI %+v", l, v, row.CFA))
			continue
		}
		y.right++
		for r := range 16 {
			if m.CalleeSaved>>r&1 == 0 {
				continue
			}
			reg := m.DWARF[r]
			i := slices.IndexFunc(l.Saved, func(s arch.SavedReg) bool { return s.Reg == reg })
			rule := row.Regs[reg]
			same := rule.Kind == cfi.Unspecified || rule.Kind == cfi.SameValue
			switch {
			case i >= 0 && l.Saved[i].Offset == arch.NoOffset:
				y.lost++
				report(pc, fmt.Sprintf("lost: register %d, CFI %+v", reg, rule))
			case i < 0 && rule.Kind == cfi.Offset && st.regs[sp].fromCFA() && rule.N < int64(st.regs[sp].off):
				y.saved++ // popped already: the rule names the slot below
			case rule.Kind == cfi.Offset && (i < 0 || l.Saved[i].Offset != rule.N):
				y.badSaved++
				report(pc, fmt.Sprintf("saved: register %d: %+v, CFI %+v", reg, l.Saved, rule))
			case same && i >= 0:
				y.saved++ // pushed before CFI says so, or never said
			default:
				y.saved++
			}
		}
	}
}

// compareFile checks every step-th function of a file at up to perFunc places.
func compareFile(t *testing.T, path string, perFunc, step int) *tally {
	im := openImage(t, path)
	var y tally
	rng := rand.New(rand.NewPCG(1, 2))
	shown := 0
	i := 0
	im.table.FDEs(func(f cfi.FDE) bool {
		if i++; i%step != 0 {
			return true
		}
		im.compare(&y, f, rng, perFunc, func(pc uint64, what string) {
			if shown++; shown <= 40 {
				t.Logf("%x in %x: %s", pc, f.Start, what)
			}
		})
		return true
	})
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
			if 500*y.wrong > y.points || 1000*y.badSaved > y.right {
				t.Errorf("wrong too often: %v", y)
			}
			if 50*y.unknown > y.points || 100*y.other > y.points {
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
				if y.badSaved > 0 || y.wrong > 0 && (bits == "-m64" || y.wrong > 2) {
					t.Errorf("wrong: %v", y)
				}
				if y.unknown > 0 && (bits == "-m64" || 30*y.unknown > y.points) || y.other > 0 {
					t.Errorf("unknown too often: %v", y)
				}
			})
		}
	}
}

func BenchmarkAnalyze(b *testing.B) {
	im := openImage(b, "/lib/x86_64-linux-gnu/libc.so.6")
	var best cfi.FDE
	im.table.FDEs(func(f cfi.FDE) bool {
		if n := f.End - f.Start; n < 5000 && n > best.End-best.Start {
			best = f
		}
		return true
	})
	code := im.code(best.Start, best.End)
	a := newAnalysis(im.mode, code)
	a.find(len(code) / 2)
	defer func() { b.ReportMetric(float64(len(a.nodes)), "instructions") }()
	b.ReportAllocs()
	for b.Loop() {
		im.mode.Analyze(code, best.Start, best.Start+uint64(len(code)/2))
	}
}
