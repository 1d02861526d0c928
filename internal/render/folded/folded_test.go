package folded

import (
	"bufio"
	"bytes"
	"flag"
	"regexp"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/rendertest"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestGolden(t *testing.T) {
	text := rendertest.Golden(t, *update, func(w *bufio.Writer) render.Format { return &Writer{W: w} })
	// What flamegraph.pl takes: a stack without an empty frame, and a number.
	line := regexp.MustCompile(`^[^;]+(;[^;]+)* \d+$`)
	for _, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if !line.MatchString(l) {
			t.Errorf("%q", l)
		}
	}
}

// Samples of the same stacks are counted together.
func TestCounts(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &Writer{W: w}
	p := rendertest.Server()
	p.Goroutines, p.Threads = nil, p.Threads[:3]
	render.Process(f, p, render.Sample{Count: 5})
	render.Process(f, p, render.Sample{})
	f.Close()
	w.Flush()
	want := "server;_start;main;sum;poll 6\nworker;[incomplete: no memory];_PyEval_EvalFrameDefault;handle;__restore_rt;poll;do_poll_[k] 6\nworker;_start;main;sum;poll 6\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}
