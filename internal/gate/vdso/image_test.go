package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

// gateFile is a gate with a build ID and, in its one segment, a symbol.
func gateFile(class elf.Class, machine elf.Machine, id string) testelf.File {
	return testelf.File{
		Class: class, Machine: machine, BuildID: []byte(id),
		Sections: []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x800, Data: bytes.Repeat([]byte{0xc3}, 0x40)}},
		DynSyms:  []testelf.Symbol{{Name: "__vdso_time", Value: 0x800, Size: 0x20, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"}},
	}
}

func page(b []byte) []byte {
	return append(bytes.Clone(b), make([]byte, (len(b)+0xfff)&^0xfff-len(b))...)
}

// process is one made by hand.
type process struct {
	maps string
	addr uint64
	mem  []byte
}

func (p *process) Maps() ([]byte, error) { return []byte(p.maps), nil }

func (p *process) ReadMemory(addr uint64, b []byte) (int, error) {
	if d := addr - p.addr; d < uint64(len(p.mem)) {
		return copy(b, p.mem[d:]), nil
	}
	return 0, errors.New("no memory there")
}

func TestFromProcess(t *testing.T) {
	const line = "7fff00000000-7fff00001000 r-xp 00000000 00:00 0 [vdso]\n"
	file := gateFile(elf.ELFCLASS64, elf.EM_X86_64, "cafe").Bytes()
	im, err := FromProcess(&process{line, 0x7fff00000000, page(file)}, "it")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(im.File, file) {
		t.Errorf("%d bytes, want the %d of the file", len(im.File), len(file))
	}
	if im.ABI() != arch.ABI64 || string(im.BuildID()) != "cafe" || im.Start != 0x7fff00000000 || im.End != 0x7fff00001000 {
		t.Errorf("%+v, ABI %s", im, im.ABI())
	}
	for _, tt := range []struct {
		name string
		p    process
		want string
	}{
		{"none", process{maps: "00400000-00401000 r-xp 00000000 00:00 0 \n"}, "has no [vdso]"},
		{"unreadable", process{maps: line}, "reading its [vdso]: no memory there"},
		{"half", process{line, 0x7fff00000000, page(file)[:0x800]}, "reading its [vdso]: unexpected EOF"},
		{"no ELF", process{line, 0x7fff00000000, make([]byte, 0x1000)}, "not an ELF file"},
		{"huge", process{maps: "7fff00000000-8fff00001000 r-xp 00000000 00:00 0 [vdso]\n"}, "too large"},
		{"no maps", process{maps: "what?\n"}, "maps line 1"},
	} {
		if _, err := FromProcess(&tt.p, "it"); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "it") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestABI(t *testing.T) {
	for _, tt := range []struct {
		class   elf.Class
		machine elf.Machine
		want    ABI
	}{
		{elf.ELFCLASS64, elf.EM_X86_64, arch.ABI64}, {elf.ELFCLASS32, elf.EM_386, arch.ABI32}, {elf.ELFCLASS32, elf.EM_X86_64, arch.ABIX32},
		{elf.ELFCLASS64, elf.EM_AARCH64, arch.ABI64}, {elf.ELFCLASS32, elf.EM_ARM, arch.ABI32},
	} {
		im, err := New(page(gateFile(tt.class, tt.machine, "x").Bytes()), "it")
		if err != nil {
			t.Fatal(err)
		}
		if got := im.ABI(); got != tt.want {
			t.Errorf("%v %v: %s, want %s", tt.class, tt.machine, got, tt.want)
		}
	}
}

// Section headers that are not mapped leave no trace: readers would look for
// them behind the file's end.
func TestSectionHeadersNotMapped(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS64, elf.ELFCLASS32} {
		for _, order := range []testelf.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			f := gateFile(class, elf.EM_X86_64, "cafe")
			f.Order = order
			file := page(f.Bytes())
			// e_shoff
			if class == elf.ELFCLASS64 {
				order.PutUint64(file[0x28:], 0x10000)
			} else {
				order.PutUint32(file[0x20:], 0x10000)
			}
			im, err := New(bytes.Clone(file), "it")
			if err != nil {
				t.Fatal(err)
			}
			if len(im.File) != len(file) {
				t.Errorf("%v: %d bytes, want all %d", class, len(im.File), len(file))
			}
			if err := Complete(im.File); err != nil {
				t.Errorf("%v: %v", class, err)
			}
			if e, err := elf.NewFile(bytes.NewReader(im.File)); err != nil || len(e.Sections) != 0 {
				t.Errorf("%v: %v, sections %v", class, err, e)
			}
		}
	}
}

func TestComplete(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS64, elf.ELFCLASS32} {
		f := gateFile(class, elf.EM_386, "cafe")
		whole := f.Bytes()
		if err := Complete(whole); err != nil {
			t.Fatal(err)
		}
		for n := range len(whole) {
			if Complete(whole[:n]) == nil {
				t.Errorf("%v: %d bytes of %d pass for the whole", class, n, len(whole))
			}
		}
		f.NoSectionHeaders = true
		bare := f.Bytes()
		if err := Complete(bare); err != nil {
			t.Error(err)
		}
		if err := Complete(bare[:len(bare)-1]); !errors.Is(err, ErrTruncated) {
			t.Errorf("%v without sections, one byte short: %v", class, err)
		}
	}
}

// The running kernel's own image, by every reader there is.
func TestOwn(t *testing.T) {
	im, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	if err := Complete(im.File); err != nil {
		t.Error(err)
	}
	f, err := elf.NewFile(bytes.NewReader(im.File))
	if err != nil {
		t.Fatal(err)
	}
	if syms, err := f.DynamicSymbols(); err != nil || len(syms) == 0 {
		t.Errorf("%d symbols, %v", len(syms), err)
	}
	info := im.Info()
	if !strings.HasPrefix(info.Soname, "linux-") || len(info.Symbols) < 2 || info.Symbols[0].Version == "" {
		t.Errorf("%+v", info)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(release), info.Kernel) || info.Kernel == "" {
		t.Errorf("kernel %q, the running one is %q", info.Kernel, release)
	}
	path := filepath.Join(t.TempDir(), "own.so")
	if err := os.WriteFile(path, im.File, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := ReadFile(path)
	if err != nil || !SameBuild(im, again) {
		t.Errorf("read again: %v", err)
	}
	cmd := exec.Command(testenv.Need(t, "readelf", "binutils"), "-aW", path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Errorf("readelf: %v\n%s", err, stderr.String())
	}
}

// Each ABI's image is of that ABI; or the kernel does not run such programs.
func TestForABI(t *testing.T) {
	got := 0
	for _, abi := range ABIs() {
		im, err := ForABI(abi)
		if errors.Is(err, ErrNoABI) {
			t.Log(err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", abi, err)
			continue
		}
		got++
		if im.ABI() != abi || im.BuildID() == nil || !Native(im.Machine) {
			t.Errorf("%s: image of %s for %s", abi, im.ABI(), im.Machine)
		}
	}
	if got == 0 {
		t.Error("no image at all")
	}
	if Native(elf.EM_IA_64) {
		t.Error("this is no Itanium")
	}
}

// The helper programs as others read them. On a machine that runs one, it says
// that it is up, and ends with its standard input.
func TestHelpers(t *testing.T) {
	for _, p := range arch.GatePrograms() {
		what, file := fmt.Sprintf("%s on %s", p.ABI, p.Host), helper(p).file()
		f, err := elf.NewFile(bytes.NewReader(file))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if f.Machine != p.Machine || f.Class != p.Class || f.Type != elf.ET_EXEC || len(f.Progs) != 2 {
			t.Errorf("%s: %+v", what, f.FileHeader)
		}
		load := f.Progs[0]
		if f.Entry < load.Vaddr || f.Entry-load.Vaddr+uint64(len(p.Code)) != load.Filesz || load.Filesz != uint64(len(file)) {
			t.Errorf("%s: entry %x, segment %+v", what, f.Entry, load)
		}
		if p.Host != runtime.GOARCH {
			continue
		}
		path := filepath.Join(t.TempDir(), "helper")
		if err := os.WriteFile(path, file, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path)
		out, err := cmd.Output() // standard input is /dev/null
		if err == nil && len(out) != 1 {
			t.Errorf("%s: it wrote %q", what, out)
		}
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestKernelNote(t *testing.T) {
	note := func(name string, typ uint32, desc ...byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, uint32(len(name)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(desc)))
		b = binary.LittleEndian.AppendUint32(b, typ)
		b = append(b, name...)
		b = append(b, make([]byte, -len(b)&3)...)
		b = append(b, desc...)
		return append(b, make([]byte, -len(b)&3)...)
	}
	linux := note("Linux\x00", 0, 44, 18, 6, 0)
	for _, tt := range []struct {
		name string
		b    []byte
		want uint32
		ok   bool
	}{
		{"alone", linux, 6<<16 | 18<<8 | 44, true},
		{"behind others", append(append(note("GNU\x00", 3, 1, 2, 3), note("Linux\x00", 256, 1, 0, 0, 0)...), linux...), 6<<16 | 18<<8 | 44, true},
		{"of another type", note("Linux\x00", 1, 44, 18, 6, 0), 0, false},
		{"too short", linux[:len(linux)-1], 0, false},
		{"empty", nil, 0, false},
		{"lying", append(binary.LittleEndian.AppendUint32(nil, 1<<32-1), linux...), 0, false},
	} {
		if v, ok := linuxNote(tt.b, binary.LittleEndian); v != tt.want || ok != tt.ok {
			t.Errorf("%s: %x, %v", tt.name, v, ok)
		}
	}
}

func TestRichest(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, f testelf.File) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, f.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full := gateFile(elf.ELFCLASS64, elf.EM_X86_64, "cafe")
	im, err := New(page(full.Bytes()), "it")
	if err != nil {
		t.Fatal(err)
	}
	plain := write("plain", full)
	full.Symbols = []testelf.Symbol{{Name: "inner", Value: 0x820, Size: 0x10, Type: elf.STT_FUNC, Section: ".text"}}
	// A .symtab is no part of what is mapped.
	seg := testelf.Segment{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Filesz: im.Segments()[0].Filesz, Align: im.Segments()[0].Align}
	full.Segments = []testelf.Segment{seg}
	good := write("good", full)
	alternatives := full
	alternatives.Sections = []testelf.Section{{Name: ".text", Flags: testelf.TextFlags, Addr: 0x800, Data: bytes.Repeat([]byte{0x90}, 0x40)}}
	patched := write("patched", alternatives)
	other := full
	other.BuildID = []byte("beef")
	foreign := write("foreign", other)
	debug := full
	debug.Sections = []testelf.Section{{Name: ".text", Type: elf.SHT_NOBITS, Flags: testelf.TextFlags, Addr: 0x800, Size: 0x40}}
	noCode := write("debug", debug)
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no ELF file"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"none", nil, "it"},
		{"no better", []string{plain}, "it"},
		{"with all symbols", []string{plain, good}, good},
		{"code that the kernel adapts", []string{patched}, patched},
		{"another build", []string{foreign}, "it"},
		{"a separate debug file", []string{noCode}, "it"},
		{"odd ones", []string{text, dir, filepath.Join(dir, "nowhere"), good}, good},
	} {
		if got := Richest(im, tt.paths); got.From != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got.From, tt.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	root := filepath.Join(t.TempDir(), "r[o]ot*")
	for _, f := range []string{
		"lib/modules/1/vdso/vdso64.so", "lib/modules/2/vdso/.build-id/ca/fe.debug", "lib/modules/2/vdso/other.txt",
	} {
		path := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(Places([]byte{0xca, 0xfe}, root, []string{"/debug"}), "\n")
	want := filepath.Join(root, "lib/modules/2/vdso/.build-id/ca/fe.debug") + "\n" +
		filepath.Join(root, "lib/modules/1/vdso/vdso64.so") + "\n/debug/.build-id/ca/fe.debug"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// No bytes make it panic, and what it makes of them stays in their bounds.
func FuzzNew(f *testing.F) {
	for _, class := range []elf.Class{elf.ELFCLASS64, elf.ELFCLASS32} {
		f.Add(page(gateFile(class, elf.EM_X86_64, "cafe").Bytes()))
	}
	if im, err := Own(); err == nil {
		f.Add(page(im.File))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		Complete(data)
		size := len(data)
		im, err := New(bytes.Clone(data), "it")
		if err != nil {
			return
		}
		if len(im.File) > size {
			t.Errorf("%d bytes of %d", len(im.File), size)
		}
		if info := im.Info(); len(info.Symbols) > size {
			t.Errorf("%d symbols in %d bytes", len(info.Symbols), size)
		}
		SameBuild(im, im)
	})
}
