package image_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/internal/unwind"
	"github.com/gatedso/bt/internal/unwind/cfi"
)

const goSource = `package main

//go:noinline
func leaf(list []int, i int) int { return list[i] }

//go:noinline
func sum(list []int) (n int) {
	defer func() { recover() }()
	for i := range list {
		n += leaf(list, i)
	}
	return n
}

func main() {
	done := make(chan int)
	go func() { done <- sum([]int{1, 2, 3}) }()
	println(<-done)
}
`

var goPrograms sync.Map // of func() (string, error), by the flags

var goDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bt-module")
	if err != nil {
		panic(err)
	}
	goDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// goProgram builds the program for a CPU, once, and opens it.
func goProgram(t *testing.T, cpu string, args ...string) *image.Image {
	t.Helper()
	tool := testenv.Need(t, "go", "golang-go")
	name := cpu + strings.Join(args, "")
	once, _ := goPrograms.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp(goDir, "")
		if err != nil {
			return "", err
		}
		src := filepath.Join(dir, "main.go")
		if err := os.WriteFile(src, []byte(goSource), 0o644); err != nil {
			return "", err
		}
		out := filepath.Join(dir, "prog")
		cmd := exec.Command(tool, append(append([]string{"build", "-o", out}, args...), src)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOARCH="+cpu)
		if b, err := cmd.CombinedOutput(); err != nil {
			return string(b), err
		}
		return out, nil
	}))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, path)
	}
	im, err := elfsym.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return image.NewImage(im)
}

// goFuncs lists the functions of an unstripped program.
func goFuncs(t *testing.T, im *image.Image) map[string]elf.Symbol {
	t.Helper()
	f, err := elf.NewFile(strings.NewReader(string(im.Data())))
	if err != nil {
		t.Fatal(err)
	}
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	funcs := make(map[string]elf.Symbol)
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Size > 0 {
			funcs[s.Name] = s
		}
	}
	return funcs
}

// Where Go's tables know more than its .debug_frame: the outermost functions,
// those that switch stacks, and the signal trampoline.
func TestGoRows(t *testing.T) {
	full := goProgram(t, "amd64")
	funcs := goFuncs(t, full)
	stripped := goProgram(t, "amd64", "-ldflags=-s -w")
	rsp, rip, rbp := uint8(7), uint8(16), uint8(6)
	undefined := func(row *cfi.Row) bool { return row.Regs[rip].Kind == cfi.Undefined }
	byFP := func(row *cfi.Row) bool {
		return row.CFA.Reg == rbp && row.CFA.N == 16 && row.Regs[rbp] == cfi.Rule{Kind: cfi.Offset, N: -16}
	}
	bySP := func(row *cfi.Row) bool {
		return row.CFA.Reg == rsp && row.CFA.N >= 8 && row.Regs[rip] == cfi.Rule{Kind: cfi.Offset, N: -8}
	}
	for _, im := range []*image.Image{full, stripped} {
		for _, tt := range []struct {
			name  string
			off   uint64
			exact bool
			how   unwind.How
			ok    func(*cfi.Row) bool // nil: there is no row
		}{
			{"main.main", 0, true, unwind.HowGo, bySP},
			{"main.main", 30, false, unwind.HowGo, bySP},
			{"runtime.goexit", 1, false, unwind.HowGo, undefined},
			{"runtime.goexit.abi0", 1, false, unwind.HowGo, undefined},
			{"runtime.mstart.abi0", 5, false, unwind.HowGo, undefined},
			{"runtime.rt0_go.abi0", 40, false, unwind.HowGo, undefined},
			{"runtime.mcall", 60, false, unwind.HowGoLeft, undefined},
			{"runtime.morestack.abi0", 120, false, unwind.HowGoGrows, undefined},
			{"runtime.asmcgocall.abi0", 100, false, unwind.HowGoCgo, bySP},
			{"runtime.cgocallback.abi0", 100, false, unwind.HowGoCallback, bySP},
			{"crosscall2", 60, false, unwind.HowGoEntry, nil},
			{"runtime.systemstack.abi0", 70, false, unwind.HowGoSwitch, byFP},
			{"runtime.systemstack.abi0", 0, true, unwind.HowGo, bySP},
			{"runtime.clone.abi0", 0, true, unwind.HowGo, bySP},
			{"runtime.clone.abi0", 50, false, unwind.HowGo, undefined},
			{"runtime.asyncPreempt.abi0", 0, true, unwind.HowInjected, bySP},
			{"runtime.sigreturn__sigaction.abi0", 0, true, 0, nil},
			{"runtime.sigreturn__sigaction.abi0", 7, true, 0, nil},
		} {
			sym, ok := funcs[tt.name]
			if !ok {
				continue // of another version of Go
			}
			row, how, err := im.Row(sym.Value+tt.off, tt.exact)
			if tt.ok == nil {
				if row != nil {
					t.Errorf("%s: %s+%d: %s row %+v, want none", im.Name, tt.name, tt.off, how, row)
				}
				continue
			}
			if row == nil || how != tt.how || row.RA != rip || !tt.ok(row) {
				t.Errorf("%s: %s+%d: %s row %+v, %v", im.Name, tt.name, tt.off, how, row, err)
				continue
			}
			if row.Func != sym.Value || row.FuncEnd < sym.Value+sym.Size || row.Start > sym.Value+tt.off || row.End <= sym.Value+tt.off {
				t.Errorf("%s+%d: row of [%x, %x), func [%x, %x)", tt.name, tt.off, row.Start, row.End, row.Func, row.FuncEnd)
			}
		}
	}
	for _, name := range []string{"main.main", "main.sum", "runtime.mcall", "runtime.systemstack.abi0"} {
		if _, ok := funcs[name]; !ok {
			t.Errorf("no function %s", name)
		}
	}
}

// Go's table and Go's .debug_frame agree on where the CFA is, but for the
// functions of which the former knows more.
func TestGoRowsLikeDebugFrame(t *testing.T) {
	for _, cpu := range []string{"amd64", "386", "arm64"} {
		im := goProgram(t, cpu)
		step := uint64(3)
		if cpu == "arm64" {
			step = 4
		}
		s, ok := im.Section(".debug_frame")
		if !ok {
			t.Fatal("no .debug_frame")
		}
		table := cfi.New(cfi.Config{DebugFrame: cfi.Section{Addr: s.Addr, Data: s.Data}, PtrSize: im.PtrSize(), Order: im.Order})
		a := im.Arch()
		same, differ := 0, map[string]int{}
		for name, sym := range goFuncs(t, im) {
			for pc := sym.Value; pc < sym.Value+sym.Size; pc += step {
				row, how, _ := im.Row(pc, true)
				if row == nil || how != unwind.HowGo || row.CFA.Reg != uint8(a.SP) || row.Regs[row.RA].Kind == cfi.Undefined {
					continue
				}
				var want cfi.Row
				if err := table.Row(pc, &want); err != nil || want.Regs[want.RA].Kind == cfi.Undefined {
					continue // sigtramp is outermost there
				}
				lr, bySlot := a.Entry.Return, row.Regs[row.RA].Kind == cfi.Offset
				if want.CFA != row.CFA || lr.InReg && bySlot && want.Regs[lr.Reg] != row.Regs[row.RA] ||
					lr.InReg && !bySlot && want.Regs[lr.Reg].Kind != cfi.SameValue {
					differ[name]++
					continue
				}
				same++
			}
		}
		if same < 10_000 || len(differ) > 0 {
			t.Errorf("%s: %d rows are the same; not those of %v", cpu, same, differ)
		}
	}
}

// Stripped, position-independent and 32-bit programs are named and unwound by
// the same table.
func TestGoNames(t *testing.T) {
	for _, tt := range []struct {
		cpu  string
		args []string
	}{
		{"amd64", []string{"-ldflags=-s -w"}},
		{"amd64", []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"386", []string{"-ldflags=-s -w"}},
	} {
		t.Run(tt.cpu+strings.Join(tt.args, ""), func(t *testing.T) {
			im := goProgram(t, tt.cpu, tt.args...)
			if im.Arch() == nil || im.Arch().PtrSize != im.PtrSize() {
				t.Errorf("CPU %v, pointers of %d bytes", im.Arch(), im.PtrSize())
			}
			found := map[string]bool{}
			for _, seg := range im.Segments() {
				if seg.Flags&elf.PF_X == 0 {
					continue
				}
				for pc := seg.Vaddr; pc < seg.Vaddr+seg.Filesz; pc += 16 {
					name, start, ok := im.GoFunc(pc)
					if !ok {
						continue
					}
					found[name] = true
					if start > pc {
						t.Fatalf("%s starts at %x, behind %x", name, start, pc)
					}
					if row, how, err := im.Row(pc, true); row == nil && !strings.Contains(name, "sigreturn") && !strings.HasPrefix(name, "go:") {
						t.Errorf("no row for %s at %x: %s, %v", name, pc, how, err)
					}
				}
			}
			for _, name := range []string{"main.main", "main.sum", "main.leaf", "runtime.goexit", "runtime.main"} {
				if !found[name] {
					t.Errorf("no function %s among %d", name, len(found))
				}
			}
		})
	}
}

// The entry point is outermost, also where no table covers it.
func TestEntryPoint(t *testing.T) {
	f := libOf(elf.ELFCLASS64, progAt, "prog")
	f.Entry = progAt + 0x1040 // "second", of 64 bytes
	im := openImage(t, f)
	for off, want := range map[uint64]bool{0x1040: true, 0x1041: true, 0x107f: true, 0x1080: false, 0x103f: false, 0x1000: false} {
		row, how, err := im.Row(progAt+off, true)
		if (row != nil) != want {
			t.Errorf("+%x: row %v, %v", off, row, err)
			continue
		}
		if row != nil && (how != unwind.HowCFI || row.Regs[row.RA].Kind != cfi.Undefined || arch.Reg(row.RA) != im.Arch().PC) {
			t.Errorf("+%x: %s row %+v", off, how, row)
		}
	}
	// Of a CPU that is not known nothing can be said.
	f.Machine = elf.EM_IA_64
	if row, _, _ := openImage(t, f).Row(progAt+0x1040, true); row != nil {
		t.Errorf("a row for an ia64 program: %+v", row)
	}
}

// A C linker may merge the table's section into another one: of what it has left
// of a Go program the read-only data is looked through.
func TestGoTableInAnotherSection(t *testing.T) {
	for name, mapped := range map[string]func([]byte) []byte{
		"merged": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("\x00.gopclntab\x00"), []byte("\x00.data.rel0\x00"))
		},
		"no program of Go's": func(b []byte) []byte {
			for _, s := range []string{".gopclntab", ".go.buildinfo", ".note.go.buildid"} {
				b = bytes.ReplaceAll(b, []byte(s+"\x00"), []byte(strings.Repeat("x", len(s))+"\x00"))
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			full := goProgram(t, "amd64")
			main := goFuncs(t, full)["main.main"]
			path := filepath.Join(t.TempDir(), "prog")
			if err := os.WriteFile(path, mapped(bytes.Clone(full.Data())), 0o644); err != nil {
				t.Fatal(err)
			}
			im, err := elfsym.OpenPath(path)
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			got, _, ok := image.NewImage(im).GoFunc(main.Value + 1)
			if want := name == "merged"; ok != want || want && got != "main.main" {
				t.Errorf("GoFunc: %q %v", got, ok)
			}
		})
	}
}

// The frames of a CPU whose calls leave the return address in a register: it is at the
// bottom of the frame, once there is one, and the caller's frame pointer below it.
func TestGoLinkRegister(t *testing.T) {
	im := goProgram(t, "arm64")
	funcs := goFuncs(t, im)
	stripped := goProgram(t, "arm64", "-ldflags=-s -w")
	if name, start, ok := stripped.GoFunc(funcs["main.main"].Value + 8); name != "main.main" || start != funcs["main.main"].Value {
		t.Errorf("stripped: %q, %#x, %v", name, start, ok)
	}
	const fp, lr, sp, pc = 29, 30, 31, 32
	inLR := cfi.Rule{Kind: cfi.Register, Reg: lr}
	off := func(n int64) cfi.Rule { return cfi.Rule{Kind: cfi.Offset, N: n} }
	lost := cfi.Rule{Kind: cfi.Undefined}
	framed := func(reg uint8, size, toCFA int64) *cfi.Row {
		row := &cfi.Row{CFA: cfi.Rule{Kind: cfi.Register, Reg: reg, N: toCFA}}
		row.Regs[pc], row.Regs[fp], row.Regs[lr] = off(-size), off(-size-8), lost
		return row
	}
	entered := func(size int64, lr cfi.Rule) *cfi.Row {
		row := &cfi.Row{CFA: cfi.Rule{Kind: cfi.Register, Reg: sp, N: size}}
		row.Regs[pc], row.Regs[30] = inLR, lr
		return row
	}
	none := &cfi.Row{}
	unframed := framed(sp, 16, 16)
	unframed.Regs[fp] = cfi.Rule{}
	for _, tt := range []struct {
		name  string
		off   uint64
		exact bool
		how   unwind.How
		want  *cfi.Row // nil: there is no row; none: it is outermost
	}{
		{"main.main", 0, true, unwind.HowGo, entered(0, lost)},
		{"runtime.goexit.abi0", 4, false, unwind.HowGo, none},
		{"runtime.mstart.abi0", 8, false, unwind.HowGo, none},
		{"runtime.mcall", 60, false, unwind.HowGoLeft, none},
		{"runtime.morestack.abi0", 120, false, unwind.HowGoGrows, none},
		{"runtime.systemstack.abi0", 0, true, unwind.HowGo, entered(0, lost)},
		{"runtime.systemstack.abi0", 4, true, unwind.HowGo, unframed},
		{"runtime.systemstack.abi0", 16, true, unwind.HowGoSwitch, framed(fp, 16, 24)},
		{"runtime.systemstack.abi0", 80, false, unwind.HowGoSwitch, framed(fp, 16, 24)},
		{"runtime.asmcgocall.abi0", 80, false, unwind.HowGoCgo, framed(sp, 16, 16)},
		{"runtime.asyncPreempt.abi0", 0, true, unwind.HowInjected, entered(16, off(-16))},
		{"crosscall2", 60, false, unwind.HowGoEntry, nil},
	} {
		sym, ok := funcs[tt.name]
		if !ok {
			continue // of another version of Go, or of cgo
		}
		for _, im := range []*image.Image{im, stripped} {
			row, how, _ := im.Row(sym.Value+tt.off, tt.exact)
			switch {
			case row == nil || tt.want == nil:
				if row != nil || tt.want != nil {
					t.Errorf("%s+%d: row %+v, want %+v", tt.name, tt.off, row, tt.want)
				}
			case how != tt.how || row.RA != pc:
				t.Errorf("%s+%d: %v, return address in column %d", tt.name, tt.off, how, row.RA)
			case tt.want == none:
				if row.Regs[pc].Kind != cfi.Undefined {
					t.Errorf("%s+%d: not outermost: %+v", tt.name, tt.off, row.Regs[pc])
				}
			case row.CFA != tt.want.CFA || row.Regs != tt.want.Regs:
				t.Errorf("%s+%d:\n%+v %+v %+v %+v, want\n%+v %+v %+v %+v", tt.name, tt.off, row.CFA, row.Regs[pc], row.Regs[fp], row.Regs[lr],
					tt.want.CFA, tt.want.Regs[pc], tt.want.Regs[fp], tt.want.Regs[lr])
			}
		}
	}
}
