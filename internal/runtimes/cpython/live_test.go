//go:build linux

package cpython_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

// each runs a test with the CPythons on the machine: with BT_FULL=1 all of them,
// otherwise one of each version, and with -short two of them all.
func each(t *testing.T, run func(t *testing.T, p testenv.Python)) {
	known := make(map[string]bool)
	for _, p := range testenv.Pythons(t) {
		minor := p.Name[strings.LastIndex(p.Name, "python"):]
		if (known[minor] || testing.Short() && minor != "python3.11" && minor != "python3.13") && !testenv.Full() {
			continue
		}
		known[minor] = true
		t.Run(p.Name, func(t *testing.T) { run(t, p) })
	}
}

// start runs a program of testdata until it has written its first line.
func start(t testing.TB, p testenv.Python, program string) (pid int, line string) {
	t.Helper()
	cmd := p.Command(t, "testdata/"+program)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(cmd) })
	late := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer late.Stop()
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return cmd.Process.Pid, line
}

func stop(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// take takes the stacks of a process.
func take(t *testing.T, pid int) *stack.Process {
	t.Helper()
	s := bt.New(&bt.Options{MaxFrames: 100000})
	defer s.Close()
	p, err := s.Stacks(context.Background(), pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pythonFrames are the Python frames of a thread, the innermost first.
func pythonFrames(th *stack.Thread) (names []stack.Name) {
	for i := range th.Frames {
		for _, n := range th.Frames[i].Names {
			if n.Language == "python" {
				names = append(names, n)
			}
		}
	}
	return names
}

func notes(t *testing.T, what string, notes []stack.Note) {
	t.Helper()
	for _, n := range notes {
		if n.Kind == "python" && n.Missing {
			t.Errorf("%s: %s", what, n.Text)
		}
	}
}

// The frames of threads that stand still are those that the interpreter itself tells.
func TestOwnView(t *testing.T) {
	each(t, func(t *testing.T, p testenv.Python) {
		pid, line := start(t, p, "still.py")
		compareView(t, take(t, pid), line)
	})
}

func compareView(t *testing.T, got *stack.Process, line string) {
	t.Helper()
	var view map[string]struct {
		Name   string
		Frames [][3]any
	}
	if err := json.Unmarshal([]byte(line), &view); err != nil {
		t.Fatal(err)
	}
	notes(t, "process", got.Notes)
	seen := 0
	for i := range got.Threads {
		th := &got.Threads[i]
		want, ok := view[strconv.Itoa(th.TID)]
		if !ok {
			continue
		}
		seen++
		notes(t, want.Name, th.Notes)
		if len(th.Runtimes) != 1 || th.Runtimes[0].Name != want.Name {
			t.Errorf("%s: the runtime's thread is %+v", want.Name, th.Runtimes)
		}
		names := pythonFrames(th)
		for k, w := range want.Frames {
			if k >= len(names) {
				t.Errorf("%s: frame %d %v is missing", want.Name, k, w)
				break
			}
			n := names[k]
			if n.Symbol != w[0] || n.File != w[1] || float64(n.Line) != w[2] {
				t.Errorf("%s: frame %d is %s %s:%d, want %v", want.Name, k, n.Symbol, n.File, n.Line, w)
			}
		}
		if len(names) > len(want.Frames) {
			t.Errorf("%s: %d frames, want %d", want.Name, len(names), len(want.Frames))
		}
	}
	if seen != len(view) || seen < 15 {
		t.Errorf("%d threads of %d were compared", seen, len(view))
	}
}

// Each stack of a program that computes is whole, and each frame's line calls the next.
func TestBusy(t *testing.T) {
	samples := 5
	if testenv.Full() {
		samples = 100
	}
	text, err := os.ReadFile("testdata/busy.py")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	each(t, func(t *testing.T, p testenv.Python) {
		pid, _ := start(t, p, "busy.py")
		seen, between := 0, 0
		for range samples {
			got := take(t, pid)
			notes(t, "process", got.Notes)
			for i := range got.Threads {
				seen++
				if saysBetween(&got.Threads[i]) {
					between++
					continue
				}
				checkCalls(t, &got.Threads[i], lines)
			}
			if t.Failed() {
				break
			}
		}
		if between > 1+seen/100 {
			t.Errorf("the frames of %d threads of %d did not fit together", between, seen)
		}
	})
}

// saysBetween reports whether bt says that a thread's frames do not fit together: for a
// few instructions of a call the interpreter's function runs already, and has not yet
// linked its frame to those before, or made it whole.
func saysBetween(th *stack.Thread) bool {
	return slices.ContainsFunc(th.Notes, func(n stack.Note) bool {
		return strings.Contains(n.Text, "do not fit together") || strings.Contains(n.Text, "cannot all be read")
	})
}

// checkCalls checks that each Python frame of busy.py is at a line that calls the next.
func checkCalls(t *testing.T, th *stack.Thread, lines []string) {
	t.Helper()
	notes(t, th.Name, th.Notes)
	names := pythonFrames(th)
	if len(names) == 0 || names[len(names)-1].Symbol != "<module>" && !strings.HasSuffix(names[len(names)-1].Symbol, "_bootstrap") {
		t.Errorf("the stack of %d does not end at its start: %v", th.TID, names)
		return
	}
	for k, n := range names {
		if !strings.HasSuffix(n.File, "busy.py") {
			continue
		}
		// The compiler gives no line to what it adds around exception handlers
		// (PUSH_EXC_INFO and so on), and neither does f_lineno.
		if n.Line == 0 && k == 0 && n.Symbol == "failing" {
			continue
		}
		if n.Line < 1 || n.Line > len(lines) {
			t.Errorf("%s is at line %d", n.Symbol, n.Line)
			continue
		}
		text := lines[n.Line-1]
		if k == 0 {
			continue
		}
		inner := names[k-1]
		callee := inner.Symbol[strings.LastIndex(inner.Symbol, ".")+1:]
		if strings.HasPrefix(callee, "<") && callee != "<module>" {
			callee = "[" // a comprehension
		}
		if strings.HasPrefix(inner.File, "<frozen") || !strings.HasSuffix(inner.File, "busy.py") && inner.Symbol != "<module>" {
			continue
		}
		if !strings.Contains(text, callee) {
			t.Errorf("%s:%d %q does not call %s", n.Symbol, n.Line, text, inner.Symbol)
		}
	}
}

// The tasks of asyncio are those that it tells itself, with the lines of their coroutines.
func TestTasks(t *testing.T) {
	each(t, func(t *testing.T, p testenv.Python) {
		pid, line := start(t, p, "tasks.py")
		got := take(t, pid)
		var view map[string][][2]any
		if err := json.Unmarshal([]byte(line), &view); err != nil {
			t.Fatal(err)
		}
		if len(view) == 0 { // asyncio of that version does not tell
			if len(got.Tasks) != 0 || len(got.Notes) != 1 || !strings.Contains(got.Notes[0].Text, "asyncio") {
				t.Errorf("%d tasks, notes %v", len(got.Tasks), got.Notes)
			}
			return
		}
		notes(t, "process", got.Notes)
		want, have := make(map[string]string), make(map[string]string)
		for name, frames := range view {
			want[name] = fmt.Sprint(frames)
		}
		states := make(map[string]string)
		for i := range got.Tasks {
			task := &got.Tasks[i]
			var frames [][2]any
			for _, f := range task.Frames {
				if len(f.Names) != 1 || !f.Managed {
					t.Errorf("%s: %+v", task.Name, f)
					continue
				}
				frames = append(frames, [2]any{f.Names[0].Symbol, f.Names[0].Line})
			}
			have[task.Name] = fmt.Sprint(frames)
			states[task.Name] = task.State
			if w := task.Waits; w != nil && w.Kind == "task" {
				states[task.Name] += " for " + w.Text
			} else if w != nil {
				states[task.Name] += " for " + strings.Fields(w.Text)[0]
			}
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("(-asyncio +bt):\n%s", diff)
		}
		for name, want := range map[string]string{
			"one": "waiting for Future", "late": "not started", "iterates": "waiting in async_generator_asend for Future",
			"gatherer": "waiting for _GatheringFuture", "waits": `waiting for task "one"`,
		} {
			if states[name] != want {
				t.Errorf("%s is %q, want %q", name, states[name], want)
			}
		}
	})
}

// A thread runs the code of the interpreters that it has entered, whoever has made them.
func TestSubInterpreters(t *testing.T) {
	each(t, func(t *testing.T, p testenv.Python) {
		if strings.Contains(p.Name, "python3.8") || strings.Contains(p.Name, "python3.9") {
			t.Skip("nothing tells which thread runs what before 3.10")
		}
		pid, _ := start(t, p, "subs.py")
		got := take(t, pid)
		notes(t, "process", got.Notes)
		running := 0
		for i := range got.Threads {
			th := &got.Threads[i]
			notes(t, fmt.Sprint("thread ", th.TID), th.Notes)
			var names []string
			for _, n := range pythonFrames(th) {
				names = append(names, n.Symbol)
			}
			text := strings.Join(names, " ")
			switch {
			case th.TID == pid && text != "<module>":
				t.Errorf("the main thread runs %s", text)
			case strings.HasPrefix(text, "in_sub outer <module> run "):
				running++
			case th.TID != pid:
				t.Errorf("thread %d runs %q", th.TID, text)
			}
		}
		if running != 2 {
			t.Errorf("%d threads run an interpreter of their own", running)
		}
	})
}
