package all

import (
	"debug/elf"
	"testing"

	"github.com/gatedso/bt/internal/arch"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		machine elf.Machine
		class   elf.Class
		want    string
	}{
		{elf.EM_X86_64, elf.ELFCLASS64, "x86_64"},
		{elf.EM_386, elf.ELFCLASS32, "i686"},
		{elf.EM_AARCH64, elf.ELFCLASS64, "aarch64"},
		{elf.EM_AARCH64, elf.ELFCLASS32, ""},
		{elf.EM_X86_64, elf.ELFCLASS32, ""}, // x32
		{elf.EM_386, elf.ELFCLASS64, ""},
		{elf.EM_IA_64, elf.ELFCLASS64, ""},
	} {
		got := ""
		if a := For(c.machine, c.class); a != nil {
			got = a.Name
		}
		if got != c.want {
			t.Errorf("%v, %v: %q, want %q", c.machine, c.class, got, c.want)
		}
	}
}

// TestComplete holds every CPU to the checklist of package arch.
func TestComplete(t *testing.T) {
	for _, a := range List() {
		t.Run(a.Name, func(t *testing.T) { check(t, a) })
	}
}

func check(t *testing.T, a *arch.Arch) {
	if For(a.Machine, a.Class) != a {
		t.Error("For does not find it")
	}
	if a.PtrSize != 4 && a.PtrSize != 8 || len(a.Hosts) == 0 {
		t.Errorf("pointers of %d bytes, hosts %v", a.PtrSize, a.Hosts)
	}
	if a.NumRegs > arch.MaxRegs || len(a.Names) != a.NumRegs {
		t.Errorf("%d registers, %d names", a.NumRegs, len(a.Names))
	}
	for _, r := range append([]arch.Reg{a.PC, a.SP, a.FP}, a.Syscalls.Args...) {
		if int(r) >= a.NumRegs {
			t.Errorf("register %d of %d", r, a.NumRegs)
		}
	}
	if len(a.Syscalls.Args) != 6 || len(a.Syscalls.Vfork) == 0 {
		t.Errorf("system calls: %+v", a.Syscalls)
	}
	m := arch.MachineOf(a.Machine, a.Class, 0)
	if m.Regset.Word != a.PtrSize {
		t.Errorf("%d bytes in a word of the register set", m.Regset.Word)
	}
	// The register set's description for every machine and the CPU's own agree.
	b := make([]byte, a.RegsetSize)
	for i := range b {
		b[i] = byte(i)
	}
	regs, ok := a.DecodeRegset(b)
	if !ok {
		t.Fatalf("a register set of %d bytes is not decoded", len(b))
	}
	for r, word := range map[arch.Reg]int{a.PC: m.Regset.PC, a.SP: m.Regset.SP} {
		if v, ok := regs.Get(r); !ok || byte(v) != byte(word*m.Regset.Word) {
			t.Errorf("%s is %#x, not word %d", a.Names[r], v, word)
		}
	}
	for name, l := range map[string]arch.Layout{"Entry": a.Entry, "Chain": a.Chain} {
		if l.Return == (arch.Return{}) && l.Base != arch.NoReg {
			t.Errorf("%s does not tell where the return address is", name)
		}
	}
	if a.AfterCall == nil || a.MaxCall == 0 || len(a.Trampolines) == 0 {
		t.Error("what the code tells is missing")
	}
	if (a.Edge != nil) != (a.Analyze != nil) || a.Ahead != nil && a.Analyze == nil {
		t.Error("Analyze and Edge belong together, and Ahead needs them")
	}
}

func TestListIsACopy(t *testing.T) {
	List()[0] = nil
	if List()[0] == nil {
		t.Error("a caller can change what other callers get")
	}
}
