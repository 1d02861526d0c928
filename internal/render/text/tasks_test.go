package text

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/gatedso/bt/stack"
)

func taskText(o Options, tasks ...stack.Task) string {
	var b strings.Builder
	w := bufio.NewWriter(&b)
	p := Printer{W: w, Options: o}
	p.Rest(&stack.Process{WordSize: 8, Goroutines: tasks})
	w.Flush()
	return b.String()
}

func TestTasks(t *testing.T) {
	waits := func(id, minutes int64, pc uint64) stack.Task {
		return stack.Task{ID: id, State: "chan receive", Minutes: minutes, CreatedBy: "main.serve", Creator: 1,
			Frames: []stack.Frame{{PC: pc, Exact: true, Names: []stack.Name{{Symbol: "runtime.gopark", Offset: 0xce}}}},
			End:    stack.End{Reason: stack.Outermost}}
	}
	system := waits(2, 0, 0x1000)
	system.System = true
	one := waits(18, 5, 0x44dfec)
	const frame = "000000000044dfec <runtime.gopark+0xce>\n"
	for _, tt := range []struct {
		name  string
		tasks []stack.Task
		want  string
	}{
		{"one", []stack.Task{one, system}, "# goroutine 18 [chan receive, 5 minutes] created by main.serve (goroutine 1)\n" + frame},
		{"two", []stack.Task{one, waits(19, 5, 0x44dfec)}, "# goroutines 18 and 19 [chan receive, 5 minutes] created by main.serve (goroutine 1)\n" + frame},
		{"many", []stack.Task{one, waits(19, 9, 0x44dfec), waits(22, 6, 0x44dfec), waits(23, 6, 0x44dfec), waits(24, 6, 0x44dfec)},
			"# goroutines 18, 19, 22 and 2 more [chan receive, 5..9 minutes] created by main.serve (goroutine 1)\n" + frame},
	} {
		if got := taskText(Options{}, tt.tasks...); got != tt.want {
			t.Errorf("%s: got\n%swant\n%s", tt.name, got, tt.want)
		}
	}
	if got := taskText(Options{}, one, waits(19, 5, 0x44dfed)); strings.Count(got, "# goroutine ") != 2 {
		t.Errorf("different stacks are put together:\n%s", got)
	}
	if got := taskText(Options{Verbose: true}, system); !strings.HasPrefix(got, "# goroutine 2 ") {
		t.Errorf("a system goroutine is missing:\n%s", got)
	}
}

// TestLanguages prints language frames before the native one, and without it with Brief.
func TestLanguages(t *testing.T) {
	python := stack.Name{Symbol: "f", File: "/srv/app.py", Line: 7, Language: "python"}
	native := stack.Name{Symbol: "_PyEval_EvalFrameDefault", Offset: 0x2e53}
	eval := stack.Frame{PC: 0x1000, Names: []stack.Name{python, native}, Runtime: true}
	call := stack.Frame{PC: 0x2000, Names: []stack.Name{{Symbol: "PyObject_Call", Offset: 1}}, Runtime: true}
	own := stack.Frame{PC: 0x3000, Names: []stack.Name{{Symbol: "mine", Offset: 1}}}
	java := stack.Frame{PC: 0x4000, Names: []stack.Name{{Symbol: "A.f", File: "A.java", Line: 3, Language: "java"}}}
	m := &stack.Process{PID: 1, Name: "x", WordSize: 8, Threads: []stack.Thread{{TID: 1, Name: "x",
		Runtimes: []stack.RuntimeThread{{Language: "python", Name: "Thread-1", Facts: []string{"holds the GIL"}}},
		Waits:    &stack.Wait{Text: "futex for a\x1b"},
		Kernel:   []stack.KernelFrame{{Symbol: "futex_wait_queue", Offset: 0x6e}},
		Frames:   []stack.Frame{eval, call, own, java}, End: stack.End{Reason: stack.Outermost}}}}
	const head = "# process 1 x\n# thread 1 \"x\"\n# python thread \"Thread-1\", holds the GIL\n" +
		"# waits in futex for a\\x1b\n# kernel: futex_wait_queue+0x6e\n"
	print := func(o Options) string {
		var b strings.Builder
		w := bufio.NewWriter(&b)
		p := Printer{W: w, Options: o}
		p.Process(m)
		w.Flush()
		return b.String()
	}
	want := head + "0000000000001000 <f> /srv/app.py:7 (python)\n0000000000001000 <_PyEval_EvalFrameDefault+0x2e53>\n" +
		"0000000000002000 <PyObject_Call+0x1>\n0000000000003000 <mine+0x1>\n0000000000004000 <A.f> A.java:3 (java)\n0000000000004000\n"
	if got := print(Options{}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	want = head + "0000000000001000 <f> /srv/app.py:7 (python)\n0000000000003000 <mine+0x1>\n0000000000004000 <A.f> A.java:3 (java)\n"
	if got := print(Options{Brief: true}); got != want {
		t.Errorf("brief: got\n%swant\n%s", got, want)
	}
}

// Tasks of the same stack are one group, whatever they are called.
func TestNamedTasks(t *testing.T) {
	p := &stack.Process{PID: 1, Name: "python3", WordSize: 8}
	for _, name := range []string{"Task-1", "fetch", "Task-3", "Task-4", "Task-5"} {
		p.Tasks = append(p.Tasks, stack.Task{
			Name: name, State: "waiting", End: stack.End{Reason: stack.Outermost},
			Frames: []stack.Frame{{PC: 0x1000, Exact: true, Managed: true, Names: []stack.Name{{Symbol: "get", File: "/srv/app.py", Line: 7, Language: "python"}}}},
		})
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	(&Printer{W: w}).Rest(p)
	w.Flush()
	const want = "# tasks \"Task-1\", \"fetch\", \"Task-3\" and 2 more [waiting]\n0000000000001000 <get> /srv/app.py:7 (python)\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
