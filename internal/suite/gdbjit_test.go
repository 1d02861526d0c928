//go:build linux

package suite

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testelf"
	"github.com/gatedso/bt/internal/testenv"
)

// jitImage describes the code of gdbjit.c: the names, and how to unwind it.
func jitImage() []byte {
	const code, size = 0x700000000000, 39
	frame := func(start, size uint64, program ...byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 0) // the length, below
		b = binary.LittleEndian.AppendUint32(b, 0)    // the CIE's place, below
		b = binary.LittleEndian.AppendUint64(b, start)
		b = binary.LittleEndian.AppendUint64(b, size)
		b = append(b, program...)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
		binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
		return b
	}
	// Version 1, no augmentation, code 1, data -8, return address in 16; CFA rsp+8, ra at CFA-8.
	frames := []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1, 0, 0, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(frames, uint32(len(frames)-4))
	for _, f := range [][]byte{
		frame(code, 20, 0x47, 0x0e, 0xb0, 0x02), // after 7 bytes: CFA is rsp+0x130
		frame(code+32, 7, 0x41, 0x0e, 16),       // after 1 byte: rsp+16
	} {
		binary.LittleEndian.PutUint32(f[4:], uint32(len(frames)+4))
		frames = append(frames, f...)
	}
	return (&testelf.File{
		Type: elf.ET_EXEC,
		Sections: []testelf.Section{
			{Name: ".text", Type: elf.SHT_NOBITS, Flags: testelf.TextFlags, Addr: code, Size: size},
			{Name: ".eh_frame", Data: append(frames, 0, 0, 0, 0)},
		},
		Symbols: []testelf.Symbol{
			{Name: "_ZN3jit5firstEv", Value: code, Size: 20, Type: elf.STT_FUNC, Bind: elf.STB_GLOBAL, Section: ".text"},
			{Name: "second", Value: code + 32, Type: elf.STT_FUNC, Section: ".text"},
		},
		Segments: []testelf.Segment{{Type: elf.PT_LOAD}},
	}).Bytes()
}

// The images of JIT compilers name their code and unwind it.
func TestGDBJIT(t *testing.T) {
	testenv.Need(t, "gcc", "gcc")
	for _, how := range []string{"", "loop"} {
		t.Run("image "+how, func(t *testing.T) {
			image := filepath.Join(tempDir(t), "image")
			if err := os.WriteFile(image, jitImage(), 0o644); err != nil {
				t.Fatal(err)
			}
			p := startDumping(t, build(t, "gcc", "gdbjit.c", "-O1", "-fomit-frame-pointer"), image, how)
			p.freeze(t)
			check := func(what, out string) {
				t.Helper()
				const want = "callee second jit::first() main"
				var names []string
				for _, f := range parse(t, died.ReplaceAllString(out, ""))[0].threads[0].frames {
					names = append(names, f.name)
				}
				if got := strings.Join(names, " "); !strings.Contains(got, want) || names[len(names)-1] != "_start" {
					t.Errorf("%s: want %q:\n%s", what, want, out)
				}
			}
			check("live", bt(t, "--pid", itoa(p.pid)).want(t, 0).stdout)
			raw := bt(t, "--pid", itoa(p.pid), "--raw").want(t, 0).stdout
			check("addresses", feed(t, raw, "--pid", itoa(p.pid), "-").want(t, 0).stdout)
			const loop = "bt: the list of JIT-compiled images is a loop; the JIT-compiled image at 0x0 has 0 bytes\n"
			if r := bt(t, "--pid", itoa(p.pid), "-v"); r.code != 0 || strings.Contains(r.stderr, loop) != (how == "loop") {
				t.Errorf("-v: %d\n%s", r.code, r.stderr)
			}
			if r := feed(t, raw, "--pid", itoa(p.pid), "-", "-v"); r.code != 0 || strings.Contains(r.stderr, loop) != (how == "loop") {
				t.Errorf("addresses, -v: %d\n%s", r.code, r.stderr)
			}
			const lacks = "the report carries no names for it"
			if r := bt(t, "--pid", itoa(p.pid), "--raw", "--with-maps", "-v"); r.code != 0 || strings.Count(r.stderr, lacks) != 1 {
				t.Errorf("a report: %d\n%s", r.code, r.stderr)
			}
			if how != "loop" { // where gdb never ends
				check("gcore", bt(t, "--core", p.gcore(t)).want(t, 0).stdout)
			}
			check("the kernel's core", bt(t, "--core", p.kernelCore(t, syscall.SIGQUIT)).want(t, 0).stdout)
		})
	}
}

// LLVM's own JIT compilers, of both kinds.
func TestLLI(t *testing.T) {
	lli, clang := testenv.Need(t, "lli", "llvm"), testenv.Need(t, "clang", "clang")
	dir := tempDir(t)
	src, code := filepath.Join(dir, "jitted.c"), filepath.Join(dir, "jitted.bc")
	os.WriteFile(src, []byte(`
int puts(const char *);
int fflush(void *);
unsigned sleep(unsigned);
__attribute__((noinline)) int inner(int n) { puts("ready 0"); fflush(0); sleep(n); return n + 1; }
__attribute__((noinline)) int middle(int n) { volatile char b[200]; b[n] = 1; n = inner(n * 300); return n + b[3]; }
int main(void) { return middle(1) + 2; }
`), 0o644)
	tool(t, clang, "-O1", "-fomit-frame-pointer", "-emit-llvm", "-c", "-o", code, src)
	for _, kind := range []string{"mcjit", "orc"} {
		t.Run(kind, func(t *testing.T) {
			p := startCmd(t, exec.Command(lli, "-jit-kind="+kind, code))
			p.settle(t)
			out := bt(t, "--pid", itoa(p.pid), "--demangle", "short").want(t, 0).stdout
			at := -1
			frames := parse(t, out)[0].threads[0].frames
			for i, f := range frames {
				if f.name == "inner" {
					at = i
				}
			}
			if at < 0 || len(frames) < at+4 || frames[at+1].name != "middle" || frames[at+2].name != "main" || frames[len(frames)-1].name != "_start" {
				t.Errorf("the stack of the compiled code:\n%s", out)
			}
		})
	}
}
