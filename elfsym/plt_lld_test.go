package elfsym

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

const pltArm64 = `
	.text
	.globl caller
	.type caller, %function
caller:
	bl puts
	bl strlen
	bl chosen
	ret
	.size caller, .-caller
	.globl chosen
	.type chosen, %gnu_indirect_function
chosen:
	ret
	.size chosen, .-chosen
`

// TestPLTArm64 compares what LLVM's linker makes for AArch64 with what its
// disassembler says. The latter does not name .iplt.
func TestPLTArm64(t *testing.T) {
	llvmMC := testenv.Need(t, "llvm-mc", "llvm")
	objdump := testenv.Need(t, "llvm-objdump", "llvm")
	home, _ := os.UserHomeDir()
	lld, _ := exec.LookPath("ld.lld")
	if rust, _ := filepath.Glob(home + "/.rustup/toolchains/*/lib/rustlib/*/bin/gcc-ld/ld.lld"); lld == "" && rust != nil {
		lld = rust[0]
	}
	if lld == "" {
		testenv.Skip(t, "ld.lld is not installed: apt-get install lld")
	}
	dir := t.TempDir()
	src, obj := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o")
	if err := os.WriteFile(src, []byte(pltArm64), 0o666); err != nil {
		t.Fatal(err)
	}
	run := func(tool string, args ...string) {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", tool, err, out)
		}
	}
	run(llvmMC, "-triple=aarch64-linux-gnu", "-filetype=obj", "-o", obj, src)
	for name, options := range map[string][]string{
		"lazy": {"-z", "lazy"}, "now": {"-z", "now"}, "bti": {"-z", "force-bti"},
		"pac": {"-z", "pac-plt"}, "bti and pac": {"-z", "force-bti", "-z", "pac-plt"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.so")
			// chosen is bound locally: its stub is one for IRELATIVE.
			run(lld, append([]string{"-shared", "-Bsymbolic", "-o", path, obj}, options...)...)
			same, _, more := diffPLT(t, objdump, path)
			if same < 2*16 || more < 16 {
				t.Errorf("%d bytes the same, %d more", same, more)
			}
			wantStubs(t, path, "puts", "strlen", "chosen")
		})
	}
}
