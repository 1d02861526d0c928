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

// variants are the ways to run the program: the tiers of V8.
func variants() [][]string {
	return [][]string{nil, {"--jitless"}, {"--always-sparkplug"}}
}

// The frames of a thread that stands still are those that the program itself tells.
func TestOwnView(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		for _, flags := range variants() {
			t.Run(fmt.Sprint(flags), func(t *testing.T) {
				pid, lines := start(t, node, 1, append(slices.Clone(flags), "testdata/still.js")...)
				p := take(t, pid)
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
