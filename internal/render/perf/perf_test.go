package perf

import (
	"bufio"
	"bytes"
	"flag"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/rendertest"
	"github.com/gatedso/bt/stack"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestGolden(t *testing.T) {
	rendertest.Golden(t, *update, func(w *bufio.Writer) render.Format { return &Writer{W: w} })
}

// The forms of lines that readers of perf script look for. stackcollapse-perf.pl and
// speedscope take an event's head by its name, PID and TID, and time, and a frame by
// its address, its name and the file in parentheses at the end.
var (
	eventLine = regexp.MustCompile(`^(\S.+?)\s+(\d+)/(\d+)\s+(\d+\.\d{6}):\s+(\d+) (\S+):\s*$`)
	frameLine = regexp.MustCompile(`^\s*(\w+)\s+(.+) \(([^()]*)\)$`)
)

// read reads the output as those programs do: for each event the name, and the names
// of its functions without their offsets.
func read(t *testing.T, text string) (events [][]string) {
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		var event []string
		for _, line := range strings.Split(block, "\n") {
			if strings.HasPrefix(line, "#") {
				continue
			}
			if event == nil {
				m := eventLine.FindStringSubmatch(line)
				if m == nil || m[2] != "1234" {
					t.Fatalf("no head of an event: %q", line)
				}
				event = []string{m[1] + " " + m[3] + " " + m[5]}
				continue
			}
			m := frameLine.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("no frame: %q", line)
			}
			event = append(event, regexp.MustCompile(`\+0x[0-9a-f]+$`).ReplaceAllString(m[2], ""))
		}
		if event != nil {
			events = append(events, event)
		}
	}
	return events
}

func TestReaders(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &Writer{W: w}
	p := rendertest.Server()
	for i, name := range []string{"Web Worker 12", "#x 1", " y", ""} {
		p.Threads = append(p.Threads, stack.Thread{TID: 2000 + i, Name: name, Frames: p.Threads[0].Frames, End: rendertest.Outermost})
	}
	render.Process(f, p, render.Sample{Count: 2, Time: time.Unix(100, 0)})
	f.Close()
	w.Flush()
	events := read(t, out.String())
	main := []string{"poll", "sum", "main", "_start"}
	const hostile = `a;b\x0a\x1b[31m\xff\xe2\x80\xae"</script><img src=x onerror=alert(1)>'&(9)_12 \\`
	hostileName := strings.Replace(hostile, "_12", " 12", 1)
	want := [][]string{
		append([]string{"server 1234 2"}, main...),
		{"worker 1235 2", "do_poll", "poll", "__restore_rt", "handle", "_PyEval_EvalFrameDefault", "[incomplete: no memory]"},
		append([]string{"worker 1236 2"}, main...),
		{hostile + " 1237 2", hostileName, "[unknown]", "[unknown]"},
		append([]string{"Web Worker_12 2000 2"}, main...),
		append([]string{"_x_1 2001 2"}, main...),
		append([]string{"_y 2002 2"}, main...),
		append([]string{":2003 2003 2"}, main...),
		{"goroutine [chan receive] 18 2", "runtime.gopark"},
	}
	if d := cmp.Diff(want, events); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Samples of a recording have times from its start on.
func TestTimes(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &Writer{W: w}
	p := rendertest.Server()
	p.Threads, p.Goroutines = p.Threads[:1], nil
	start := time.Unix(1e9, 123)
	render.Process(f, p, render.Sample{Time: start})
	render.Process(f, p, render.Sample{Time: start.Add(1_020_408 * time.Microsecond)})
	w.Flush()
	if !strings.Contains(out.String(), " 0.000000: ") || !strings.Contains(out.String(), " 1.020408: ") {
		t.Errorf("%s", out.String())
	}
}
