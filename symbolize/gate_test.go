//go:build unix

package symbolize_test

import (
	"debug/elf"
	"errors"
	"fmt"
	"testing"

	"github.com/gatedso/bt/internal/gate"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/symbolize"
)

// gateFile is a gate DSO that is linked at base.
func gateFile(class elf.Class, base uint64, id, prefix string) testelf.File {
	f := testelf.File{
		Class: class, Base: base, BuildID: []byte(id),
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: base + 0x400, Data: make([]byte, 0x80)}},
		DynSyms: []testelf.Symbol{
			sym(prefix+"vsyscall", base+0x400, 0x20), sym(prefix+"sigreturn", base+0x440, 0x20),
		},
	}
	if class == elf.ELFCLASS32 {
		f.Machine = elf.EM_386
	}
	return f
}

// page is data filled up to a gate's size.
func page(data []byte) []byte { return append(data, make([]byte, 0x2000-len(data))...) }

func TestGateNames(t *testing.T) {
	dir := t.TempDir()
	const at = 0x7ffff7fc1000
	file := page(gateFile(elf.ELFCLASS64, 0, "same", "__live_").Bytes())
	good := write(t, dir, "good.so", gateFile(elf.ELFCLASS64, 0, "same", "__file_").Bytes())
	other := write(t, dir, "other.so", gateFile(elf.ELFCLASS64, 0, "othr", "__other_").Bytes())
	report := []symbolize.GateSymbol{{at + 0x440, 0x20, "__report_sigreturn\x1b"}, {at + 0x400, 0x20, "__report_vsyscall"}, {at + 0x600, 0, "__report_point"}}
	const vdso = "7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0 [vdso]\n"
	const vsyscall = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n"
	const unset = "?the gate DSO is not set, or cannot be read"
	const none = "?no symbol covers it"
	for _, tt := range []struct {
		name    string
		setting string
		mem     bool // the image can be read
		known   string
		symbols []symbolize.GateSymbol
		refused bool
		err     bool
		call    string // at +0x404
		ret     string // at +0x440, behind a call at its start
		none    string // at +0x430
		time    string // in the vsyscall page
	}{
		{"live", gate.Live, true, "", nil, false, false, "__live_vsyscall+4", "__live_sigreturn+1", none, "time+7"},
		{"unset", "", true, "", nil, false, false, unset, unset, unset, unset},
		{"unset, symbols of a report", "", false, "", report, false, false, unset, unset, unset, unset},
		{"file", good, true, "", nil, false, false, "__file_vsyscall+4", "__file_sigreturn+1", none, "time+7"},
		{"file, no memory", good, false, "", nil, false, false, "__file_vsyscall+4", "__file_sigreturn+1", none, "time+7"},
		{"file, build ID from a report", good, false, "same", report, false, false, "__file_vsyscall+4", "__file_sigreturn+1", none, "time+7"},
		{"another file", other, true, "", nil, true, true, unset, unset, unset, unset},
		{"another file, build ID from a report", other, false, "same", report, true, true, unset, unset, unset, unset},
		{"no file", dir + "/none.so", true, "", nil, false, true, unset, unset, unset, unset},
		{"live, no memory", gate.Live, false, "", nil, false, false, unset, unset, unset, "time+7"},
		{"live, symbols of a report", gate.Live, false, "", report, false, false, "__report_vsyscall+4", `__report_sigreturn\x1b+1`, unset, "time+7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &source{ids: map[string][]byte{}}
			if tt.mem {
				src.mem = map[uint64][]byte{at: file}
			}
			if tt.known != "" {
				src.ids["[vdso]"] = []byte(tt.known)
			}
			space := image.NewSpace(parse(t, vdso+vsyscall), src, new(image.Cache))
			s, err := newNamer(space, symbolize.Options{Gate: gate.Setting{Value: tt.setting, From: "test"}, GateSymbols: tt.symbols})
			if (err != nil) != tt.err || errors.Is(err, gate.ErrRefused) != tt.refused {
				t.Errorf("error %v", err)
			}
			for _, prepared := range []bool{false, true} {
				for _, q := range []struct {
					addr  uint64
					exact bool
					want  string
				}{
					{at + 0x404, true, tt.call},
					{at + 0x441, false, tt.ret},
					{at + 0x430, true, tt.none},
					{0xffffffffff600407, true, tt.time},
				} {
					if prepared {
						s.Prepare([]query{{Addr: q.addr, Exact: q.exact}})
					}
					n := s.Name(q.addr, q.exact)
					if got := show(n); got != q.want {
						t.Errorf("%x: %s, want %s", q.addr, got, q.want)
					}
					if n.Module == nil || n.Module.Path[0] != '[' {
						t.Errorf("%x: in %v", q.addr, n.Module)
					}
				}
			}
			// The setting decides names only: code is found all the same.
			if p := space.Locate(at + 0x400); tt.mem && (p.Image == nil || p.Bias != at) {
				t.Errorf("the image is gone: %+v", p)
			}
		})
	}
}

// A symbol of a report without a size covers its first byte.
func TestReportSymbolBounds(t *testing.T) {
	s, _ := newSymbolizer(t, "1000-2000 r-xp 00000000 00:00 0 [vdso]\n", &source{}, symbolize.Options{Gate: live, GateSymbols: []symbolize.GateSymbol{
		{0x1100, 0x10, "a"}, {0x1200, 0, "b"}, {0x1300, ^uint64(0), "c"}, {0x1400, 4, "d"},
	}})
	for addr, want := range map[uint64]string{
		0x10ff: "?", 0x1100: "a+0", 0x110f: "a+f", 0x1110: "?", 0x1200: "b+0", 0x1201: "?", 0x13ff: "c+ff", 0x1400: "d+0",
	} {
		if got := show(s.Name(addr, true)); got != want && (want != "?" || got[0] != '?') {
			t.Errorf("%x: %s, want %s", addr, got, want)
		}
	}
}

// The 2003 form: a line that nobody can read, and a file that is linked to its
// addresses, of another machine.
func TestGateLine(t *testing.T) {
	const at = 0xa000000000020000
	f := gateFile(elf.ELFCLASS64, at, "", "__kernel_")
	f.Machine = elf.EM_IA_64
	path := write(t, t.TempDir(), "gate.so", f.Bytes())
	m := parse(t, "2000000000000000-2000000000004000 r-xp 00000000 08:01 11 /bin/prog\na000000000020000-a000000000024000 ---p 00000000 00:00 0          "+path+"\n")
	space := image.NewSpace(m, &source{}, new(image.Cache))
	s, err := newNamer(space, symbolize.Options{Gate: gate.Sources{Procfs: t.TempDir()}.Decide(m)})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[uint64]string{
		at + 0x41f: "__kernel_vsyscall+1f", at + 0x420: "?no symbol covers it", at + 0x441: "__kernel_sigreturn+1",
		at + 0x4000: "?nothing is mapped there", at: "?no symbol covers it",
	} {
		if got := show(s.Name(addr, true)); got != want {
			t.Errorf("%x: %s, want %s", addr, got, want)
		}
	}
	if p := space.Locate(at + 0x400); p.Image == nil || p.Bias != 0 {
		t.Errorf("the file does not stand for the memory: %+v", p)
	}
}

// A 32-bit gate that is linked high, as those of 2.6 kernels are, and mapped
// elsewhere.
func TestGateLinkedHigh(t *testing.T) {
	const linked, at = 0xffffe000, 0x0800e000
	file := page(gateFile(elf.ELFCLASS32, linked, "same", "__kernel_").Bytes())
	path := write(t, t.TempDir(), "gate.so", file)
	for _, setting := range []string{gate.Live, path} {
		for _, start := range []uint64{at, linked} {
			src := &source{mem: map[uint64][]byte{start: file}}
			s, _ := newSymbolizer(t, fmt.Sprintf("%x-%x r-xp 00000000 00:00 0 [vdso]\n", start, start+0x1000), src,
				symbolize.Options{Gate: gate.Setting{Value: setting}})
			if got := show(s.Name(start+0x444, true)); got != "__kernel_sigreturn+4" {
				t.Errorf("%.4s at %x: %s", setting, start, got)
			}
			if list := s.GateSymbols(); len(list) != 2 || list[1].Addr != start+0x440 || list[1].Name != "__kernel_sigreturn" || list[1].Size != 0x20 {
				t.Errorf("%.4s at %x: %+v", setting, start, list)
			}
		}
	}
}

// What GateSymbols writes into a report names the gate elsewhere exactly as it
// was named on the spot: this process's own vDSO, at every address.
func TestReportNamesLikeLive(t *testing.T) {
	own, src := ownVDSO(t)
	space := image.NewSpace(own, src, new(image.Cache))
	here, err := newNamer(space, symbolize.Options{Gate: live})
	if err != nil {
		t.Fatal(err)
	}
	list := here.GateSymbols()
	if len(list) == 0 {
		t.Fatal("the vDSO has no symbols")
	}
	elsewhere, err := newNamer(image.NewSpace(own, &source{}, new(image.Cache)), symbolize.Options{Gate: live, GateSymbols: list})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, e := range own.Gates() {
		for addr := e.Start; addr < e.End; addr++ {
			a, b := here.Name(addr, true), elsewhere.Name(addr, true)
			if a.Symbol != b.Symbol || a.Offset != b.Offset {
				t.Fatalf("%x: %s here, %s elsewhere", addr, show(a), show(b))
			}
			if a.Symbol != "" {
				named++
			}
		}
	}
	if named < 100 {
		t.Errorf("%d bytes have a name", named)
	}
}
