package arrows

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// cpuWord matches a name of a CPU, in an identifier or a text. Those that are
// other words, too, count only where they stand alone.
var cpuWord = regexp.MustCompile(`(?i)amd64|x86|i[3-6]86|ia32|arm64|aarch64|armv[0-9]|thumb|ppc64|powerpc|s390|risc-?v|mips|loong|sparc|parisc|pa-risc|m68k|openrisc|superh|itanium|ia64` +
	`|\b(386|x32|arm|ppc|alpha|sh4|hppa|intel)\b`)

// cpuConstant matches constants of debug/elf that are about one CPU, and the name of
// the CPU that bt is built for.
var cpuConstant = regexp.MustCompile(`^(EM_.*|R_[A-Z0-9]+_.*|GOARCH)$`)

// cpuFile matches the name of a file that is built for one CPU.
var cpuFile = regexp.MustCompile(`_(386|amd64|arm|arm64|loong64|mips|mipsle|mips64|mips64le|ppc64|ppc64le|riscv64|s390x)\.go$`)

// TestCPUs holds all code but that below arch to name no CPU: neither in a constant
// nor in an identifier, a text, a file's name or a build constraint.
func TestCPUs(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f",
		`{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{$p := .ImportPath}}{{range .GoFiles}}{{$p}} {{$d}}/{{.}}{{"\n"}}{{end}}{{range .IgnoredGoFiles}}{{$p}} {{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`,
		module+"cmd/...", module+"maps", module+"elfsym", module+"stack", module+"symbolize").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for line := range strings.Lines(string(out)) {
		pkg, file, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasSuffix(file, "_test.go") {
			continue
		}
		if p := short(pkg) + "/"; strings.HasPrefix(p, "arch/") {
			continue
		}
		files++
		for _, what := range cpusIn(t, file, nil) {
			t.Errorf("%s: what is known of a CPU belongs below internal/arch", what)
		}
	}
	if files < 100 {
		t.Errorf("%d files", files)
	}
}

// cpusIn lists where a file names a CPU outside of its comments. src is the file's
// text, or nil to read it.
func cpusIn(t *testing.T, path string, src any) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	note := func(pos token.Pos, text string) {
		found = append(found, fset.Position(pos).String()+" has "+strconv.Quote(text))
	}
	if cpuFile.MatchString(filepath.Base(path)) {
		note(f.Package, filepath.Base(path))
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if constraint.IsGoBuild(c.Text) && cpuWord.MatchString(c.Text) {
				note(c.Pos(), c.Text)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if n.Name != "EM_NONE" && (cpuConstant.MatchString(n.Name) || cpuWord.MatchString(n.Name)) {
				note(n.Pos(), n.Name)
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING && cpuWord.MatchString(n.Value) {
				note(n.Pos(), n.Value)
			}
		}
		return true
	})
	return found
}

// TestCPUsFinds shows that the test above finds what it looks for.
func TestCPUsFinds(t *testing.T) {
	const clean = `package p

// Of amd64, a comment may speak.
var alphabet, charm, warm = elf.EM_NONE, "an alarm", elf.R_INFO
`
	if got := cpusIn(t, "p.go", clean); len(got) > 0 {
		t.Errorf("in clean code: %q", got)
	}
	for _, tt := range []struct{ file, code string }{
		{"p.go", "var a = elf.EM_X86_64"},
		{"p.go", "var a = elf.R_X86_64_JMP_SLOT"},
		{"p.go", "var a = runtime.GOARCH"},
		{"p.go", "func stubARM64() {}"},
		{"p.go", "type t struct{ thumbBit bool }"},
		{"p.go", `var a = "this is s390x"`},
		{"p.go", `var a = "x32"`},
		{"p.go", `var a = "the Alpha"`},
		{"p.go", `import "golang.org/x/arch/x86/x86asm"`},
		{"p_arm64.go", "var a int"},
	} {
		if got := cpusIn(t, tt.file, "package p\n"+tt.code+"\n"); len(got) == 0 {
			t.Errorf("%s: %s is not found", tt.file, tt.code)
		}
	}
	if got := cpusIn(t, "p.go", "//go:build linux && amd64\n\npackage p\n"); len(got) == 0 {
		t.Error("a build constraint is not found")
	}
}
