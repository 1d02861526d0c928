//go:build linux

package live_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/arch/all"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/maps"
)

var binDir string

func TestMain(m *testing.M) {
	if helper := os.Getenv("BT_LIVE_HELPER"); helper != "" {
		helpers[helper](os.Args[1:])
		return
	}
	dir, err := os.MkdirTemp("", "bt-live-")
	if err != nil {
		panic(err)
	}
	binDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// helpers are what the test binary does instead of testing when it is started
// by helper.
var helpers = map[string]func(args []string){
	"snapshots": snapshotForever,
	"attached":  sampleForever,
	"open":      openAndReport,
	"hog":       hogCPU,
}

// helper is a command that runs this test binary as one of helpers.
func helper(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), "BT_LIVE_HELPER="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

var (
	built   = map[string]string{}
	builtMu sync.Mutex
)

// build compiles testdata/name.c, once for each set of flags.
func build(t testing.TB, name string, flags ...string) string {
	t.Helper()
	builtMu.Lock()
	defer builtMu.Unlock()
	key := name + strings.Join(flags, "")
	if built[key] != "" {
		return built[key]
	}
	out := filepath.Join(binDir, key)
	testenv.Compile(t, out, "gcc", append([]string{"-O1", "-g", "-fno-optimize-sibling-calls", "-pthread", "testdata/" + name + ".c"}, flags...)...)
	built[key] = out
	return out
}

// child is a running test program.
type child struct {
	cmd *exec.Cmd
	pid int
	out *bufio.Reader
	in  io.WriteCloser
}

// start runs a program and waits for its first line, "ready". It is killed when
// the test ends.
func start(t testing.TB, cmd *exec.Cmd) *child {
	t.Helper()
	testenv.Running(t)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, pid: cmd.Process.Pid, out: bufio.NewReader(stdout), in: stdin}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line := c.line(t); !strings.HasPrefix(line, "ready") {
		t.Fatalf("%s: %q instead of ready", cmd.Path, line)
	}
	return c
}

func (c *child) line(t testing.TB) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", c.cmd.Path, err)
	}
	return strings.TrimSpace(s)
}

func open(t testing.TB, pid int) *live.Process {
	t.Helper()
	p, err := live.Open(pid, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func readMaps(t testing.TB, p *live.Process) *maps.Map {
	t.Helper()
	b, err := p.Maps()
	if err != nil {
		t.Fatal(err)
	}
	m, err := maps.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func snapshot(t testing.TB, p *live.Process, o live.Options) *live.Snapshot {
	t.Helper()
	o.Arches = all.Native()
	s, err := p.Snapshot(readMaps(t, p), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func status(tid int, key string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// untraced fails the test if a thread of the process is still traced.
func untraced(t testing.TB, pid int) {
	t.Helper()
	for _, tid := range tasks(t, pid) {
		if v := status(tid, "TracerPid"); v != "0" && v != "" {
			t.Errorf("thread %d is still traced by %s", tid, v)
		}
	}
}

func tasks(t testing.TB, pid int) []int {
	t.Helper()
	es, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var tids []int
	for _, e := range es {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// until waits for a condition that holds soon.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: not after 10 s", what)
}

func state(tid int) string { s, _, _ := strings.Cut(status(tid, "State"), " "); return s }

// unlessShort is n, with -short as few.
func unlessShort(n, few int) int {
	if testing.Short() {
		return few
	}
	return n
}
