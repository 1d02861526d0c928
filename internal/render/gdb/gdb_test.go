package gdb

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/rendertest"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestGolden(t *testing.T) {
	text := rendertest.Golden(t, *update, func(w *bufio.Writer) render.Format { return &Writer{W: w} })
	// Every line has one of the shapes that gdb's have, or is a remark.
	shapes := regexp.MustCompile(`^($|\[.*\]$|Thread \d+ \(.*\):$|Backtrace stopped: |#\d+ +(0x[0-9a-f]{16} in )?\S.* \(\)( (from|at) .*)?$|#\d+ +<signal handler called>$)`)
	for _, line := range strings.Split(text, "\n") {
		if !shapes.MatchString(line) {
			t.Errorf("%q", line)
		}
	}
}

// gdb's words for a process that has died.
func TestDeath(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &Writer{W: w}
	render.Process(f, &stack.Process{PID: 7, Name: "x", Death: &stack.Death{Signal: "SIGSEGV", Text: "killed by SIGSEGV"}}, render.Sample{})
	w.Flush()
	want := "[process 7 x]\nProgram terminated with signal SIGSEGV.\n[killed by SIGSEGV]\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// pt-pmp counts the stacks as they are.
func TestPTPMP(t *testing.T) {
	pmp := testenv.Need(t, "pt-pmp", "percona-toolkit")
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &Writer{W: w}
	p := rendertest.Server()
	p.Goroutines = nil
	p.Threads = p.Threads[:3]
	render.Process(f, p, render.Sample{})
	w.Flush()
	file := filepath.Join(t.TempDir(), "stacks")
	if err := os.WriteFile(file, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	// GNU awk warns of pt-pmp's own script on standard error.
	got, err := exec.Command(pmp, file).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	// pt-pmp adds the file of a function, and keeps it for those without one.
	plain := regexp.MustCompile(`\([^()]*\)`).ReplaceAllString(string(got), "")
	want := []string{"2 poll,sum,main,_start", "1 poll,<signal,handle,_PyEval_EvalFrameDefault"}
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(plain), "\n") {
		lines = append(lines, strings.TrimSpace(l))
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Errorf("(-want +got):\n%s\n%s", d, got)
	}
}

// A task without a number has none.
func TestTask(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	p := &stack.Process{PID: 1, Name: "python3", WordSize: 8, Tasks: []stack.Task{{
		Name: "fetch", State: "waiting", End: stack.End{Reason: stack.Outermost},
		Frames: []stack.Frame{{PC: 0x1000, Exact: true, Managed: true, Names: []stack.Name{{Symbol: "get", File: "/srv/app.py", Line: 7, Language: "python"}}}},
	}}}
	render.Process(&Writer{W: w}, p, render.Sample{})
	w.Flush()
	want := "Thread 1 (task \"fetch\" [waiting]):\n#0  get () at /srv/app.py:7\n"
	if _, got, _ := strings.Cut(out.String(), "\n"); !strings.HasSuffix(strings.TrimRight(got, "\n")+"\n", want) {
		t.Errorf("%q, want %q", got, want)
	}
}
