package namediff

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt/elfsym"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/names/debugfile"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// lineAddrs is how many addresses of each file are compared.
const lineAddrs = 100_000

// lineClass is how bt's lines and inlined calls of an address relate to
// llvm-symbolizer's. All but the last are agreements, or differences that the comment
// explains.
type lineClass int

const (
	sameLines lineClass = iota
	// neither knows a line.
	noLines
	// emptyFile: llvm-symbolizer has a file without a line, the name of the unit or of
	// a STT_FILE symbol.
	emptyFile
	// padding: behind the end of each function of DWARF, where the line table goes on
	// (6.2.5.3: a row holds up to the next one). One of the two names it by the row.
	padding
	// path: the same file by another path: one of them joins directories that are
	// relative, or takes "." and ".." away.
	path
	// lineZero: code that belongs to no line. llvm-symbolizer approximates it by the
	// row before; 6.2.2 says that line 0 is for what "cannot be attributed".
	lineZero
	// goTables: a Go function's own tables know what DWARF does not.
	goTables
	// folded: several functions of the debug information have the address, and each of the
	// two answers is what one of them has.
	folded
	// mixed: bt's answer is what one of the functions has; llvm-symbolizer's is what none
	// has: the line of one with the calls of another.
	mixed
	otherLines
	numLineClasses
)

var lineClassNames = [numLineClasses]string{"same", "nothing", "file alone", "padding", "path", "line 0", "Go's tables", "folded", "mixed", "OTHER"}

// place is one frame's.
type place struct {
	name, file string
	line, col  int
}

// llvmLines asks llvm-symbolizer for the inlined chain of each address.
func llvmLines(t *testing.T, file string, addrs []uint64) [][]place {
	var in strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&in, "%#x\n", a)
	}
	cmd := exec.Command("llvm-symbolizer", "--obj="+file, "--inlines", "--functions=linkage", "--no-demangle")
	cmd.Stdin = strings.NewReader(in.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]place
	for _, block := range strings.Split(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
		lines := strings.Split(strings.Trim(block, "\n"), "\n")
		var frames []place
		for i := 0; i+1 < len(lines); i += 2 {
			p := place{name: lines[i]}
			at := strings.Split(lines[i+1], ":")
			if n := len(at); n >= 3 {
				p.line, _ = strconv.Atoi(at[n-2])
				p.col, _ = strconv.Atoi(at[n-1])
				p.file = strings.Join(at[:n-2], ":")
			}
			if p.file == "??" {
				p.file = ""
			}
			frames = append(frames, p)
		}
		all = append(all, frames)
	}
	if len(all) != len(addrs) {
		t.Fatalf("llvm-symbolizer answered %d of %d addresses", len(all), len(addrs))
	}
	return all
}

// btLines is the same of bt's.
func btLines(t *testing.T, file string, addrs []uint64) [][]place {
	im, err := elfsym.OpenPath(file)
	if err != nil {
		t.Fatal(err)
	}
	finder := &debugfile.Finder{Dirs: []string{debugDir}}
	defer func() { finder.Close(); im.Close() }()
	sym := symbolize.NewForImage(symbolize.Options{Demangle: symbolize.None, BareNames: true, Debug: finder})
	lines := sym.ImageLinesOf(image.NewImage(im), len(addrs), func(i int) (uint64, bool) { return addrs[i], true })
	all := make([][]place, len(addrs))
	var names []stack.Name
	for i := range addrs {
		names = lines.Names(names[:0], i)
		for _, n := range names {
			all[i] = append(all[i], place{n.Symbol, n.File, n.Line, n.Column})
		}
	}
	return all
}

// compareLines puts two answers into a class.
func compareLines(bt, llvm []place) lineClass {
	known := len(llvm) > 0 && llvm[0].line > 0
	switch {
	case len(bt) == 0 && !known:
		if len(llvm) > 0 && llvm[0].file != "" {
			return emptyFile
		}
		return noLines
	case len(bt) == 0:
		return padding
	case bt[0].file == "" && !known:
		return emptyFile
	case len(llvm) == 1 && llvm[0].file == "":
		if strings.HasSuffix(bt[0].file, ".go") || strings.HasSuffix(bt[0].file, ".s") {
			return goTables
		}
		return padding
	case len(bt) != len(llvm):
		return otherLines
	}
	c := sameLines
	for i := range bt {
		b, l := bt[i], llvm[i]
		switch {
		case b.line == 0 && l.line != 0 && i == 0 && l.file == b.file:
			c = lineZero
			continue
		case b.line != l.line || b.col != l.col:
			return otherLines
		case i < len(bt)-1 && b.name != l.name && !strings.HasSuffix(b.name, "::"+l.name):
			return otherLines
		case b.file != l.file:
			if filepath.Base(b.file) != filepath.Base(l.file) || filepath.Clean(b.file) != filepath.Clean(l.file) &&
				!strings.HasSuffix(filepath.Clean(b.file), filepath.Clean("/"+l.file)) && !strings.HasSuffix(filepath.Clean(l.file), filepath.Clean("/"+b.file)) {
				return otherLines
			}
			c = path
		}
	}
	return c
}

// diffLines compares the lines of a file: of every byte of its code, or of as many
// random ones. plain is the file of which llvm-symbolizer is asked. all, unless nil, is what
// tells folded functions.
func diffLines(t *testing.T, file, plain string, all *described) {
	im, err := elfsym.OpenPath(file)
	if err != nil {
		t.Fatal(err)
	}
	var addrs []uint64
	total := uint64(0)
	for lo, hi := range im.CodeRanges() {
		total += hi - lo
	}
	rng := rand.New(rand.NewPCG(*seed, 3))
	for lo, hi := range im.CodeRanges() {
		for a := lo; a < hi; a++ {
			if total <= lineAddrs || rng.Uint64N(total) < lineAddrs {
				addrs = append(addrs, a)
			}
		}
	}
	im.Close()
	bt, llvm := btLines(t, file, addrs), llvmLines(t, plain, addrs)
	var by [numLineClasses]int
	for i, a := range addrs {
		c := compareLines(bt[i], llvm[i])
		if c == otherLines && all != nil && all.folded(a) && all.says(a, bt[i]) {
			if c = mixed; all.says(a, llvm[i]) {
				c = folded
			}
		}
		if by[c]++; c == otherLines && by[c] <= 5 {
			t.Logf("%#x: bt %v, llvm-symbolizer %v", a, bt[i], llvm[i])
		}
	}
	var text strings.Builder
	for c, n := range by {
		if n > 0 {
			fmt.Fprintf(&text, "  %s %d", lineClassNames[c], n)
		}
	}
	comparable := by[sameLines] + by[path] + by[otherLines]
	t.Logf("%d addresses:%s; %d comparable", len(addrs), text.String(), comparable)
	// What debug/dwarf explains leaves nothing open.
	if comparable == 0 || by[otherLines] > comparable/1000 || all != nil && by[otherLines] > 0 {
		t.Errorf("%d of %d differ", by[otherLines], comparable)
	}
}

// producers are compilers, and what they make of the programs in testdata.
var producers = []struct {
	name, tool, pkg string
	args            []string
}{
	{"gcc -O2", "g++", "g++", []string{"-O2", "-g", "testdata/templates.cc"}},
	{"gcc -O0", "g++", "g++", []string{"-O0", "-g", "testdata/templates.cc"}},
	{"gcc -flto", "g++", "g++", []string{"-O3", "-flto", "-g", "testdata/templates.cc"}},
	{"gcc -g1", "g++", "g++", []string{"-O2", "-g1", "testdata/templates.cc"}},
	{"gcc DWARF 4", "g++", "g++", []string{"-O2", "-g", "-gdwarf-4", "testdata/templates.cc"}},
	{"gcc DWARF 3", "g++", "g++", []string{"-O2", "-g", "-gdwarf-3", "-gstrict-dwarf", "testdata/templates.cc"}},
	{"gcc type units", "g++", "g++", []string{"-O2", "-g", "-fdebug-types-section", "testdata/templates.cc"}},
	{"gcc discarded", "g++", "g++", []string{"-O2", "-g", "-ffunction-sections", "-Wl,--gc-sections", "testdata/templates.cc"}},
	{"gold ICF", "g++", "g++", []string{"-O2", "-g", "-ffunction-sections", "-fuse-ld=gold", "-Wl,--icf=all", "testdata/templates.cc"}},
	{"lld ICF", "clang++", "clang", []string{"-std=c++17", "-O2", "-g", "-ffunction-sections", "-fuse-ld=lld", "-Wl,--icf=all,--gc-sections", "testdata/templates.cc"}},
	{"clang -O2", "clang++", "clang", []string{"-std=c++17", "-O2", "-g", "testdata/templates.cc"}},
	{"clang DWARF 4", "clang++", "clang", []string{"-std=c++17", "-O2", "-g", "-gdwarf-4", "testdata/templates.cc"}},
	{"clang line tables", "clang++", "clang", []string{"-std=c++17", "-O2", "-gline-tables-only", "testdata/templates.cc"}},
	{"Rust", "rustc", "rustc", []string{"--edition", "2021", "-g", "-O", "testdata/lines.rs"}},
	{"Fortran", "gfortran-12", "gfortran-12", []string{"-O2", "-g", "testdata/lines.f90"}},
	{"D, gdc", "gdc-12", "", []string{"-O2", "-g", "testdata/lines.d"}},
	{"D, ldc", "ldc2", "", []string{"-O2", "-g", "testdata/lines.d"}},
	{"Ada", "gnatmake-12", "", []string{"-O2", "-g", "-gnatn", "testdata/lines.adb"}},
	{"OCaml", "ocamlopt", "ocaml-nox", []string{"-g", "testdata/lines.ml"}},
	{"Go", "go", "", []string{"build", "github.com/gatedso/bt/cmd/bt"}},
}

// TestLines compares the source lines and inlined calls of what many compilers make
// with those of llvm-symbolizer.
func TestLines(t *testing.T) {
	if !*full {
		t.Skip("only with -full: make diff")
	}
	needPeers(t)
	for _, p := range producers {
		t.Run(p.name, func(t *testing.T) {
			tool, err := exec.LookPath(p.tool)
			if err != nil {
				if p.pkg != "" {
					testenv.Need(t, p.tool, p.pkg)
				}
				t.Skipf("no %s", p.tool)
			}
			out := filepath.Join(t.TempDir(), "prog")
			cmd := exec.Command(tool, append([]string{"-o", out}, p.args...)...)
			switch p.tool {
			case "go":
				cmd.Args = append([]string{"go", "build", "-o", out}, p.args[1:]...)
			case "ldc2":
				cmd.Args = append([]string{"ldc2", "-of=" + out}, p.args...)
			case "gfortran-12", "gnatmake-12", "ocamlopt":
				// They leave files beside the source, or where they run.
				cmd.Dir = filepath.Dir(out)
				src := p.args[len(p.args)-1]
				text, err := os.ReadFile(src)
				if err == nil {
					err = os.WriteFile(filepath.Join(cmd.Dir, filepath.Base(src)), text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				cmd.Args[len(cmd.Args)-1] = filepath.Base(src)
			}
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			var all *described
			if strings.Contains(p.name, "ICF") {
				all = describe(t, out)
			}
			diffLines(t, out, out, all)
		})
	}
	// Debian's debug packages have been through dwz.
	for _, file := range find("/usr/bin/python3.11d") {
		t.Run(filepath.Base(file), func(t *testing.T) { diffLines(t, file, file, nil) })
	}
}
