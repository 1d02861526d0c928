package pprof

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"

	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/rendertest"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
)

var head = &render.Head{Maps: []maps.Mapping{
	{Start: 0x400000, End: 0x401000, Perm: maps.Read, Path: "/srv/server"},
	{Start: 0x401000, End: 0x410000, Offset: 0x1000, Perm: maps.Read | maps.Exec, Path: "/srv/server"},
	{Start: 0x7f0000001000, End: 0x7f0000003000, Offset: 0x3000, Perm: maps.Read | maps.Exec, Path: "/usr/lib/libc.so.6"},
}}

// encoded is the profile of samples of the same processes.
func encoded(o render.Options, samples []render.Sample, processes ...*stack.Process) []byte {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	f := &Writer{W: w, Options: o}
	for _, s := range samples {
		for _, p := range processes {
			f.Maps(head)
			render.Process(f, p, s)
		}
	}
	f.Close()
	w.Flush()
	return out.Bytes()
}

func parse(t *testing.T, text []byte) *profile.Profile {
	t.Helper()
	p, err := profile.ParseData(text)
	if err == nil {
		err = p.CheckValid()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProfile(t *testing.T) {
	at := time.Unix(1e9, 0)
	p := parse(t, encoded(render.Options{}, []render.Sample{{Time: at}}, rendertest.Server()))
	if p.TimeNanos != 1e18 || len(p.SampleType) != 1 || p.SampleType[0].Type != "samples" || p.Period != 0 {
		t.Errorf("%v", p)
	}
	if d := cmp.Diff([]string{"process 1234: deadlock: 1234 waits for 1235"}, p.Comments); d != "" {
		t.Error(d)
	}
	var got []string
	for _, s := range p.Sample {
		line := fmt.Sprint(s.Value, s.Label["thread"], s.NumLabel["tid"], s.NumLabel["goroutine"], s.Label["state"], s.NumLabel["pid"])
		for _, l := range s.Location {
			line += fmt.Sprintf(" %x", l.Address)
			if l.Mapping != nil {
				line += "@" + filepath.Base(l.Mapping.File) + ":" + l.Mapping.BuildID
			}
			for _, n := range l.Line {
				line += fmt.Sprintf(",%s:%s:%d:%d", n.Function.Name, n.Function.Filename, n.Line, n.Column)
			}
		}
		got = append(got, line)
	}
	const hostile = `a;b\x0a\x1b[31m\xff\xe2\x80\xae"</script><img src=x onerror=alert(1)>'&(9) 12 \\`
	const base = `script><img src=x onerror=alert(1)>'&(9) 12 \\`
	want := []string{
		"[1] [server] [1234] [] [poll] [1234] 7f0000001010@libc.so.6:c0ffee,poll::0:0 401020@server:beef,sum:/src/list.c:4:9,main:/src/list.c:9:0 401000@server:beef,_start::0:0",
		"[1] [worker] [1235] [] [] [1234] 0,do_poll::0:0 7f0000001010@libc.so.6:c0ffee,poll::0:0 7f0000002000@libc.so.6:c0ffee,__restore_rt::0:0 0,handle:/srv/app.py:7:0 402000@server:beef,_PyEval_EvalFrameDefault::0:0 0,[incomplete: no memory]::0:0",
		"[1] [worker] [1236] [] [] [1234] 7f0000001010@libc.so.6:c0ffee,poll::0:0 401020@server:beef,sum:/src/list.c:4:9,main:/src/list.c:9:0 401000@server:beef,_start::0:0",
		"[1] [" + hostile + "] [1237] [] [] [1234] 7f0000003000@" + base + ":," + hostile + "::0:0 7f0000003010@" + base + ": 10",
		"[1] [] [] [18] [chan receive] [1234] 403000@server:beef,runtime.gopark::0:0",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// pprof names the profile by the first mapping.
	if p.Mapping[0].File != "/srv/server" {
		t.Errorf("the first mapping is %v", p.Mapping[0])
	}
	for _, m := range p.Mapping {
		if m.File == "/srv/server" && (m.Start != 0x401000 || m.Limit != 0x410000 || m.Offset != 0x1000) {
			t.Errorf("%v", m)
		}
	}
}

// A recording counts stacks, and tells the time.
func TestRecording(t *testing.T) {
	at := time.Unix(1e9, 0)
	p := rendertest.Server()
	p.Threads, p.Goroutines = p.Threads[:1], nil
	got := parse(t, encoded(render.Options{}, []render.Sample{
		{Time: at, Period: 20 * time.Millisecond}, {Time: at.Add(time.Second), Period: 20 * time.Millisecond, Count: 4},
	}, p))
	if len(got.Sample) != 1 || got.Sample[0].Value[0] != 5 || got.Sample[0].Value[1] != 1e8 {
		t.Errorf("%v", got.Sample)
	}
	if got.Period != 2e7 || got.PeriodType.Type != "wall" || got.DurationNanos != 1_020_000_000 {
		t.Errorf("%v", got)
	}
}

func TestEmpty(t *testing.T) {
	if p := parse(t, encoded(render.Options{}, nil)); len(p.Sample) != 0 {
		t.Errorf("%v", p)
	}
}

// go tool pprof reads it, and counts the functions as they are.
func TestTool(t *testing.T) {
	goTool := testenv.Need(t, "go", "golang")
	file := filepath.Join(t.TempDir(), "profile.pb.gz")
	p := rendertest.Server()
	p.Threads = p.Threads[:3]
	if err := os.WriteFile(file, encoded(render.Options{}, []render.Sample{{}}, p), 0o666); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.Command(goTool, append(append([]string{"tool", "pprof"}, args...), file)...)
		cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(run("-top", "-nodecount=100")) {
		if f := strings.Fields(line); len(f) >= 6 {
			fields[f[5]] = f[0] + " " + f[3]
		}
	}
	for name, want := range map[string]string{"poll": "2 3", "main": "0 2", "sum": "0 2", "do_poll": "1 1", "runtime.gopark": "1 1", "handle": "0 1"} {
		if fields[name] != want {
			t.Errorf("%s: flat and cumulative %q, want %q", name, fields[name], want)
		}
	}
	if raw := run("-raw"); !strings.Contains(raw, "0x401020") || !strings.Contains(raw, "/srv/server beef") {
		t.Errorf("%s", raw)
	}
	if peek := run("-peek=^main$"); !strings.Contains(peek, "_start") || !strings.Contains(peek, "sum") {
		t.Errorf("%s", peek)
	}
	if tags := run("-tags"); !strings.Contains(tags, "chan receive") || !strings.Contains(tags, "worker") {
		t.Errorf("%s", tags)
	}
}
