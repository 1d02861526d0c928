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

	// What no program and no public package imports is for tests alone.
	out, err := exec.Command("go", "list", "-deps", "-f",
		`{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{range .Imports}} {{.}}{{end}}{{end}}{{end}}`,
		strings.TrimSuffix(module, "/"), module+"cmd/...", module+"stack", module+"maps", module+"elfsym", module+"stack", module+"symbolize").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg := short(fields[0])
		var imports []string
		for _, i := range fields[1:] {
			if strings.HasPrefix(i, module) {
				imports = append(imports, short(i))
			}
		}
		slices.Sort(imports)
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

// short is a package's path as ARCHITECTURE.md writes it. The root is bt.
func short(path string) string {
	if path+"/" == module {
		return "bt"
	}
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "internal/")
}
