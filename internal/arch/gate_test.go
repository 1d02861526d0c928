package arch_test

import (
	"debug/elf"
	"regexp"
	"testing"

	"github.com/gatedso/bt/internal/arch"
	"github.com/gatedso/bt/internal/gate/vdso"
)

// Every row is one that For finds, and tells where it is from.
func TestGates(t *testing.T) {
	file := regexp.MustCompile(`^arch/[a-z0-9/_.S-]+(, arch/[a-z0-9/_.S-]+)*$`)
	name := regexp.MustCompile(`^[a-z_][a-z0-9_]+$`)
	seen := make(map[string]bool)
	for _, g := range arch.Gates() {
		if arch.GateOf(g.Machine, g.Class) != g || seen[g.Arch] {
			t.Errorf("%s: there twice", g.Arch)
		}
		seen[g.Arch] = true
		if !file.MatchString(g.File) || (g.From != "") != (len(g.Trampolines) > 0) || g.From != "" && !file.MatchString(g.From) {
			t.Errorf("%s: from %q and %q", g.Arch, g.File, g.From)
		}
		for _, n := range g.Trampolines {
			if !name.MatchString(n) || !g.IsTrampoline(n) {
				t.Errorf("%s: %q", g.Arch, n)
			}
		}
		for _, n := range g.Entries {
			if !name.MatchString(n) || g.IsTrampoline(n) {
				t.Errorf("%s: %q", g.Arch, n)
			}
		}
	}
	if g := arch.GateOf(elf.EM_NONE, elf.ELFCLASS64); g != nil || g.IsTrampoline("__kernel_rt_sigreturn") {
		t.Error("a machine that is none has a gate")
	}
}

// The running kernel's images export what the table says, and nothing else.
func TestRunningKernel(t *testing.T) {
	for _, a := range vdso.ABIs() {
		im, err := vdso.ForABI(a)
		if err != nil {
			t.Logf("%s: %v", a, err)
			continue
		}
		g := arch.GateOf(im.Machine, im.Class)
		known := make(map[string]bool)
		for _, n := range append(append([]string{}, g.Trampolines...), g.Entries...) {
			known[n] = true
		}
		for _, s := range im.Info().Symbols {
			if !known[s.Name] {
				t.Errorf("%s: %s is not in the table", g.Arch, s.Name)
			}
		}
	}
}
