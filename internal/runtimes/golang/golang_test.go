//go:build linux

package golang_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/runtimes/golang"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

// build compiles testdata/goroutines/goroutines.go with a toolchain, "" for the one at hand.
func build(t testing.TB, toolchain string, args ...string) string {
	t.Helper()
	prog := filepath.Join(t.TempDir(), "goroutines")
	src, err := filepath.Abs("testdata/goroutines/goroutines.go")
	if err != nil {
		t.Fatal(err)
	}
	if toolchain == "" {
		testenv.Compile(t, prog, "go", append(args, src)...)
		return prog
	}
	cmd := exec.Command("go", append(append([]string{"build", "-o", prog}, args...), src)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOFLAGS=", "PWD="+cmd.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return prog
}

// start runs a program until it has printed what runtime.Stack tells, and returns that.
func start(t testing.TB, prog string, args ...string) (pid int, dump string) {
	t.Helper()
	return startCommand(t, exec.Command(prog, args...))
}

// startCommand is start for a command that becomes the program.
func startCommand(t testing.TB, cmd *exec.Cmd) (pid int, dump string) {
	t.Helper()
	testenv.Running(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var b strings.Builder
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, b.String())
		}
		if line == "end\n" {
			time.Sleep(50 * time.Millisecond) // the main goroutine goes on to wait
			return cmd.Process.Pid, b.String()
		}
		b.WriteString(line)
	}
}

// take returns the model of a process, named.
func take(t testing.TB, pid, maxFrames int, tids ...int) *stack.Process {
	t.Helper()
	return takeBy(t, pid, session.StackOptions{MaxFrames: maxFrames, TIDs: tids})
}

func takeBy(t testing.TB, pid int, o session.StackOptions) *stack.Process {
	t.Helper()
	ses := session.New(session.Options{Lines: true})
	defer ses.Close()
	p, err := live.Open(pid, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s, err := ses.Stop(context.Background(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sym, err := s.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	sym.Stacks(s.Model)
	return s.Model
}

var dumpHead = regexp.MustCompile(`^goroutine (\d+) \[([^\]]*)\].*:$`)

// dumped turns the text of runtime.Stack into one entry for each goroutine: the head,
// the functions, and who has created it.
func dumped(text string) map[string]string {
	all := make(map[string]string)
	for _, part := range strings.Split(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(part, "\n")
		head := dumpHead.FindStringSubmatch(lines[0])
		if head == nil {
			continue
		}
		state := regexp.MustCompile(`, \d+ minutes`).ReplaceAllString(head[2], "")
		out := []string{"[" + state + "]"}
		for _, l := range lines[1:] {
			by, created := strings.CutPrefix(l, "created by ")
			switch {
			case strings.HasPrefix(l, "\t"), l == "":
			case strings.HasPrefix(l, "..."):
				out = append(out, "...")
			case created:
				out = append(out, "created by "+by)
			default:
				out = append(out, l[:strings.LastIndexByte(l, '(')])
			}
		}
		if by := out[len(out)-1]; len(out) > maxOld && !strings.Contains(text, " in goroutine ") {
			out = append(out[:maxOld:maxOld], by)
		}
		all[head[1]] = strings.Join(out, "\n")
	}
	return all
}

// maxOld is how many frames are compared of a Go before 1.21. It prints the first hundred,
// and counts some that it does not show.
const maxOld = 90

// told turns a goroutine of the model into what dumped makes of the runtime's words.
func told(g *stack.Task, creators bool) string {
	state := g.State
	if g.Thread != 0 {
		state += ", locked to thread"
	}
	out := []string{"[" + state + "]"}
	for i := range g.Frames {
		for _, n := range g.Frames[i].Names {
			name := plainName(n.Symbol)
			wrapper := g.Frames[i].Runtime && len(g.Frames[i].Names) == 1 || goWrapper.MatchString(name)
			if golang.Shown(name) && (!wrapper || golang.RunsOthers(name)) {
				out = append(out, name)
			}
		}
	}
	switch { // the runtime prints the first 50 and the last 50
	case len(out) > maxOld && !creators:
		out = out[:maxOld]
	case len(out) > 101:
		out = slices.Concat(out[:51], []string{"..."}, out[len(out)-50:])
	}
	if g.CreatedBy != "" {
		by := "created by " + g.CreatedBy
		if creators {
			by += fmt.Sprintf(" in goroutine %d", g.Creator)
		}
		out = append(out, by)
	}
	return strings.Join(out, "\n")
}

// goWrapper matches the function that the compiler makes for a go statement, into which
// the function that it calls may be inlined.
var goWrapper = regexp.MustCompile(`\.gowrap\d+$`)

// plainName is a symbol's name as the runtime prints it.
func plainName(s string) string {
	s = strings.TrimSuffix(s, ".abi0")
	if i := strings.IndexByte(s, '['); i >= 0 {
		if j := strings.LastIndexByte(s, ']'); j > i {
			s = s[:i] + "[...]" + s[j+1:]
		}
	}
	return s
}

// compare compares the goroutines of a process with what its runtime has printed of
// them. The one that printed has ended, and the main goroutine went on.
func compare(t *testing.T, pid int, dump string) *stack.Process {
	t.Helper()
	p := take(t, pid, 0)
	for _, n := range p.Notes {
		t.Errorf("note: %s", n.Text)
	}
	want := dumped(dump)
	got := make(map[string]string)
	for i := range p.Goroutines {
		g := &p.Goroutines[i]
		if g.System {
			continue
		}
		if !g.Complete() {
			t.Errorf("goroutine %d ends: %s", g.ID, g.End.Text)
		}
		got[fmt.Sprint(g.ID)] = told(g, strings.Contains(dump, " in goroutine "))
	}
	for id, text := range want {
		if strings.HasPrefix(text, "[running]") || id == "1" {
			delete(want, id)
		}
	}
	delete(got, "1")
	onThreads(t, p, want)
	if len(want) < 20 {
		t.Errorf("the runtime has printed %d goroutines\n%s", len(want), dump)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("goroutines (-as the runtime prints them +bt):\n%s", diff)
	}
	return p
}

// onThreads compares those goroutines that threads run, and takes them out of want.
func onThreads(t *testing.T, p *stack.Process, want map[string]string) {
	t.Helper()
	for i := range p.Threads {
		th := &p.Threads[i]
		id := fmt.Sprint(th.Goroutine)
		text, ok := want[id]
		if !ok {
			continue
		}
		// The runtime leaves out what it calls itself to enter the system call.
		got := told(&stack.Task{Frames: th.Frames}, false)
		head, frames, _ := strings.Cut(text, "\n")
		frames, _, _ = strings.Cut(frames, "\ncreated by ")
		facts := fmt.Sprint(th.Runtimes)
		if !strings.HasSuffix(got, "\n"+frames) || !strings.Contains(facts, "goroutine "+id+" "+head) {
			t.Errorf("thread %d: %s\n%s\nthe runtime prints\n%s", th.TID, facts, got, text)
		}
		delete(want, id)
	}
}

// TestAsRuntimeStack compares with what runtime.Stack tells, in programs of all builds.
func TestAsRuntimeStack(t *testing.T) {
	for _, b := range []struct {
		name string
		args []string
	}{
		{"normal", nil},
		{"stripped", []string{"-ldflags=-s -w"}},
		{"stripped pie", []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"not inlined", []string{"-gcflags=all=-N -l"}},
	} {
		if testing.Short() && b.name != "stripped" {
			continue
		}
		if len(b.args) > 0 && strings.Contains(b.args[0], "l") && b.name != "stripped" && !testenv.Full() {
			continue // it compiles the standard library
		}
		t.Run(b.name, func(t *testing.T) {
			pid, dump := start(t, build(t, "", b.args...))
			compare(t, pid, dump)
		})
	}
}

// TestVersions does the same for each Go that there are tables for.
func TestVersions(t *testing.T) {
	if !testenv.Full() {
		t.Skip("BT_FULL=1 fetches Go's toolchains")
	}
	list := os.Getenv("BT_GO_VERSIONS")
	if list == "" {
		list = "1.18.10 1.27.0"
	}
	for _, v := range strings.Fields(list) {
		for _, args := range [][]string{nil, {"-ldflags=-s -w"}, {"-buildmode=pie", "-ldflags=-s -w"}} {
			t.Run(v+" "+strings.Join(args, " "), func(t *testing.T) {
				pid, dump := start(t, build(t, "go"+v, args...))
				compare(t, pid, dump)
			})
		}
	}
}

// TestOnlyThreads asks for one thread: goroutines that are on no thread are left out, and
// the thread tells which it runs all the same.
func TestOnlyThreads(t *testing.T) {
	pid, _ := start(t, build(t, ""))
	whole := take(t, pid, 0)
	i := slices.IndexFunc(whole.Threads, func(th stack.Thread) bool { return th.Goroutine != 0 })
	if i < 0 {
		t.Fatal("no thread waits in a system call")
	}
	th := &whole.Threads[i]
	p := take(t, pid, 0, th.TID)
	if len(p.Threads) != 1 || len(p.Goroutines) != 0 || len(p.Notes) != 0 {
		t.Errorf("%d threads, %d goroutines, %v", len(p.Threads), len(p.Goroutines), p.Notes)
	}
	if got := &p.Threads[0]; got.Goroutine != th.Goroutine || !cmp.Equal(got.Runtimes, th.Runtimes) {
		t.Errorf("goroutine %d %v, among the others %d %v", got.Goroutine, got.Runtimes, th.Goroutine, th.Runtimes)
	}
}

// TestFiles asks which files those goroutines wait for that are in the poller.
func TestFiles(t *testing.T) {
	pid, _ := start(t, build(t, ""))
	p := takeBy(t, pid, session.StackOptions{Waits: true})
	var got []string
	for i := range p.Goroutines {
		if g := &p.Goroutines[i]; g.State == "IO wait" && g.Waits != nil {
			got = append(got, regexp.MustCompile(`\d+`).ReplaceAllString(g.Waits.Text, "N"))
		}
	}
	slices.Sort(got)
	me := fmt.Sprintf("process N %q (fd N)", "goroutines")
	want := []string{
		"fd N: pipe:[N], to read",
		"fd N: socket:[N] (TCP N.N.N.N:N to N.N.N.N:N, ESTABLISHED) connected to " + me + ", to read",
		"fd N: socket:[N] (TCP N.N.N.N:N, LISTEN), to read",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
