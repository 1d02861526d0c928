//go:build linux

package v8_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

// nodes returns the node commands that there are: that of the PATH, and those that
// BT_NODE lists, separated by colons.
func nodes(t testing.TB) (list []string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, path := range append([]string{testenv.Need(t, "node", "nodejs")}, filepath.SplitList(os.Getenv("BT_NODE"))...) {
		if real, err := filepath.EvalSymlinks(path); path != "" && err == nil && !seen[real] {
			seen[real] = true
			list = append(list, real)
		}
	}
	return list
}

// each runs a test with each node.
func each(t *testing.T, run func(t *testing.T, node string)) {
	for _, node := range nodes(t) {
		t.Run(node, func(t *testing.T) { run(t, node) })
	}
}

// start runs a program of testdata until it has written n lines.
func start(t testing.TB, node string, n int, args ...string) (pid int, lines []string) {
	t.Helper()
	cmd := exec.Command(node, args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	for r := bufio.NewReader(out); len(lines) < n; {
		line, err := r.ReadString('\n')
		if err != nil {
			cmd.Wait()
			if strings.Contains(said.String(), "bad option") {
				t.Skipf("%v: %s", cmd, said.String())
			}
			t.Fatalf("%v: %v\n%s", cmd, err, said.String())
		}
		lines = append(lines, line)
	}
	return cmd.Process.Pid, lines
}

// take takes the stacks of a process when n of its threads have said their line, and wait in
// a function of that name.
func take(t *testing.T, pid, n int, name string) *stack.Process {
	t.Helper()
	s := bt.New(&bt.Options{MaxFrames: 100000})
	defer s.Close()
	for try := 0; ; try++ {
		p, err := s.Stacks(context.Background(), pid)
		if err != nil {
			t.Fatal(err)
		}
		waiting := 0
		for i := range p.Threads {
			if got := calls(&p.Threads[i]); len(got) > 0 && got[0].name == name {
				waiting++
			}
		}
		if waiting == n || try == 100 {
			return p
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// call is a call as the program or bt tells it.
type call struct {
	name, file   string
	line, column int
}

// calls are the JavaScript frames of a thread, the innermost first.
func calls(th *stack.Thread) (list []call) {
	for i := range th.Frames {
		for _, n := range th.Frames[i].Names {
			if n.Language == "js" {
				list = append(list, call{n.Symbol, n.File, n.Line, n.Column})
			}
		}
	}
	return list
}

// view is the stack that the program tells itself.
func view(t *testing.T, line string) (list []call) {
	t.Helper()
	var sites [][4]any
	if err := json.Unmarshal([]byte(line), &sites); err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		list = append(list, call{s[0].(string), strings.TrimPrefix(s[1].(string), "file://"), int(s[2].(float64)), int(s[3].(float64))})
	}
	return list
}

// differs tells how a frame of bt's differs from the program's own view; "" for not at all.
func differs(got, want call) string {
	if want.file == "" {
		want.file = "<anonymous>"
	}
	// V8 tells the name that the function object has, and calls what has none in
	// code that eval has compiled by that; bt reads the name in the source.
	name := got.name[strings.LastIndexByte(got.name, '.')+1:]
	name = strings.TrimPrefix(name, "get ")
	short := strings.TrimPrefix(want.name[strings.LastIndexByte(want.name, '.')+1:], "get ")
	dynamic := want.name == "" || want.name == "eval" || want.name == "computed1" || strings.HasPrefix(want.name, "[")
	switch {
	case name != short && !(dynamic && got.name == "<anonymous>") && want.name != "":
		return "name"
	case got.file != want.file:
		return "file"
	case got.line != want.line:
		return "line"
	case got.column != want.column:
		return "column"
	}
	return ""
}

// compare compares the JavaScript frames of a thread with the program's own view.
func compare(t *testing.T, th *stack.Thread, want []call) {
	t.Helper()
	if th.End.Reason != stack.Outermost {
		t.Errorf("thread %d ends: %s", th.TID, th.End.Text)
	}
	got := calls(th)
	if len(got) == 0 || got[0].name != "wait" {
		t.Errorf("the innermost call is not that of wait: %v", got[:min(len(got), 3)])
		return
	}
	got = got[1:]
	if len(got) > 0 && len(want) > 0 && got[0].name == "block" {
		got[0].column = want[0].column // its two calls are in one line
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) {
			t.Errorf("%d frames, want %d", len(got), len(want))
			return
		}
		if what := differs(got[i], want[i]); what != "" {
			t.Errorf("frame %d: another %s: %v, want %v", i, what, got[i], want[i])
		}
	}
}

// variants are the ways to run the program: the tiers of V8, and with what its debugger and
// profilers change.
func variants() [][]string {
	return [][]string{nil, {"--jitless"}, {"--always-sparkplug"}, {"--interpreted-frames-native-stack"}, {"--cpu-prof", "--cpu-prof-dir=" + os.TempDir()}, {coverage}}
}

// Functions that were optimised, and those that are inlined into them, are told as well.
func TestOptimised(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		for _, tier := range []string{"turbofan", "maglev"} {
			// Node.js before 24 has no Maglev, V8 12.9 no positions of optimised code.
			if v := version(t, node); v == 23 || v < 24 && tier == "maglev" {
				continue
			}
			t.Run(tier, func(t *testing.T) {
				args := []string{"--allow-natives-syntax", "testdata/optimised.js", tier}
				if tier == "maglev" {
					args = append([]string{"--maglev"}, args...)
				}
				pid, lines := start(t, node, 1, args...)
				p := take(t, pid, 1, "wait")
				compiled := 0
				for i := range p.Threads[0].Frames {
					if p.Threads[0].Frames[i].Found == "runtime" {
						compiled++
					}
				}
				if compiled == 0 {
					t.Error("no frame was found by what V8 knows of its code")
				}
				compare(t, &p.Threads[0], view(t, lines[0]))
			})
		}
	})
}

// version is the major version of a node.
func version(t *testing.T, node string) int {
	t.Helper()
	out, err := exec.Command(node, "-p", "process.versions.node").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(string(out), ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Each worker thread has an isolate of its own.
func TestWorkers(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		const workers = 3
		pid, lines := start(t, node, workers, "testdata/still.js", "worker")
		p := take(t, pid, workers, "wait")
		want := view(t, lines[0])
		found := 0
		for i := range p.Threads {
			th := &p.Threads[i]
			if got := calls(th); len(got) > 0 && got[0].name == "wait" {
				found++
				compare(t, th, want)
			}
		}
		if found != workers {
			t.Errorf("%d threads wait, want %d", found, workers)
		}
	})
}

// A core tells the same.
func TestCore(t *testing.T) {
	gcore := testenv.Need(t, "gcore", "gdb")
	each(t, func(t *testing.T, node string) {
		pid, lines := start(t, node, 1, "--always-sparkplug", "testdata/still.js")
		take(t, pid, 1, "wait")
		core := filepath.Join(t.TempDir(), "core")
		if out, err := exec.Command(gcore, "-o", core, strconv.Itoa(pid)).CombinedOutput(); err != nil {
			t.Fatalf("gcore: %v\n%s", err, out)
		}
		p, err := bt.Core(context.Background(), fmt.Sprintf("%s.%d", core, pid), &bt.Options{MaxFrames: 100000})
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Threads {
			if p.Threads[i].TID == pid {
				compare(t, &p.Threads[i], view(t, lines[0]))
				return
			}
		}
		t.Error("the thread is missing")
	})
}

// The lines of a script that is too long to be read in the stop are known, too, also where
// V8 itself has not counted them.
func TestLongScript(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		for _, fill := range []string{"// a line of a program that was put into one file", "// \u2603"} {
			const lines = 40000
			text := strings.Repeat(fill+"\n", lines) + "function late() {\n  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);\n}\n" +
				"require('fs').writeSync(1, 'ready\\n');\nlate();\n"
			file := filepath.Join(t.TempDir(), "long.js")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			pid, _ := start(t, node, 1, file)
			got := calls(&take(t, pid, 1, "late").Threads[0])
			want := []call{{"late", file, lines + 2, 11}, {"<anonymous>", file, lines + 5, 1}}
			if len(got) < 2 || !slices.Equal(got[:2], want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
	})
}

// Without language runtimes the native frames are there alone.
func TestNative(t *testing.T) {
	pid, _ := start(t, nodes(t)[0], 1, "testdata/still.js")
	s := bt.New(&bt.Options{Native: true, MaxFrames: 100000})
	defer s.Close()
	p, err := s.Stacks(context.Background(), pid)
	if err != nil {
		t.Fatal(err)
	}
	if got := calls(&p.Threads[0]); len(got) != 0 || len(p.Threads[0].Frames) < 10 {
		t.Errorf("%d JavaScript frames of %d", len(got), len(p.Threads[0].Frames))
	}
}

// Each stack of a program that works is whole, and each frame's line calls the next.
func TestBusy(t *testing.T) {
	samples := 10
	if testenv.Full() {
		samples = 200
	}
	text, err := os.ReadFile("testdata/busy.js")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	each(t, func(t *testing.T, node string) {
		tiers := [][]string{nil, {"--always-sparkplug"}, {"--no-opt"}}
		if testing.Short() {
			tiers = tiers[:1]
		}
		for _, flags := range tiers {
			t.Run(fmt.Sprint(flags), func(t *testing.T) {
				pid, _ := start(t, node, 1, append(slices.Clone(flags), "testdata/busy.js")...)
				s := bt.New(&bt.Options{MaxFrames: 100000, Threads: []int{pid}})
				defer s.Close()
				known, unknown, ended := 0, 0, 0
				for range samples {
					p, err := s.Stacks(context.Background(), pid)
					if err != nil {
						t.Fatal(err)
					}
					k, u := checkCalls(t, &p.Threads[0], lines)
					if u < 0 {
						ended, u = ended+1, 0
					}
					known, unknown = known+k, unknown+u
				}
				if ended > 1+samples/100 {
					t.Errorf("%d of %d stacks are not whole", ended, samples)
				}
				// V8 keeps nothing certain of code that it has given up, nor of some
				// loops that Maglev has compiled.
				if unknown > known {
					t.Errorf("%d callers have no line, %d have one", unknown, known)
				}
			})
		}
	})
}

// checkCalls checks that a stack leads from main to the work, and that each frame of
// busy.js is at a line that names the function of the next.
// It returns how many frames have a line, and how many callers have none, -1 where the
// stack is not whole.
func checkCalls(t *testing.T, th *stack.Thread, lines []string) (known, noLine int) {
	t.Helper()
	if r := th.End.Reason; r == stack.NoRegisters || r == stack.MaxPause {
		return 0, 0 // the machine is busy
	}
	if th.End.Reason != stack.Outermost {
		// Some of V8's builtins have a frame on some of their ways only. Where one was
		// interrupted, the stack may end, and says so.
		t.Logf("the stack ends: %s\n%s", th.End.Text, frames(th))
		if len(th.Frames) > 1 {
			t.Error("it does not end at its innermost frame")
		}
		return 0, -1
	}
	list := slices.DeleteFunc(calls(th), func(c call) bool { return !strings.HasSuffix(c.file, "busy.js") })
	if len(list) < 2 || list[len(list)-1].name != "<anonymous>" || list[len(list)-2].name != "spin" {
		t.Errorf("the stack does not begin at spin: %v\n%s", list, frames(th))
		return 0, 0
	}
	for i, c := range list {
		if c.line == 0 && i > 0 && !(i == 1 && list[0].line == 0) {
			noLine++
		}
		if c.line == 0 || i == 0 {
			continue
		}
		known++
		if c.line > len(lines) || !strings.Contains(lines[c.line-1], list[i-1].name) {
			t.Errorf("frame %d %v does not call %v\n%s", i, c, list[i-1], frames(th))
		}
	}
	return known, noLine
}

// frames prints a stack.
func frames(th *stack.Thread) string {
	var b strings.Builder
	for i := range th.Frames {
		f := &th.Frames[i]
		fmt.Fprintf(&b, "%x sp %x %s:", f.PC, f.SP, f.Found)
		for _, n := range f.Names {
			fmt.Fprintf(&b, " %s:%d", n.Symbol, n.Line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// coverage is the variable that makes Node.js count what is executed.
const coverage = "NODE_V8_COVERAGE"

// The frames of a thread that stands still are those that the program itself tells.
func TestOwnView(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		for _, flags := range variants() {
			t.Run(fmt.Sprint(flags), func(t *testing.T) {
				args := append(slices.Clone(flags), "testdata/still.js")
				if args[0] == coverage {
					t.Setenv(coverage, t.TempDir())
					args = args[1:]
				}
				pid, lines := start(t, node, 1, args...)
				p := take(t, pid, 1, "wait")
				for _, n := range p.Notes {
					t.Errorf("note: %s", n.Text)
				}
				want := view(t, lines[0])
				if len(want) < 140 {
					t.Fatalf("the program tells %d calls", len(want))
				}
				compare(t, &p.Threads[0], want)
			})
		}
	})
}
