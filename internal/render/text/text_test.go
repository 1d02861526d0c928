package text

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/stack"
)

// inlined is a frame with inlined calls and lines.
var inlined = stack.Frame{
	PC: 0x11010, Module: &stack.Module{Path: "/lib/lib\x1b.so", BuildID: "cafe01"}, ModuleOffset: 0x1010,
	Names: []stack.Name{
		{Symbol: "sum", File: "/src/list.c", Line: 4, Column: 66, Inlined: true},
		{Symbol: "work<\x1b>", File: "/src/list\n.c", Line: 5, Inlined: true},
		{Symbol: "main", Offset: 0x10, File: "/src/list.c"},
	},
}

// Columns of the source and lines of inlined calls, as cli.md has them.
func TestSource(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		f    stack.Frame
		want string
	}{
		{"none", Options{}, inlined, "00011010 <main+0x10>\n"},
		{"source", Options{Source: true}, inlined, "00011010 <main+0x10> /src/list.c:4:66\n"},
		{"inlines", Options{Source: true, Inlines: true}, inlined,
			"00011010 <sum> /src/list.c:4:66 (inlined)\n" +
				`00011010 <work<\x1b>> /src/list\x0a.c:5 (inlined)` + "\n" +
				"00011010 <main+0x10> /src/list.c:?\n"},
		{"all", Options{Source: true, Inlines: true, Basenames: true, Module: true, BuildID: true}, inlined,
			`00011010 <sum> list.c:4:66 (inlined)` + "\n" +
				`00011010 <work<\x1b>> list\x0a.c:5 (inlined)` + "\n" +
				`00011010 <main+0x10> /lib/lib\x1b.so [cafe01] list.c:?` + "\n"},
		{"colour", Options{Inlines: true, Color: true}, inlined,
			"00011010 <\x1b[36msum\x1b[0m> /src/list.c:4:66 (inlined)\n" + "00011010 <\x1b[36mwork<\\x1b>\x1b[0m> /src/list\\x0a.c:5 (inlined)\n" + "00011010 <\x1b[36mmain\x1b[0m+0x10>\n"},
		{"raw", Options{Source: true, Inlines: true, Raw: true}, inlined, "00011010\n"},
		// A frame of a language runtime stands there whatever is asked for.
		{"language", Options{}, stack.Frame{PC: 0x11010, Names: []stack.Name{
			{Symbol: "<module>", File: "/srv/app.py", Line: 9, Language: "python"},
			{Symbol: "_PyEval_EvalFrameDefault", Offset: 3},
		}}, "00011010 <<module>> /srv/app.py:9 (python)\n00011010 <_PyEval_EvalFrameDefault+0x3>\n"},
		{"place alone", Options{Source: true}, stack.Frame{PC: 0x11010, Miss: stack.NoSymbol, Names: []stack.Name{{File: "a.c", Line: 1}}},
			"00011010 a.c:1\n"},
	} {
		if d := cmp.Diff(tt.want, string(tt.o.AppendFrame(nil, &tt.f, 4))); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// Notes stand behind the head of their thread, and those of the process at its end.
func TestNoteLines(t *testing.T) {
	var out bytes.Buffer
	p := Printer{W: bufio.NewWriter(&out)}
	p.Process(&stack.Process{
		PID: 7, Name: "prog", WordSize: 4,
		Notes: []stack.Note{{Kind: "deadlock", Text: "deadlock: 8 waits for 8\x1b"}},
		Threads: []stack.Thread{{
			TID: 8, Name: "w", Notes: []stack.Note{{Kind: "waits", Text: "waits in futex"}},
			Frames: []stack.Frame{{PC: 1}, {PC: 2}}, WordSize: 8,
			End: stack.End{Reason: stack.Loop, Text: "round and round"},
		}, {TID: 9, Frames: []stack.Frame{{PC: 3}}, End: stack.End{Reason: stack.Outermost}}},
	})
	p.W.Flush()
	want := []string{
		"# process 7 prog", `# thread 8 "w"`, "# waits in futex", "0000000000000001", "0000000000000002", "# end: round and round",
		`# thread 9 ""`, "00000003", `# deadlock: 8 waits for 8\x1b`, "",
	}
	if d := cmp.Diff(want, strings.Split(out.String(), "\n")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A line costs no allocation.
func TestAppendFrameAllocs(t *testing.T) {
	o := Options{Module: true, Color: true}
	f := stack.Frame{PC: 0x7f0012345678, Names: []stack.Name{{Symbol: "foo::bar(int)", Offset: 0x1234}}}
	buf := make([]byte, 0, 256)
	if allocs := testing.AllocsPerRun(100, func() { buf = o.AppendFrame(buf[:0], &f, 8) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
	if got := string(buf); got != "00007f0012345678 <\x1b[32mfoo::bar(int)\x1b[0m+0x1234>\n" {
		t.Errorf("%q", got)
	}
}
