package guard_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const planted = "planted by TestFuzzTargetsSeePanics"

// TestFuzzTargetsSeePanics plants a panic in a function that a fuzz target is
// there for, and demands that the target fails on it with no more than its
// seeds: a fuzz target that cannot see a panic tests nothing.
func TestFuzzTargetsSeePanics(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a test binary for each function")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ target, pkg, file, function string }{
		{"FuzzImage", "elfsym", "elfsym/find.go", "findTables"},
		{"FuzzCore", "internal/process/core", "internal/process/core/open.go", "read"},
		{"FuzzCore", "internal/process/core", "internal/process/core/notes.go", "prstatus"},
		{"FuzzLinkMap", "internal/process/core", "internal/process/core/linkmap.go", "imageHeader"},
		{"FuzzCore", "internal/snapshot", "internal/process/core/open.go", "read"},
		{"FuzzCore", "internal/snapshot", "internal/unwind/plan.go", "makePlan"},
		{"FuzzCore", "internal/snapshot", "internal/image/space.go", "Text"},
		{"FuzzMemoryImage", "internal/image", "internal/unwind/cfi/table.go", "find"},
		{"FuzzMemoryImage", "internal/image", "internal/image/golang.go", "goTab"},
		{"FuzzMemoryImage", "internal/image", "elfsym/lookup.go", "Lookup"},
		{"FuzzWrite", "internal/crash/report", "internal/process/core/notes.go", "prstatus"},
		{"FuzzDebuglink", "internal/names/debugfile", "internal/names/debugfile/debuglink.go", "parseDebuglink"},
		{"FuzzNew", "internal/gate/vdso", "internal/gate/vdso/layout.go", "readLayout"},
	} {
		t.Run(tt.target+" "+tt.file+" "+tt.function, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(root, tt.file)
			mutant := filepath.Join(dir, filepath.Base(file))
			if err := os.WriteFile(mutant, plant(t, file, tt.function), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay := filepath.Join(dir, "overlay.json")
			text, err := json.Marshal(map[string]any{"Replace": map[string]string{file: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, text, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-run", "^"+tt.target+"$", "./"+tt.pkg)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte(planted)) {
				t.Errorf("the target does not see the panic (%v):\n%s", err, out)
			}
		})
	}
}

// plant returns the file with a panic at the start of a function or method.
func plant(t *testing.T, path, function string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == function {
			at = append(at, fset.Position(f.Body.Lbrace).Offset+1)
		}
	}
	if len(at) == 0 {
		t.Fatalf("%s has no function %s", path, function)
	}
	// All of that name: methods of several types may share one.
	var b strings.Builder
	last := 0
	for _, off := range at {
		b.Write(text[last:off])
		b.WriteString(` if len("planted") > 0 { panic("` + planted + `") }; `)
		last = off
	}
	b.Write(text[last:])
	return []byte(b.String())
}
