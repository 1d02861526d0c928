package cpython

import (
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// tell writes the line tables of the functions of some modules, and for each
// instruction its line as dis tells it: 0 for none.
const tell = `
import base64, dis, json, sys, types
import argparse, threading
out = []
def visit(code):
    if sys.version_info >= (3, 10):
        lines = {}
        for start, end, line in code.co_lines():
            for i in range(start, end, 2):
                lines[i] = line or 0
        table = code.co_linetable
    else:
        starts = dict(dis.findlinestarts(code))
        lines, line = {}, code.co_firstlineno
        for i in range(0, len(code.co_code), 2):
            line = starts.get(i, line)
            lines[i] = line
        table = code.co_lnotab
    out.append([code.co_firstlineno, base64.b64encode(table).decode(), [lines.get(i, 0) for i in range(0, len(code.co_code), 2)]])
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            visit(c)
for name, m in list(sys.modules.items()):
    path = getattr(m, "__file__", None)
    if name in ("argparse", "threading", "dis") and path:
        visit(compile(open(path, encoding="utf-8").read(), path, "exec"))
print(json.dumps(out))
`

// The lines of each instruction are those that the interpreter tells.
func TestLines(t *testing.T) {
	known := make(map[string]bool)
	for _, p := range testenv.Pythons(t) {
		minor := p.Name[strings.LastIndex(p.Name, "python"):]
		if known[minor] || testing.Short() && minor != "python3.11" {
			continue
		}
		known[minor] = true
		t.Run(p.Name, func(t *testing.T) {
			out, err := exec.Command(p.Args[0], append(p.Args[1:], "-c", tell)...).Output()
			if err != nil {
				t.Fatal(err)
			}
			var raw [][3]json.RawMessage
			if err := json.Unmarshal(out, &raw); err != nil {
				t.Fatal(err)
			}
			v, _ := versionName(p.Args[len(p.Args)-1])
			n := 0
			for _, r := range raw {
				var c struct {
					first int
					table string
					lines []int
				}
				for i, to := range []any{&c.first, &c.table, &c.lines} {
					if err := json.Unmarshal(r[i], to); err != nil {
						t.Fatal(err)
					}
				}
				table, err := base64.StdEncoding.DecodeString(c.table)
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range c.lines {
					if got := lineIn(v, table, c.first, 2*i); got != want {
						t.Fatalf("%v: code of line %d, instruction %d: line %d, want %d", v, c.first, i, got, want)
					}
					n++
				}
			}
			if n < 1000 {
				t.Errorf("%d instructions were compared", n)
			}
		})
	}
}

// lineIn finds the line in a table of version v.
func lineIn(v version, table []byte, first, at int) int {
	switch {
	case !v.atLeast(10):
		return lnotab(table, first, at)
	case !v.atLeast(11):
		return lineTable(table, first, at)
	}
	return locations(table, first, at)
}

func FuzzLines(f *testing.F) {
	f.Add([]byte{6, 1, 8, 255}, 1, 7)
	f.Add([]byte{0xf8, 0xe8, 1, 0xd0, 1, 2}, 9, 100)
	f.Fuzz(func(t *testing.T, table []byte, first, at int) {
		for minor := 8; minor <= 14; minor++ {
			lineIn(version{3, minor}, table, first, at)
		}
	})
}
