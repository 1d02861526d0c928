package all

import (
	"debug/elf"
	"testing"
)

func TestForMachine(t *testing.T) {
	for _, c := range []struct {
		m    elf.Machine
		want string
	}{{elf.EM_X86_64, "x86_64"}, {elf.EM_386, "i686"}} {
		if a := ForMachine(uint16(c.m)); a == nil || a.Name != c.want {
			t.Errorf("%v: %v, want %s", c.m, a, c.want)
		}
	}
	if a := ForMachine(uint16(elf.EM_IA_64)); a != nil {
		t.Errorf("EM_IA_64: %s", a.Name)
	}
}
