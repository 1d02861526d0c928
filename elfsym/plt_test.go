package elfsym

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// pltProgram calls functions directly, through pointers, and by GNU_IFUNC.
const pltProgram = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int plus(int x) { return x + 1; }
static int (*pick(void))(int) { return plus; }
int chosen(int) __attribute__((ifunc("pick")));

void *volatile pointer;

int main(int argc, char **argv) {
	char b[100];
	strncpy(b, argv[0], sizeof b - 1);
	pointer = (void *)puts; // its slot is filled at once: .plt.got
	puts(b);
	pointer = (void *)getpid;
	return getpid() + chosen(argc) + strlen(b) + write(1, b, 1);
}
`

// compile builds pltProgram and returns the path, or "" where the options are
// not to be had here.
func compile(t testing.TB, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "p.c")
	if err := os.WriteFile(src, []byte(pltProgram), 0o666); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "p")
	args := append([]string{"-O1", "-fno-builtin", "-o", out, src}, options...)
	if msg, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Logf("gcc %v: %v\n%s", options, err, msg)
		return ""
	}
	return out
}

// pltLayouts are the options that make tables of different looks.
func pltLayouts() map[string][]string {
	out := map[string][]string{}
	linkers := map[string][]string{
		"lazy": {"-Wl,-z,lazy"}, "now": {"-Wl,-z,now"}, "ibt": {"-Wl,-z,ibtplt,-z,lazy"}, "ibt-now": {"-Wl,-z,ibtplt,-z,now"},
		"gold": {"-fuse-ld=gold"},
	}
	// Rust's own copy of LLVM's linker.
	home, _ := os.UserHomeDir()
	if lld, _ := filepath.Glob(home + "/.rustup/toolchains/*/lib/rustlib/*/bin/gcc-ld"); lld != nil {
		linkers["lld"] = []string{"-B", lld[0], "-fuse-ld=lld"}
		linkers["lld-ibt"] = []string{"-B", lld[0], "-fuse-ld=lld", "-Wl,-z,force-ibt"}
	}
	if _, err := exec.LookPath("mold"); err == nil {
		linkers["mold"] = []string{"-fuse-ld=mold"}
	}
	for name, options := range linkers {
		for _, bits := range []string{"64", "32"} {
			out[name+bits+"-pie"] = append([]string{"-fcf-protection=full", "-m" + bits, "-fPIE", "-pie"}, options...)
			out[name+bits] = append([]string{"-fcf-protection=none", "-m" + bits, "-fno-pie", "-no-pie"}, options...)
		}
	}
	return out
}

type label struct {
	name  string
	addrs []uint64 // of the bytes that follow it
}

var (
	labelLine = regexp.MustCompile(`^([0-9a-f]+) <(.*)>:$`)
	codeLine  = regexp.MustCompile(`^ *([0-9a-f]+):[\t ]((?:[0-9a-f]{2} )+)`)
)

// pltLabels has a disassembler label the stubs.
func pltLabels(t testing.TB, tool, path string) (out []label) {
	t.Helper()
	args := []string{"-d", "-w"}
	if strings.Contains(tool, "llvm") {
		args = []string{"-d"}
	}
	for _, s := range pltSections {
		args = append(args, "-j", s)
	}
	text, err := exec.Command(tool, append(args, path)...).Output() // fails where a section is missing
	if len(text) == 0 {
		t.Fatalf("%s %s: %v", tool, path, err)
	}
	sc := bufio.NewScanner(bytes.NewReader(text))
	for sc.Scan() {
		if m := labelLine.FindStringSubmatch(sc.Text()); m != nil {
			out = append(out, label{name: m[2]})
		} else if m := codeLine.FindStringSubmatch(sc.Text()); m != nil && len(out) > 0 {
			addr, err := strconv.ParseUint(m[1], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			l := &out[len(out)-1]
			for i := range len(strings.Fields(m[2])) {
				l.addrs = append(l.addrs, addr+uint64(i))
			}
		}
	}
	return out
}

// diffPLT compares every byte that a disassembler labels. The differences that
// there may be:
//   - A symbol of .symtab: it is another name for a stub, or for none.
//   - binutils names an IRELATIVE stub *ABS*+0x1234@plt; PLT by the GNU_IFUNC
//     symbol at 0x1234, or not at all.
//   - binutils does not name the half of a lazy IBT stub that lies in .plt, nor
//     .iplt, nor the stubs of static programs. PLT does.
//   - binutils labels the common part name@plt-0x10.
//   - The last label of .plt extends to the end of the section, over the
//     trampoline for TLS descriptors (DT_TLSDESC_PLT) if there is one.
func diffPLT(t *testing.T, tool, path string) (same, ifunc, more int) {
	t.Helper()
	im, err := OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	trampoline, _ := f.DynValue(elf.DT_TLSDESC_PLT)
	for _, l := range pltLabels(t, tool, path) {
		want, isStub := strings.CutSuffix(l.name, "@plt")
		want = string(trimVersion([]byte(want)))
		for _, addr := range l.addrs {
			name, start, size, ok := im.PLT(addr)
			if ok && addr-start >= size {
				t.Errorf("%s: %#x is not in [%#x, +%d)", path, addr, start, size)
			}
			switch {
			case isStub && strings.HasPrefix(want, "*ABS*"):
				ifunc++
				if ok && !isIfunc(im, name) {
					t.Errorf("%s: %#x: %q, want the GNU_IFUNC symbol of %s", path, addr, name, want)
				}
			case isStub && len(trampoline) == 1 && addr-trampoline[0] < 16:
				if ok {
					t.Errorf("%s: %#x: %q, want nothing in the TLS trampoline", path, addr, name)
				}
			case isStub:
				same++
				if name != want || start != l.addrs[0] {
					t.Errorf("%s: %#x: %q at %#x %v, want %s at %#x", path, addr, name, start, ok, want, l.addrs[0])
				}
			case strings.Contains(l.name, "@plt-0x"):
				if ok {
					t.Errorf("%s: %#x: %q, want nothing in the common part", path, addr, name)
				}
			case ok:
				more++
			}
			if t.Failed() {
				return
			}
		}
	}
	return same, ifunc, more
}

func isIfunc(im *Image, name string) bool {
	for ref := range Ref(im.numSyms) {
		if s, ok := im.Symbol(ref); ok && s.Name == name && s.Type == elf.STT_GNU_IFUNC {
			return true
		}
	}
	return false
}

func TestPLTLayouts(t *testing.T) {
	testenv.Need(t, "gcc", "gcc-multilib")
	objdump := testenv.Need(t, "objdump", "binutils")
	for name, options := range pltLayouts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := compile(t, options...)
			if path == "" {
				testenv.Skip(t, "cannot be linked here")
			}
			same, ifunc, more := diffPLT(t, objdump, path)
			if same < 6*8 && !strings.HasPrefix(name, "mold") {
				t.Errorf("only %d bytes compared", same)
			}
			t.Logf("%d bytes the same, %d of IRELATIVE, %d more", same, ifunc, more)
			wantStubs(t, path, "puts", "getpid", "strlen", "write", "chosen")
			if name != "mold32-pie" { // DT_PLTGOT is not what its jumps are relative to
				diffNoSections(t, path)
			}
		})
	}
}

// pltNames lists the names of all stubs, with the sections that they lie in.
func pltNames(im *Image) map[string][]string {
	out := map[string][]string{}
	for i := range im.plt.secs {
		sec := &im.plt.secs[i]
		for a := sec.addr; a < sec.addr+uint64(len(sec.code)); a++ {
			if name, start, _, ok := im.PLT(a); ok && start == a {
				out[name] = append(out[name], fmt.Sprintf("%#x", a))
			}
		}
	}
	return out
}

func wantStubs(t *testing.T, path string, names ...string) {
	t.Helper()
	im, err := OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	got := pltNames(im)
	for _, name := range names {
		if got[name] == nil && !symbolInPLT(im, name) {
			t.Errorf("no stub for %s: %v", name, got)
		}
	}
}

// symbolInPLT reports whether a symbol of that name is a stub: where the address
// of a GNU_IFUNC is needed, linkers move the symbol there.
func symbolInPLT(im *Image, name string) bool {
	for ref := range Ref(im.numSyms) {
		if s, ok := im.Symbol(ref); ok && s.Name == name && im.mayPLT(s.Value) {
			return true
		}
	}
	return false
}

// TestPLTPush looks at the half of IBT's lazy stubs that only pushes.
func TestPLTPush(t *testing.T) {
	testenv.Need(t, "gcc", "gcc-multilib")
	for _, bits := range []string{"-m64", "-m32"} {
		path := compile(t, bits, "-Wl,-z,ibtplt")
		if path == "" {
			testenv.Skip(t, "cannot be linked here")
		}
		im, err := OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		defer im.Close()
		sec := im.section(".plt")
		for name, at := range pltNames(im) {
			if name == "strlen" && len(at) != 2 {
				t.Errorf("%s: strlen has stubs at %v, want one in .plt and one in .plt.sec", bits, at)
			}
		}
		if name, _, _, ok := im.PLT(sec.Addr); ok {
			t.Errorf("%s: the common part is called %s", bits, name)
		}
	}
}

// TestPLTStatic: IRELATIVE stubs of static programs have no other name than
// that of the GNU_IFUNC symbol.
func TestPLTStatic(t *testing.T) {
	testenv.Need(t, "gcc", "gcc-multilib")
	strip := testenv.Need(t, "strip", "binutils")
	for _, options := range [][]string{{"-static"}, {"-static-pie"}, {"-static", "-m32"}, {"-static", "-Wl,-z,ibtplt"}} {
		path := compile(t, options...)
		if path == "" {
			testenv.Skip(t, "cannot be linked here")
		}
		wantStubs(t, path, "chosen", "strncpy")
		if out, err := exec.Command(strip, path).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		im, err := OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := pltNames(im); len(got) > 0 {
			t.Errorf("%v, stripped: %v", options, got)
		}
		im.Close()
	}
}

// TestPLTFiles compares real files.
func TestPLTFiles(t *testing.T) {
	objdump := testenv.Need(t, "objdump", "binutils")
	files := realFiles(t)
	for _, tool := range []string{"bash", "ls", "gdb", "git", "python3", "gcc", "perl"} {
		if p, err := exec.LookPath(tool); err == nil {
			files = append(files, p)
		}
	}
	libs, _ := filepath.Glob("/usr/lib/x86_64-linux-gnu/*.so.?")
	libs32, _ := filepath.Glob("/usr/lib32/*.so.?")
	for i, p := range append(libs, libs32...) {
		if i%8 == 0 {
			files = append(files, p)
		}
	}
	total, ifuncs := 0, 0
	for _, path := range files {
		im, err := OpenPath(path)
		if err != nil {
			continue
		}
		n := len(im.plt.secs)
		im.Close()
		if n == 0 {
			continue
		}
		same, ifunc, _ := diffPLT(t, objdump, path)
		total += same
		ifuncs += ifunc
	}
	t.Logf("%d files, %d bytes the same, %d of IRELATIVE", len(files), total, ifuncs)
}

// diffNoSections compares the names that stubs have by their code and PT_DYNAMIC
// alone with those that they have with section headers.
func diffNoSections(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	with, err := New(data, path)
	if err != nil {
		t.Fatal(err)
	}
	bare := bytes.Clone(data)
	stripHeaders(bare)
	without, err := New(bare, path)
	if err != nil {
		t.Fatal(err)
	}
	if !without.plt.blind {
		t.Fatal("has sections still")
	}
	found := 0
	for _, a := range with.areas.list {
		for addr := a.lo; addr < a.lo+a.size; addr++ {
			wantName, wantStart, wantSize, _ := with.PLT(addr)
			name, start, size, ok := without.PLT(addr)
			if ok && (name != wantName || start != wantStart || size != wantSize) {
				t.Fatalf("%#x: %s at %#x+%d, want %s at %#x+%d", addr, name, start, size, wantName, wantStart, wantSize)
			}
			if ok && start == addr {
				found++
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d stubs without section headers", found)
	}
}

// stripHeaders clears what tells where the section headers are.
func stripHeaders(b []byte) {
	if b[4] == 2 {
		clear(b[40:48])
		clear(b[60:64])
	} else {
		clear(b[32:36])
		clear(b[48:52])
	}
}

func TestPLTConcurrent(t *testing.T) {
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	im, err := OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if len(im.plt.secs) == 0 {
		t.Skip("no table")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			sec := &im.plt.secs[0]
			for a := sec.addr; a < sec.addr+0x100; a++ {
				im.PLT(a)
			}
		})
	}
	wg.Wait()
}

// TestPLTGdb compares a sample with gdb, which names stubs as binutils does.
func TestPLTGdb(t *testing.T) {
	testenv.Need(t, "gcc", "gcc-multilib")
	gdb := testenv.Need(t, "gdb", "gdb")
	for _, options := range [][]string{{"-m64"}, {"-m64", "-Wl,-z,ibtplt"}, {"-m32"}, {"-m32", "-no-pie", "-fno-pie"}} {
		path := compile(t, options...)
		if path == "" {
			testenv.Skip(t, "cannot be linked here")
		}
		im, err := OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		defer im.Close()
		var addrs []uint64
		args := []string{"-batch", "-nx"}
		for _, sec := range im.plt.secs {
			for off := uint64(0); off < uint64(len(sec.code)); off += 5 {
				addrs = append(addrs, sec.addr+off)
				args = append(args, "-ex", fmt.Sprintf("info symbol %#x", sec.addr+off))
			}
		}
		out, err := exec.Command(gdb, append(args, path)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != len(addrs) {
			t.Fatalf("%d answers to %d questions: %s", len(lines), len(addrs), out)
		}
		same := 0
		for i, addr := range addrs {
			want, _, isStub := strings.Cut(lines[i], "@plt")
			if !isStub || want == "*ABS*" || strings.HasPrefix(want, "*ABS*+") {
				continue
			}
			if name, _, _, _ := im.PLT(addr); name != want {
				t.Errorf("%v: %#x: %q, gdb: %s", options, addr, name, lines[i])
			}
			same++
		}
		if same < 10 {
			t.Errorf("%v: only %d compared: %s", options, same, out)
		}
	}
}
