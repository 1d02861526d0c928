package elfsym_test

import (
	"debug/elf"
	"testing"

	"github.com/gatedso/bt/elfsym"
)

// TestExported finds each dynamic symbol of a program that the test itself runs on: libc.
func TestExported(t *testing.T) {
	path := "/lib/x86_64-linux-gnu/libc.so.6"
	f, err := elf.Open(path)
	if err != nil {
		t.Skipf("no library to look into: %v", err)
	}
	defer f.Close()
	syms, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	im, err := elfsym.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	values := make(map[string]map[uint64]bool) // one for each version
	for _, s := range syms {
		if values[s.Name] == nil {
			values[s.Name] = make(map[uint64]bool)
		}
		if s.Section != elf.SHN_UNDEF && s.Section != elf.SHN_ABS {
			values[s.Name][s.Value] = true
		}
	}
	found := 0
	for name, want := range values {
		v, ok := im.Exported(name)
		if ok != (len(want) > 0) || ok && !want[v] {
			t.Errorf("%s: %#x, %v, want one of %v", name, v, ok, want)
		}
		if ok {
			found++
		}
	}
	if found < 1000 {
		t.Errorf("%d symbols were found", found)
	}
	for _, name := range []string{"", "no_such_symbol", "printf_"} {
		if _, ok := im.Exported(name); ok {
			t.Errorf("%q is found", name)
		}
	}
}
