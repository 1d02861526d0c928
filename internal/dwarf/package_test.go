package dwarf_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/dwarf"
	"github.com/gatedso/bt/internal/testenv"
)

// dwoSections are the sections of a .dwo or .dwp file.
func dwoSections(t *testing.T, path string) (dwarf.Sections, []byte) {
	t.Helper()
	im, err := elfsym.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	sec := func(name string) []byte {
		s, _ := im.Section(name)
		return s.Data
	}
	return dwarf.Sections{
		Info: sec(".debug_info.dwo"), Abbrev: sec(".debug_abbrev.dwo"), Line: sec(".debug_line.dwo"), Str: sec(".debug_str.dwo"),
		StrOffsets: sec(".debug_str_offsets.dwo"), RngLists: sec(".debug_rnglists.dwo"),
	}, sec(".debug_cu_index")
}

const otherUnit = `
namespace other {
static inline __attribute__((always_inline)) int inner(int x) { volatile int y = x; return y + 1; }
struct thing { int n; __attribute__((noinline)) int method(int x); };
int thing::method(int x) { return inner(x) * n; }
}
`

// makePackage compiles a program and puts its split units into a package. Some versions
// of llvm-dwp do not end for some IDs of units: it is stopped then, and other IDs, which
// the directory makes, are tried.
func makePackage(t *testing.T, dir, prog, cc, version, dwp string) bool {
	t.Helper()
	for try := range 4 {
		flags := []string{version, "-gsplit-dwarf", "-O2", fmt.Sprintf("-fdebug-prefix-map=%s=/try%d", dir, try)}
		for _, args := range [][]string{
			append([]string{cc, "-c", prog, "-o", "prog.o"}, flags...),
			append([]string{cc, "-c", "other.cc", "-o", "other.o"}, flags...),
			append([]string{cc, "prog.o", "other.o", "-o", "prog"}, flags...),
		} {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, dwp, "-o", "prog.dwp", "prog.dwo", "other.dwo")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		late := ctx.Err() != nil
		cancel()
		switch {
		case err == nil:
			return true
		case !late:
			t.Fatalf("%s: %v\n%s", dwp, err, out)
		}
	}
	return false
}

// TestPackage compares the lines of every byte by a package with those by the .dwo
// files that it was made of, for both versions of the index.
func TestPackage(t *testing.T) {
	for _, v := range []struct{ dwp, pkg, cc, pkgcc, version string }{
		{"dwp", "binutils", "g++", "g++", "-gdwarf-4"},
		{"llvm-dwp", "llvm", "g++", "g++", "-gdwarf-5"},
		{"llvm-dwp", "llvm", "clang++", "clang", "-gdwarf-5"},
		{"llvm-dwp", "llvm", "clang++", "clang", "-gdwarf-4"},
	} {
		t.Run(v.cc+v.version, func(t *testing.T) {
			dwp := testenv.Need(t, v.dwp, v.pkg)
			cc := testenv.Need(t, v.cc, v.pkgcc)
			dir := t.TempDir()
			prog, err := filepath.Abs("testdata/prog.cc")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "other.cc"), []byte(otherUnit), 0o600); err != nil {
				t.Fatal(err)
			}
			if !makePackage(t, dir, prog, cc, v.version, dwp) {
				testenv.Skip(t, "%s does not end", v.dwp)
				return
			}
			im, err := elfsym.OpenPath(filepath.Join(dir, "prog"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { im.Close() })
			s, index := dwoSections(t, filepath.Join(dir, "prog.dwp"))
			p := dwarf.NewPackage(index, s, dwarf.Options{})
			if p == nil {
				t.Fatal("no package")
			}
			byPackage, byFile := options(im), options(im)
			byPackage.Split = func(id uint64, _, _ string) *dwarf.Data { return p.Unit(id) }
			byFile.Split = func(_ uint64, name, _ string) *dwarf.Data {
				s, _ := dwoSections(t, filepath.Join(dir, filepath.Base(name)))
				return dwarf.New(s, dwarf.Options{})
			}
			addrs := everyByte(im)
			got, want := dwarf.New(sections(im), byPackage).Lookup(addrs), dwarf.New(sections(im), byFile).Lookup(addrs)
			inlined := map[string]int{}
			for i, addr := range addrs {
				a, b := got.Frames(nil, i), want.Frames(nil, i)
				if fmt.Sprint(a) != fmt.Sprint(b) {
					t.Fatalf("%x: by the package %v, by the files %v", addr, a, b)
				}
				if len(a) > 1 {
					inlined[a[0].Func]++
				}
			}
			if len(inlined) < 3 || !strings.Contains(fmt.Sprint(inlined), "inner") {
				t.Errorf("inlined calls: %v", inlined)
			}
		})
	}
}

// A package that lies gives nothing, and does not hang.
func TestPackageHostile(t *testing.T) {
	word := func(n uint32) []byte { return []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)} }
	join := func(list ...[]byte) (b []byte) {
		for _, p := range list {
			b = append(b, p...)
		}
		return b
	}
	full := make([]byte, 8*12) // eight slots that are all used, none of them ours
	for i := range 8 {
		full[i*8] = 0xff
		full[64+4*i] = 1
	}
	for what, index := range map[string][]byte{
		"nothing":            nil,
		"unknown version":    join(word(3), word(2), word(1), word(2), make([]byte, 100)),
		"too many units":     join(word(2), word(2), word(1<<31), word(1<<31), make([]byte, 100)),
		"no power of two":    join(word(2), word(2), word(1), word(3), make([]byte, 100)),
		"no columns":         join(word(2), word(0), word(1), word(2), make([]byte, 100)),
		"too many columns":   join(word(2), word(1<<30), word(1), word(2), make([]byte, 100)),
		"cut":                join(word(2), word(2), word(1), word(2), make([]byte, 20)),
		"full":               join(word(2), word(2), word(1), word(8), full, word(1), word(3), make([]byte, 16)),
		"beyond the section": join(word(2), word(2), word(1), word(1), []byte{7, 0, 0, 0, 0, 0, 0, 0}, word(1), word(1), word(3), word(9), word(9), word(9), word(9)),
		"a row too many":     join(word(2), word(2), word(1), word(1), []byte{7, 0, 0, 0, 0, 0, 0, 0}, word(2), word(1), word(3), word(0), word(0), word(0), word(0)),
	} {
		p := dwarf.NewPackage(index, dwarf.Sections{Info: []byte{1, 2, 3, 4}, Abbrev: []byte{0}}, dwarf.Options{})
		if p == nil {
			continue
		}
		if d := p.Unit(7); d != nil {
			t.Errorf("%s: a unit", what)
		}
	}
}
