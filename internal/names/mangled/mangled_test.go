package mangled_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/names/mangled"
	"github.com/gatedso/bt/internal/testenv"
)

func TestDecode(t *testing.T) {
	for raw, want := range map[string]string{
		"__my_mod_MOD_do_it":                    "my_mod::do_it",
		"__m_MOD_f.constprop.0":                 "m::f",
		"__m_MOD_":                              "",
		"__MOD_f":                               "",
		"_m_MOD_f":                              "",
		"__M_MOD_f":                             "", // not gfortran's: all is in lower case
		"__m_MOD___copy_m_T":                    "",
		"__libc_start_main":                     "",
		"camlT__work_81":                        "T.work_81",
		"camlT__my__odd_212":                    "T.my__odd_212",
		"camlT__$2b$21_208":                     "T.+!_208",
		"camlStdlib__List__map_154":             "Stdlib.List.map_154",
		"camlDune__exe__Main__run_7":            "Dune.exe.Main.run_7",
		"camlStdlib__List.map_154":              "Stdlib.List.map_154",
		"camlT__entry":                          "T.entry",
		"camlT__code_begin":                     "",
		"camlT__$2":                             "",
		"camlT__$0a_1":                          "",
		"camlT__":                               "",
		"caml":                                  "",
		"camlA":                                 "",
		"caml_alloc_small":                      "",
		"camlLikeFunction":                      "",
		"caml_c_call":                           "",
		"_ZN4demo8_private17h0123456789abcdefE": "demo::_private",
		"":                                      "",
	} {
		if got, ok := mangled.Decode(raw, true); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", raw, got, ok, want)
		}
	}
}

// symbols are the names of the functions in a program.
func symbols(t *testing.T, prog string) []string {
	t.Helper()
	f, err := elf.Open(prog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			names = append(names, s.Name)
		}
	}
	return names
}

// checkProgram compares the decoded names of a program that a compiler makes of a
// source with those that it must have; nothing else may be decoded that has not
// the prefix given.
func checkProgram(t *testing.T, prefix string, names []string, want ...string) {
	t.Helper()
	decoded := make(map[string]bool)
	for _, raw := range names {
		name, ok := mangled.Decode(raw, true)
		if ok && !strings.HasPrefix(raw, prefix) {
			t.Errorf("%s is no name of this language: %s", raw, name)
		}
		decoded[strings.TrimRight(name, "0123456789")] = true
	}
	for _, w := range want {
		if !decoded[w] {
			t.Errorf("no %s in %v", w, decoded)
		}
	}
}

// What the compilers themselves make, and gdb's spelling of it.
func TestFortranCompiler(t *testing.T) {
	gfortran := testenv.Need(t, "gfortran-12", "gfortran-12")
	dir := t.TempDir()
	src, prog := filepath.Join(dir, "f.f90"), filepath.Join(dir, "f")
	os.WriteFile(src, []byte("module My_Mod\ncontains\nsubroutine Do_It(n)\ninteger :: n\nprint *, n\nend subroutine\nend module\n"+
		"program p\nuse My_Mod\ncall Do_It(3)\nend program\n"), 0o644)
	if out, err := exec.Command(gfortran, "-g", "-J", t.TempDir(), "-o", prog, src).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkProgram(t, "__my_mod_MOD_", symbols(t, prog), "my_mod::do_it")
	gdb := testenv.Need(t, "gdb", "gdb")
	out, _ := exec.Command(gdb, "-batch", "-ex", "info functions do_it", prog).CombinedOutput()
	if !strings.Contains(string(out), "my_mod::do_it") {
		t.Errorf("gdb has no my_mod::do_it:\n%s", out)
	}
}

func TestOCamlCompiler(t *testing.T) {
	ocamlopt := testenv.Need(t, "ocamlopt", "ocaml-nox")
	dir := t.TempDir()
	src, prog := filepath.Join(dir, "tm.ml"), filepath.Join(dir, "tm")
	os.WriteFile(src, []byte("module Inner = struct let rec work n = if n = 0 then 0 else 1 + work (n - 1) end\n"+
		"let ( +! ) a b = a + b + Sys.opaque_identity 1\nlet my__odd x = Sys.opaque_identity (x + 1)\n"+
		"let () = ignore (Inner.work 3 +! my__odd 2); ignore (List.map my__odd [1])\n"), 0o644)
	if out, err := exec.Command(ocamlopt, "-o", prog, src).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkProgram(t, "caml", symbols(t, prog), "Tm.work_", "Tm.+!_", "Tm.my__odd_", "Stdlib.List.map_")
}

func FuzzDecode(f *testing.F) {
	f.Add("camlT__$2b$21_208")
	f.Add("__m_MOD_f")
	f.Add("_D4main__T3addTiVbi1ZQlFNaiZi")
	f.Add("_D4main4takeFDFNbiZvHAyalG3fKdMxeJcZv")
	f.Fuzz(func(t *testing.T, raw string) {
		if name, ok := mangled.Decode(raw, true); ok == (name == "") || len(name) > 2*len(raw) && (raw[:2] != "_D" || len(name) > 1<<20) {
			t.Errorf("%q: %q, %v", raw, name, ok)
		}
	})
}
