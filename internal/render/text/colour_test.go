package text

import (
	"bufio"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/render/rendertest"
	"github.com/gatedso/bt/stack"
)

// The first function of own code stands out in each stack; libraries, runtimes and the
// kernel have colours of their own.
func TestColours(t *testing.T) {
	named := func(path, symbol string) stack.Frame {
		return stack.Frame{PC: 1, Module: &stack.Module{Path: path}, Names: []stack.Name{{Symbol: symbol}}}
	}
	eval := named("/usr/bin/python3", "eval")
	eval.Names = append([]stack.Name{{Symbol: "f", File: "/srv/app.py", Language: "python"}}, eval.Names...)
	eval.Runtime = true
	frames := []stack.Frame{named("[vdso]", "gettime"), named("/usr/lib/libc.so.6", "time"), eval, named("/srv/prog", "main"), named("/srv/prog", "std::thread::run")}
	p := &stack.Process{WordSize: 4, Threads: []stack.Thread{{Frames: frames, End: rendertest.Outermost}, {Frames: frames[3:], End: rendertest.Outermost}}}
	var b strings.Builder
	w := bufio.NewWriter(&b)
	printer := Printer{W: w, Options: Options{Color: true}}
	printer.Threads(p)
	w.Flush()
	var got []string
	for line := range strings.Lines(b.String()) {
		if _, name, ok := strings.Cut(line, "<\x1b["); ok {
			colour, name, _ := strings.Cut(name, "m")
			name, _, _ = strings.Cut(name, "\x1b")
			got = append(got, colour+" "+name)
		}
	}
	want := "35 gettime|36 time|1;32 f|2 eval|32 main|36 std::thread::run|1;32 main|36 std::thread::run"
	if strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", strings.Join(got, "|"), want)
	}
}
