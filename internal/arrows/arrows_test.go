// Package arrows holds the import arrows that ARCHITECTURE.md draws.
package arrows

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gatedso/bt/"

// TestArrows compares the imports of every package with ARCHITECTURE.md.
func TestArrows(t *testing.T) {
	doc, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := make(map[string][]string)
	for _, m := range regexp.MustCompile(`(?m)^    ([a-z0-9/-]+) +→(.*)$`).FindAllStringSubmatch(string(doc), -1) {
		drawn[m[1]] = strings.Fields(m[2])
	}
	if len(drawn) == 0 {
		t.Fatal("ARCHITECTURE.md draws no arrows")
	}

	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		if strings.HasPrefix(pkg, "internal/") || strings.Contains(pkg, "/internal/") {
			continue // for tests alone
		}
		var imports []string
		for _, i := range fields[1:] {
			if name, ok := strings.CutPrefix(i, module); ok {
				imports = append(imports, name)
			}
		}
		want, ok := drawn[pkg]
		if !ok {
			t.Errorf("ARCHITECTURE.md does not draw %s", pkg)
			continue
		}
		delete(drawn, pkg)
		if slices.Sort(want); !slices.Equal(imports, want) {
			t.Errorf("%s imports %v, ARCHITECTURE.md draws %v", pkg, imports, want)
		}
	}
	for pkg := range drawn {
		t.Errorf("ARCHITECTURE.md draws %s, which does not exist", pkg)
	}
}
