package mangled_test

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/names/mangled"
	"github.com/gatedso/bt/internal/testenv"
)

func TestD(t *testing.T) {
	for raw, want := range map[string][2]string{
		"_D4main4workFiAyaZv":                   {"main.work(int, immutable(char)[])", "main.work"},
		"_D4main1A6__ctorMFNbNiNfkZCQzQp":       {"", ""}, // a reference to before the name
		"_D4main1A6__ctorMFNbNiNfkZCQBaQx":      {"", ""},
		"_D4main1A6__ctorMFNbkZCQvQs":           {"main.A.this(uint)", "main.A.this"},
		"_D4main1A3getMxFZi":                    {"main.A.get() const", "main.A.get"},
		"_D4main1A6__vtblZ":                     {"vtable for main.A", "vtable for main.A"},
		"_D4main__T3addTiVbi1ZQlFNaiZi":         {"main.add!(int, true).add(int)", "main.add!(int, true).add"},
		"_D4main5outerFiZ5innerMFZv":            {"main.outer(int).inner()", "main.outer.inner"},
		"_D4main5tableHAyaPUiZv":                {"main.table", "main.table"},
		"_D4main4takeFDFNbiZvHAyalG3fKdMxeJcZv": {"main.take(void(int) nothrow delegate, long[immutable(char)[]], float[3], ref double, scope const(real), out creal)", "main.take"},
		"_D4main":                               {"", ""},
		"_D99main4workFZv":                      {"", ""},
		"_D4ma-n1fFZv":                          {"", ""},
		"_D4main1fFZvx":                         {"", ""},
		"_D4main1fFQaZv":                        {"", ""},
		"_Dmain":                                {"", ""},
		"_D":                                    {"", ""},
	} {
		for i, params := range []bool{true, false} {
			if got, ok := mangled.Decode(raw, params); got != want[i] || ok != (want[i] != "") {
				t.Errorf("%s: %q, %v; want %q", raw, got, ok, want[i])
			}
		}
	}
}

// All names of D's run-time library that are decoded are spelled as binutils does.
func TestDPeer(t *testing.T) {
	filt := testenv.Need(t, "c++filt", "binutils")
	libs, _ := filepath.Glob("/usr/lib/*/libgphobos.so.*")
	if len(libs) == 0 {
		testenv.Skip(t, "no library of D's: apt-get install libgphobos3")
	}
	f, err := elf.Open(libs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range syms {
		if strings.HasPrefix(s.Name, "_D") && s.Section != elf.SHN_UNDEF {
			names = append(names, s.Name)
		}
	}
	const between = "\n=\n" // strings in a template's arguments have newlines
	cmd := exec.Command(filt, "-s", "dlang")
	cmd.Stdin = strings.NewReader(strings.Join(names, between) + between)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	same, differ := 0, 0
	theirs := strings.Split(string(out), between)
	for i, raw := range names {
		got, ok := mangled.Decode(raw, true)
		want := theirs[i]
		switch {
		case !ok || want == raw:
		case got == want:
			same++
		default:
			if differ++; differ < 5 {
				t.Errorf("%s:\n%s\nc++filt: %s", raw, got, want)
			}
		}
	}
	if same < len(names)*9/10 {
		t.Errorf("%d of %d names are decoded as c++filt does, %d differ", same, len(names), differ)
	}
}
