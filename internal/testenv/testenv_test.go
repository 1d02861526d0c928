package testenv

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Kernel32's program is what it is meant to be, and its answer is that of any
// other 32-bit program.
func TestKernel32(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(exits32()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Class != elf.ELFCLASS32 || f.Machine != elf.EM_386 || len(f.Progs) != 1 || f.Entry-f.Progs[0].Vaddr >= f.Progs[0].Filesz {
		t.Errorf("%+v %+v", f.FileHeader, f.Progs)
	}
	can, err := Kernel32()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	src, prog := filepath.Join(dir, "empty.c"), filepath.Join(dir, "empty")
	if err := os.WriteFile(src, []byte("int main(void) { return 0; }\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	compile(t, prog, "gcc", []string{"-m32", "-static", src})
	if err := exec.Command(prog).Run(); (err == nil) != can {
		t.Errorf("Kernel32 says %v, but a program of gcc -m32 runs with %v", can, err)
	}
}

// What was compiled in one place serves another where there is no compiler.
func TestCompiledElsewhere(t *testing.T) {
	t.Setenv("BT_PROGRAMS", t.TempDir())
	src := filepath.Join(t.TempDir(), "three.c")
	if err := os.WriteFile(src, []byte("int main(void) { return 3; }\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(t.TempDir(), "prog")
	Compile(t, first, "gcc", "-O1", src)
	t.Setenv("PATH", "")
	second := filepath.Join(t.TempDir(), "prog")
	Compile(t, second, "gcc", "-O1", "/elsewhere/three.c")
	cmd := exec.Command(second)
	if cmd.Run(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("%v", cmd.ProcessState)
	}
	if commandKey("gcc", []string{"-O1", src}) == commandKey("gcc", []string{"-O2", src}) {
		t.Error("other flags make another program")
	}
}
