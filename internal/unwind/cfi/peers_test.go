package cfi

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// TestReadelf is the heart: rows equal those of binutils, which share no code
// with this package, for what compilers, linkers and people have made. The
// normal run takes the beginning of large libraries, BT_FULL=1 all of them.
func TestReadelf(t *testing.T) {
	sample := 1500
	if os.Getenv("BT_FULL") == "1" {
		sample = 0
	}
	for _, c := range []struct {
		path  string
		limit int
	}{
		{"/lib/x86_64-linux-gnu/libc.so.6", 0},
		{"/lib64/ld-linux-x86-64.so.2", 0},
		{"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", sample},
		{"/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", sample},
		{"/usr/lib/x86_64-linux-gnu/libLLVM-15.so.1", sample},
		{"/usr/lib/x86_64-linux-gnu/libstdc++.so.6", sample},
		{"/lib32/libc.so.6", sample},
		{"/lib32/ld-linux.so.2", 0},
	} {
		t.Run(strings.TrimPrefix(c.path, "/"), func(t *testing.T) {
			if _, err := os.Stat(c.path); err != nil {
				t.Skip(err)
			}
			diffReadelf(t, c.path, c.limit)
		})
	}
}

// TestReadelfGo compares the rows of a program of the Go linker, which writes a
// .debug_frame of its own and compresses it.
func TestReadelfGo(t *testing.T) {
	goTool := testenv.Need(t, "go", "golang-go")
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	write(t, src, "package main\n\nfunc main() { println(\"x\") }\n")
	bin := filepath.Join(dir, "prog")
	run(t, goTool, "build", "-o", bin, src)
	diffReadelf(t, bin, 0)
}

// program has functions whose rows are not of the ordinary kind: variable frames,
// realigned stacks, blocks that leave early.
const program = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int vla(int n) { volatile char b[n]; memset((void *)b, n, n); return b[n / 2]; }
static int aligned(int n) { volatile __attribute__((aligned(64))) char b[128]; b[n & 127] = n; return b[3]; }
static int early(int n, char **v)
{
	for (int i = 0; i < n; i++) {
		if (v[i][0] == 'x') { puts("x"); return i; }
		if (v[i][0] == 'y') abort();
		printf("%s %d %d\n", v[i], vla(i + 1), aligned(i));
	}
	return n;
}
int main(int argc, char **argv) { return early(argc, argv) ? 0 : vla(argc); }
`

func TestReadelfGCC(t *testing.T) {
	gcc := testenv.Need(t, "gcc", "gcc")
	dir := t.TempDir()
	src := filepath.Join(dir, "prog.c")
	write(t, src, program)
	noEh := "-fno-asynchronous-unwind-tables -fno-unwind-tables -g "
	for _, flags := range []string{
		"-O0",
		"-O2",
		"-Os -fomit-frame-pointer -maccumulate-outgoing-args",
		"-O2 -static",
		"-O2 -no-pie -Wl,--no-eh-frame-hdr",
		noEh + "-O2",
		noEh + "-O0 -gdwarf-2",
		noEh + "-O2 -gdwarf64 -gdwarf-5",
		"-m32 -O0",
		"-m32 -O2 -mpreferred-stack-boundary=2",
		"-m32 -O2 -static",
		"-m32 -O2 -fno-pie -no-pie -Wl,--no-eh-frame-hdr",
		"-m32 " + noEh + "-O2",
	} {
		t.Run(flags, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), "prog")
			args := append(strings.Fields(flags), "-o", bin, src)
			if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
				testenv.Skip(t, "gcc %s: %v: apt-get install gcc-multilib\n%s", flags, err, out)
			}
			sample := 2000
			if testing.Short() {
				sample = 200
			}
			diffReadelf(t, bin, sample)
		})
	}
}

// arm64 is what a compiler makes with -mbranch-protection=standard, and rules
// that only people write.
const arm64 = `
	.text
signed:	.cfi_startproc
	.cfi_b_key_frame
	paciasp
	.cfi_negate_ra_state
	stp	x29, x30, [sp, -48]!
	.cfi_def_cfa_offset 48
	.cfi_offset x29, -48
	.cfi_offset x30, -40
	mov	x29, sp
	.cfi_def_cfa_register x29
	.cfi_remember_state
	ldp	x29, x30, [sp], 48
	.cfi_restore x29
	.cfi_restore x30
	.cfi_def_cfa sp, 0
	autiasp
	.cfi_negate_ra_state
	ret
	.cfi_restore_state
	nop
	ret
	.cfi_endproc
odd:	.cfi_startproc
	.cfi_signal_frame
	nop
	.cfi_undefined x30
	nop
	.cfi_same_value x19
	nop
	.cfi_register x20, x9
	nop
	.cfi_escape 0x14, 0x13, 0x02			// val_offset x19, 2*data_align
	nop
	.cfi_escape 0x16, 0x13, 0x02, 0x8f, 0x08	// val_expression x19, sp+8
	.cfi_escape 0x10, 0x14, 0x02, 0x8f, 0x10	// expression x20, sp+16
	.cfi_escape 0x0f, 0x02, 0x8f, 0x18		// def_cfa_expression sp+24
	nop
	ret
	.cfi_endproc
`

func TestReadelfARM64(t *testing.T) {
	mc := testenv.Need(t, "llvm-mc", "llvm")
	dir := t.TempDir()
	src, obj := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o")
	write(t, src, arm64)
	if out, err := exec.Command(mc, "-triple=aarch64", "-filetype=obj", "-o", obj, src).CombinedOutput(); err != nil {
		testenv.Skip(t, "llvm-mc has no AArch64: %v\n%s", err, out)
	}
	diffReadelf(t, obj, 0)

	// readelf does not show whether the return address is signed.
	c, _ := elfConfig(t, obj)
	table := New(c)
	var row Row
	for pc, want := range map[uint64]bool{0: false, 4: true, 8: true, 12: true, 16: true, 20: false, 24: true, 28: true, 32: false} {
		if err := table.Row(pc, &row); err != nil {
			t.Error(err)
		} else if row.RASigned != want {
			t.Errorf("%#x: return address signed: %v, want %v", pc, row.RASigned, want)
		}
	}
}

// relocate applies the relocations of an AArch64 object file to its .eh_frame,
// whose address and that of .text are 0.
func relocate(t testing.TB, f *elf.File, data []byte) {
	rela := f.Section(".rela.eh_frame")
	if f.Type != elf.ET_REL || rela == nil {
		return
	}
	b, err := rela.Data()
	if err != nil {
		t.Fatal(err)
	}
	for ; len(b) >= 24; b = b[24:] {
		off := f.ByteOrder.Uint64(b)
		addend := f.ByteOrder.Uint64(b[16:])
		if typ := f.ByteOrder.Uint32(b[8:]); elf.R_AARCH64(typ) != elf.R_AARCH64_PREL32 {
			t.Fatalf("relocation type %d", typ)
		}
		f.ByteOrder.PutUint32(data[off:], uint32(addend-off))
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
