package gopcln

import (
	"bufio"
	"bytes"
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"github.com/gatedso/bt/internal/arch/x86"
	"github.com/gatedso/bt/internal/testenv"
)

// Every function's start, end and name is that of debug/gosym.
func TestAgainstGosym(t *testing.T) {
	programs(t, func(t *testing.T, p *program) {
		ref, err := gosym.NewTable(nil, gosym.NewLineTable(p.data, p.table.Text()))
		if err != nil {
			t.Fatal(err)
		}
		if len(ref.Funcs) != p.table.Len() {
			t.Fatalf("%d functions, gosym has %d", p.table.Len(), len(ref.Funcs))
		}
		for i, r := range ref.Funcs {
			f, ok := p.table.At(i)
			if !ok || f.Entry != r.Entry || f.End != r.End || f.Name() != r.Name {
				t.Fatalf("function %d: %#x-%#x %s, gosym has %#x-%#x %s", i, f.Entry, f.End, f.Name(), r.Entry, r.End, r.Name)
			}
			for _, pc := range []uint64{r.Entry, (r.Entry + r.End) / 2, r.End - 1} {
				if g, ok := p.table.Func(pc); r.Entry < r.End && (!ok || g.Entry != r.Entry) {
					t.Fatalf("%#x is not found in %s", pc, r.Name)
				}
			}
		}
		start, end := p.table.Range()
		for _, pc := range []uint64{0, start - 1, end, ^uint64(0)} {
			if f, ok := p.table.Func(pc); ok {
				t.Errorf("%#x is found in %s", pc, f.Name())
			}
		}
	})
}

// Names and sizes are those of the symbol table, but for three differences
// that NameBytes documents.
func TestAgainstSymbols(t *testing.T) {
	programs(t, func(t *testing.T, p *program) {
		seen := 0
		for _, s := range p.syms {
			if s.Section == elf.SHN_UNDEF || elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Size == 0 {
				continue
			}
			f, ok := p.table.Func(s.Value)
			if !ok || f.Entry != s.Value {
				continue // C, or a label
			}
			name, _, generic := strings.Cut(s.Name, "[")
			name = strings.TrimSuffix(name, ".abi0")
			got, _, _ := strings.Cut(f.Name(), "[")
			got = strings.ReplaceAll(got, "·", ".") // as cmd/link does for ELF
			if !generic && got != name {
				t.Errorf("%#x: %s, symbol %s", s.Value, f.Name(), s.Name)
			}
			if end := f.CodeEnd(); end != s.Value+s.Size && end != f.End {
				t.Errorf("%s: code ends at %#x, symbol at %#x", s.Name, end, s.Value+s.Size)
			}
			seen++
		}
		if len(p.syms) > 0 && seen < 100 {
			t.Errorf("only %d symbols compared", seen)
		}
	})
}

// SPDelta is what the linker writes into .debug_frame, in each row that
// readelf prints.
func TestAgainstDebugFrame(t *testing.T) {
	programs(t, func(t *testing.T, p *program) {
		if p.elf.Section(".debug_frame") == nil && p.elf.Section(".zdebug_frame") == nil {
			t.Skip("no .debug_frame")
		}
		readelf := testenv.Need(t, "readelf", "binutils")
		out, err := exec.Command(readelf, "--debug-dump=frames-interp", "--wide", p.path).Output()
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		sc := bufio.NewScanner(bytes.NewReader(out))
		debugFrame := false
		for sc.Scan() {
			if line := sc.Text(); strings.HasPrefix(line, "Contents of") {
				debugFrame = strings.Contains(line, "debug_frame")
			}
			var pc uint64
			var cfa string
			if n, _ := fmt.Sscanf(sc.Text(), "%x %s", &pc, &cfa); n != 2 || !debugFrame {
				continue
			}
			_, num, ok := strings.Cut(cfa, "+")
			f, isGo := p.table.Func(pc)
			var want int64
			if _, err := fmt.Sscan(num, &want); !ok || !isGo || err != nil || pc < f.Entry || !strings.Contains(cfa, "sp+") {
				continue
			}
			if got, ok := f.SPDelta(pc); !ok || got+int64(p.table.PtrSize()) != want {
				t.Errorf("%s+%#x: delta %d, %v; .debug_frame says %s", f.Name(), pc-f.Entry, got, ok, cfa)
			}
			rows++
		}
		if rows < 1000 {
			t.Errorf("only %d rows compared", rows)
		}
	})
}

// SPDelta follows the instructions: what push, pop, sub and add do to SP is
// what the deltas of two consecutive instructions differ by. .debug_frame is
// made from the same table; this is not.
func TestAgainstInstructions(t *testing.T) {
	programs(t, func(t *testing.T, p *program) {
		step := 1
		if p.table.Len() > 5000 {
			step = 9
		}
		checked := 0
		for i := 0; i < p.table.Len(); i += step {
			f, ok := p.table.At(i)
			if !ok || f.Flags()&SPWrite != 0 || f.t.version <= go116 && f.Kind() != Normal || f.Kind() == Clone {
				continue // the table does not know where SP is
			}
			if d, ok := f.SPDelta(f.Entry); ok && d != 0 {
				t.Errorf("%s starts with delta %d", f.Name(), d)
			}
			checked += checkDeltas(t, p, f)
		}
		if checked < 10000 {
			t.Errorf("only %d instructions checked", checked)
		}
	})
}

// checkDeltas returns how many instructions of f it has compared.
func checkDeltas(t *testing.T, p *program, f Func) (n int) {
	ptr := int64(p.table.PtrSize())
	code := p.text[f.Entry-p.textAddr:]
	for pc, end := f.Entry, f.CodeEnd(); pc < end; {
		if bytes.HasPrefix(code[pc-f.Entry:], []byte{0xc5, 0xf8, 0x77}) {
			pc += 3 // vzeroupper: x86asm takes the next byte for a part of it
			continue
		}
		inst, err := x86asm.Decode(code[pc-f.Entry:], int(ptr*8))
		if err != nil {
			return n // an instruction that x86asm does not know
		}
		next := pc + uint64(inst.Len)
		before, ok := f.SPDelta(pc)
		after, ok2 := f.SPDelta(next)
		pc = next
		if !ok || !ok2 {
			continue
		}
		var effect int64
		sp := inst.Args[0] == x86asm.RSP || inst.Args[0] == x86asm.ESP
		imm, isImm := inst.Args[1].(x86asm.Imm)
		switch inst.Op {
		case x86asm.RET, x86asm.JMP, x86asm.UD2, x86asm.INT, x86asm.HLT:
			continue // what follows is reached from elsewhere
		case x86asm.CALL, x86asm.NOP:
			// Behind a call that does not return (the compiler puts a nop
			// there) comes the call of morestack, which the function's
			// start jumps to.
			if after == 0 {
				continue
			}
		case x86asm.PUSH, x86asm.PUSHF, x86asm.PUSHFQ, x86asm.PUSHFD:
			effect = ptr
		case x86asm.POP, x86asm.POPF, x86asm.POPFQ, x86asm.POPFD:
			effect = -ptr
		case x86asm.PUSHAD:
			effect = 8 * ptr
		case x86asm.POPAD:
			effect = -8 * ptr
		case x86asm.SUB:
			if sp && isImm {
				effect = int64(imm)
			}
		case x86asm.ADD:
			if sp && isImm {
				effect = -int64(imm)
			}
		case x86asm.LEA:
			if mem, ok := inst.Args[1].(x86asm.Mem); ok && sp {
				if mem.Base != inst.Args[0] {
					return n // jmpdefer, until Go 1.17
				}
				effect = -mem.Disp
			}
		}
		if after != before+effect {
			t.Errorf("%s+%#x: %v changes SP by %d, the table has %d before and %d after", f.Name(), pc-uint64(inst.Len)-f.Entry, inst, -effect, before, after)
		}
		n++
	}
	return n
}

func TestLocateText(t *testing.T) {
	programs(t, func(t *testing.T, p *program) {
		got, ok := LocateText(p.data, p.text, p.textAddr, x86.GoExit)
		want := p.symbol
		if want == 0 {
			want = p.textAddr // stripped here are only programs without C
		}
		if p.table.version < go118 {
			want = 0
		}
		if got != want || ok != (want != 0) {
			t.Errorf("LocateText = %#x, %v; want %#x", got, ok, want)
		}
		if _, ok := LocateText(p.data, p.text[:len(p.text)/100], p.textAddr, x86.GoExit); ok {
			t.Error("found where it is not")
		}
	})
}

func TestFind(t *testing.T) {
	programs(t, func(t *testing.T, p *program) {
		pad := append(bytes.Repeat([]byte{0xff, 0xff, 0xff, 0, 0, 1, 8}, 50), 0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8, 9)
		off, ok := Find(append(pad, p.data...), binary.LittleEndian)
		if !ok || off != len(pad) {
			t.Errorf("Find = %d, %v; want %d", off, ok, len(pad))
		}
		if off, ok := Find(p.data[8:], binary.LittleEndian); ok {
			t.Errorf("a table is found at %d of its own content", off)
		}
	})
}

func TestNoText(t *testing.T) {
	if !testenv.Full() {
		t.Skip("only with BT_FULL=1: compiles the runtime as PIE")
	}
	p := load(t, build(t, source, nil, "-buildmode=pie"))
	if _, err := New(p.data, 0); err != ErrNoText {
		t.Errorf("New without an address: %v", err)
	}
}

func TestKind(t *testing.T) {
	both := map[string]Kind{
		"runtime.goexit": Top, "runtime.mstart": Top, "runtime.rt0_go": Top, "runtime.clone": Clone,
		"runtime.sigtramp": Sigtramp, "runtime.sigreturn__sigaction": Sigreturn, "runtime.sigpanic": Injected,
		"runtime.asyncPreempt": Injected, "runtime.systemstack": Switch, "runtime.asmcgocall": Cgo,
		"runtime.sigfwd": Switch, "runtime.nanotime1": VDSO, "runtime.mcall": Leave, "runtime.morestack": More,
		"gogo": Leave, "runtime.main": Normal, "main.main": Normal,
		"runtime.systemstack_switch": Normal, "runtime.mstart0": Normal,
	}
	for _, tt := range []struct {
		rt0 string
		env []string
	}{
		{"_rt0_amd64", []string{"GOARCH=amd64"}},
		{"_rt0_386", []string{"GOARCH=386", "CGO_ENABLED=0"}},
	} {
		p := load(t, build(t, source, tt.env, "-ldflags=-s -w"))
		want := map[string]Kind{tt.rt0: Top, tt.rt0 + "_linux": Top}
		for name, kind := range both {
			want[name] = kind
		}
		for i := range p.table.Len() {
			f, _ := p.table.At(i)
			kind, listed := want[f.Name()]
			if listed && f.Kind() != kind {
				t.Errorf("%v: %s is %v, want %v", tt.env, f.Name(), f.Kind(), kind)
			}
			if !listed && f.Kind() == Top {
				t.Errorf("%v: %s is outermost", tt.env, f.Name())
			}
		}
		for name := range want {
			if !hasFunc(p.table, name) {
				t.Errorf("%v: no %s", tt.env, name)
			}
		}
	}
}

func hasFunc(t *Table, name string) bool {
	for i := range t.Len() {
		if f, ok := t.At(i); ok && f.Name() == name {
			return true
		}
	}
	return false
}

func TestAllocs(t *testing.T) {
	p := load(t, build(t, source, nil))
	pc := p.textAddr + uint64(len(p.text)/2)
	if n := testing.AllocsPerRun(100, func() {
		f, ok := p.table.Func(pc)
		if !ok {
			t.Fatal("not found")
		}
		f.SPDelta(pc)
		f.NameBytes()
		f.Kind()
		f.CodeEnd()
	}); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}

func BenchmarkFunc(b *testing.B) {
	p := load(b, testenv.Need(b, "go", "golang-go"))
	i := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		i += 104729 * 64
		p.table.Func(p.textAddr + i%uint64(len(p.text)))
	}
}

func BenchmarkSPDelta(b *testing.B) {
	p := load(b, testenv.Need(b, "go", "golang-go"))
	i := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		i += 104729 * 64
		pc := p.textAddr + i%uint64(len(p.text))
		if f, ok := p.table.Func(pc); ok {
			f.SPDelta(pc)
		}
	}
}
