//go:build linux

package suite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

// patience bounds every wait: far more than anything here takes on an idle
// machine, because other tests may keep this one busy.
var patience = 30 * time.Second

// slow is set on a machine that is emulated: what takes a moment elsewhere may take a
// second there.
var slow = os.Getenv("BT_SUITE_SLOW") == "1"

func init() {
	if slow {
		patience *= 4
	}
}

var (
	btPath  string // the bt under test
	scratch string // a directory that other users can read
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bt-suite-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Tests that run bt as another user need to reach it.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scratch, btPath = dir, os.Getenv("BT_SUITE_BT")
	if btPath != "" {
		return m.Run() // on a machine without Go
	}
	btPath = filepath.Join(dir, "bt")
	cmd := exec.Command("go", "build", "-o", btPath, "github.com/gatedso/bt/cmd/bt")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// tempDir makes a directory that lives as long as the test and that other
// users can read.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

var builds struct {
	sync.Mutex
	done map[string]string // command line to the program it made
}

// build compiles testdata/progs/src with the compiler and flags given and
// returns the program. What was built once is not built again.
func build(t testing.TB, cc, src string, flags ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	key := strings.Join(append([]string{cc, src}, flags...), " ")
	if prog, ok := builds.done[key]; ok {
		return prog
	}
	prog := filepath.Join(scratch, fmt.Sprintf("%s-%d", strings.TrimSuffix(src, filepath.Ext(src)), len(builds.done)))
	src, err := filepath.Abs("../../testdata/progs/" + src)
	if err != nil {
		t.Fatal(err)
	}
	args := slices.Clone(flags)
	if cc != "go" {
		args = append(args, "-pthread")
	}
	testenv.Compile(t, prog, cc, append(args, src)...)
	if builds.done == nil {
		builds.done = map[string]string{}
	}
	builds.done[key] = prog
	return prog
}

// proc is a program that a test has started.
type proc struct {
	pid  int
	word uint64 // the number behind "ready"
	cmd  *exec.Cmd
	in   io.WriteCloser // its standard input
	out  *bufio.Reader
	file *os.File
}

// start runs a program until it says that it is ready and all its threads
// sleep; the program is killed when the test ends.
func start(t testing.TB, argv ...string) *proc {
	t.Helper()
	p := startCmd(t, exec.Command(argv[0], argv[1:]...))
	p.settle(t)
	return p
}

// needPtrace skips t where users may not look at their own processes.
func needPtrace(t testing.TB) {
	t.Helper()
	scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err == nil && os.Geteuid() != 0 && scope[0] != '0' {
		testenv.Skip(t, "ptrace is restricted: sysctl kernel.yama.ptrace_scope=0, or run as root")
	}
}

// startCmd is start for a prepared command, and for programs that do not come
// to rest.
func startCmd(t testing.TB, cmd *exec.Cmd) *proc {
	t.Helper()
	p := startProgram(t, cmd)
	line := p.line(t, "ready")
	if _, hex, ok := strings.Cut(line, "ready "); ok {
		var err error
		if p.word, err = strconv.ParseUint(hex, 16, 64); err != nil {
			t.Fatalf("%v printed %q", cmd, line)
		}
	}
	return p
}

// startProgram starts a prepared command and does not wait until it is ready.
func startProgram(t testing.TB, cmd *exec.Cmd) *proc {
	t.Helper()
	testenv.Running(t)
	needPtrace(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	// Held open: some programs end when their input does.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	cmd.WaitDelay = time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	// Should the test be killed. No thread that starts programs ends before: no
	// test here binds a goroutine to one.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	p := &proc{pid: cmd.Process.Pid, cmd: cmd, in: stdin, out: bufio.NewReader(r), file: r}
	t.Cleanup(func() {
		syscall.Kill(-p.pid, syscall.SIGKILL)
		stdin.Close()
		cmd.Wait()
	})
	return p
}

// line waits for a line of output that contains word.
func (p *proc) line(t testing.TB, word string) string {
	t.Helper()
	p.file.SetReadDeadline(time.Now().Add(patience))
	for {
		line, err := p.out.ReadString('\n')
		if strings.Contains(line, word) {
			return strings.TrimSuffix(line, "\n")
		}
		if err != nil {
			t.Fatalf("waiting for %q of %v: %v", word, p.cmd, err)
		}
	}
}

// settle waits until every thread sleeps.
func (p *proc) settle(t testing.TB) {
	t.Helper()
	waitFor(t, fmt.Sprintf("threads of %v to sleep", p.cmd), func() bool {
		for _, s := range taskStates(p.pid) {
			if s != 'S' {
				return false
			}
		}
		return true
	})
}

// waitFor polls until ok.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// taskStates returns the state letter of each thread of a process.
func taskStates(pid int) map[int]byte {
	states := map[int]byte{}
	dirs, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, d := range dirs {
		tid, _ := strconv.Atoi(d.Name())
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid)); err == nil {
			// The name before the state may itself hold parentheses.
			states[tid] = stat[bytes.LastIndexByte(stat, ')')+2]
		}
	}
	return states
}

// result is what a run of bt has left.
type result struct {
	stdout, stderr string
	code           int
}

// bt runs bt, with nothing to read on standard input.
func bt(t testing.TB, args ...string) result {
	t.Helper()
	return run(t, btCmd(t, args...))
}

// btCmd prepares a run of bt that is killed when it takes too long.
func btCmd(t testing.TB, args ...string) *exec.Cmd {
	testenv.Running(t)
	if slow && len(args) > 0 && args[0] == "--pid" {
		args = append([]string{"--max-pause", "30s"}, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, btPath, args...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "BT_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

func run(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	if strings.Contains(stderr.String(), "goroutine ") {
		t.Errorf("%v shows a Go stack trace:\n%s", cmd, stderr.String())
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// want checks the exit status, and that a success has nothing to complain of.
func (r result) want(t testing.TB, code int) result {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d\nstderr: %sstdout: %s", r.code, code, r.stderr, head(r.stdout))
	}
	if code == 0 && r.stderr != "" {
		t.Errorf("stderr: %s", r.stderr)
	}
	return r
}

// head shortens output for a message.
func head(s string) string {
	if len(s) > 4000 {
		return s[:4000] + "…"
	}
	return s
}

// snapshot runs bt --pid on a process, wants exit status 0 and every language runtime
// read, and returns the one process that it printed.
func snapshot(t testing.TB, pid int, args ...string) process {
	t.Helper()
	p := only(t, bt(t, append([]string{"--pid", strconv.Itoa(pid)}, args...)...).want(t, 0), pid)
	for _, note := range p.notes {
		t.Error(note)
	}
	return p
}

// only is the process of an output that must hold no other.
func only(t testing.TB, r result, pid int) process {
	t.Helper()
	ps := parse(t, r.stdout)
	if len(ps) != 1 || ps[0].pid != pid {
		t.Fatalf("want process %d alone:\n%sstderr: %s", pid, head(r.stdout), r.stderr)
	}
	return ps[0]
}

func itoa(n int) string { return strconv.Itoa(n) }

// command is exec.Command, for startCmd.
func command(prog string, args ...string) *exec.Cmd { return exec.Command(prog, args...) }
