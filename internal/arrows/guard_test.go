package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// allowed are the places outside of internal/guard that may do what is its own,
// with the reason.
var allowed = map[string]string{
	"cmd/bt guard.Contain":            "a command contains panics",
	"cmd/bt-debuginfod guard.Contain": "a command contains panics",
}

// TestGuardAlone: nothing but internal/guard maps files, takes faults, recovers from
// panics or starts a goroutine that a panic could end with a trace. Tests may.
func TestGuardAlone(t *testing.T) {
	root := "../.."
	found := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || rel == "internal/guard" || strings.HasPrefix(name, ".") && rel != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		dir := filepath.Dir(rel)
		if base := filepath.Base(dir); strings.HasPrefix(base, "test") || base == "namediff" {
			return nil // packages for tests alone
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if what := forbidden(n); what != "" {
				key := dir + " " + what
				if found[key] = true; allowed[key] == "" {
					t.Errorf("%s: %s: use internal/guard", fset.Position(n.Pos()), what)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key := range allowed {
		if !found[key] {
			t.Errorf("%s is allowed and not there", key)
		}
	}
}

// forbidden names what only internal/guard may do, "" if n does nothing of it.
func forbidden(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		if selector(n.Call.Fun) != "guard.Run" {
			return "a go statement without guard.Run"
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "recover" {
			return "recover"
		}
		switch name := selector(n.Fun); {
		case strings.HasSuffix(name, ".SetPanicOnFault"), strings.HasSuffix(name, ".Mmap"), name == "guard.Contain":
			return name
		case strings.HasSuffix(name, ".Go") && name != "guard.Go":
			return name
		}
	}
	return ""
}

// selector writes x.Sel as "x.Sel", other expressions as "".
func selector(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := s.X.(*ast.Ident); ok {
		return x.Name + "." + s.Sel.Name
	}
	return "." + s.Sel.Name
}
