//go:build linux

package hotspot_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatedso/bt"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

// jdks returns the java commands that there are: that of the PATH, all below
// /usr/lib/jvm, and those that BT_JAVA lists, separated by colons.
func jdks(t *testing.T) (list []string) {
	t.Helper()
	java := testenv.Need(t, "java", "default-jdk-headless")
	seen := make(map[string]bool)
	add := func(path string) {
		real, err := filepath.EvalSymlinks(path)
		if err == nil && !seen[real] {
			seen[real] = true
			list = append(list, real)
		}
	}
	add(java)
	installed, _ := filepath.Glob("/usr/lib/jvm/*/bin/java")
	for _, path := range slices.Concat(installed, filepath.SplitList(os.Getenv("BT_JAVA"))) {
		add(path)
	}
	return list
}

// classes compiles the test's program.
func classes(t *testing.T) string {
	t.Helper()
	javac := testenv.Need(t, "javac", "default-jdk-headless")
	dir := t.TempDir()
	if out, err := exec.Command(javac, "-g", "--release", "8", "-Xlint:-options", "-d", dir, "testdata/Blocked.java").CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	return dir
}

// start runs the program until it is ready.
func start(t *testing.T, java, dir string, flags []string, args ...string) int {
	t.Helper()
	c := exec.Command(java, slices.Concat(flags, []string{"-Xmx128m", "-cp", dir, "Blocked"}, args)...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Skipf("%s does not run the program with %v: %v %s", java, flags, err, line)
	}
	return c.Process.Pid
}

// call is a frame as jstack prints it.
type call struct {
	method string
	line   int
}

var (
	jstackHead  = regexp.MustCompile(`^"(.*)" .*nid=(0x[0-9a-f]+|[0-9]+) `)
	jstackFrame = regexp.MustCompile(`^\tat (?:[a-z.]+@[^/]*/)?(.+)\((?:.*:([0-9]+)|[^:]*)\)$`)
)

// jstack returns the stacks of a virtual machine as it tells them itself, by TID.
func jstack(t *testing.T, java string, pid int) map[int][]call {
	t.Helper()
	tool := filepath.Join(filepath.Dir(java), "jstack")
	if _, err := os.Stat(tool); err != nil {
		tool = testenv.Need(t, "jstack", "default-jdk-headless")
	}
	out, err := exec.Command(tool, strconv.Itoa(pid)).Output()
	if err != nil {
		t.Skipf("jstack: %v", err)
	}
	stacks := make(map[int][]call)
	tid := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "Found ") { // a deadlock, and its stacks again
			break
		}
		if m := jstackHead.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseInt(m[2], 0, 32)
			tid = int(n)
			continue
		}
		if m := jstackFrame.FindStringSubmatch(line); m != nil && tid != 0 {
			n, _ := strconv.Atoi(m[2])
			stacks[tid] = append(stacks[tid], call{m[1], n})
		}
	}
	return stacks
}

// javaCalls are the Java frames of a thread as bt tells them.
func javaCalls(th *stack.Thread) (list []call) {
	for i := range th.Frames {
		for _, n := range th.Frames[i].Names {
			if n.Language == "java" {
				list = append(list, call{n.Symbol, n.Line})
			}
		}
	}
	return list
}

// hidden are the frames that the virtual machine does not show: of the code that runs
// lambda expressions.
func hidden(c call) bool {
	return strings.Contains(c.method, "$$Lambda") || strings.Contains(c.method, "LambdaForm$") || strings.Contains(c.method, "LambdaForm.")
}

func shown(list []call) []call {
	return slices.DeleteFunc(slices.Clone(list), hidden)
}

// variants are the ways to run the program: the code of each compiler, and other layouts.
func variants() [][]string {
	v := [][]string{nil, {"-Xint"}}
	if testenv.Full() {
		v = append(v, []string{"-XX:TieredStopAtLevel=1"}, []string{"-XX:-TieredCompilation"}, []string{"-XX:+PreserveFramePointer"},
			[]string{"-XX:+UseSerialGC", "-XX:-UseCompressedOops"}, []string{"-XX:+UseParallelGC"}, []string{"-Xcomp"})
	}
	return v
}

// TestJstack compares the Java frames of threads that stand still with what jstack says.
func TestJstack(t *testing.T) {
	dir := classes(t)
	for _, java := range jdks(t) {
		for _, flags := range variants() {
			t.Run(fmt.Sprintf("%s %v", java, flags), func(t *testing.T) {
				pid := start(t, java, dir, flags)
				want := jstack(t, java, pid)
				p, err := bt.Stacks(context.Background(), pid, nil)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, p, want)
			})
		}
	}
}

// TestCore compares the Java frames of a core that gdb's gcore writes.
func TestCore(t *testing.T) {
	gcore := testenv.Need(t, "gcore", "gdb")
	dir := classes(t)
	for i, java := range jdks(t) {
		if i > 0 && !testenv.Full() {
			break
		}
		t.Run(java, func(t *testing.T) {
			pid := start(t, java, dir, []string{"-XX:+UseSerialGC"})
			want := jstack(t, java, pid)
			core := filepath.Join(t.TempDir(), "core")
			if out, err := exec.Command(gcore, "-o", core, strconv.Itoa(pid)).CombinedOutput(); err != nil {
				t.Fatalf("gcore: %v\n%s", err, out)
			}
			p, err := bt.Core(context.Background(), fmt.Sprintf("%s.%d", core, pid), nil)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, p, want)
		})
	}
}

// TestDeadlock finds the two threads that wait for each other's monitor.
func TestDeadlock(t *testing.T) {
	dir := classes(t)
	for _, java := range jdks(t) {
		t.Run(java, func(t *testing.T) {
			pid := start(t, java, dir, nil)
			p, err := bt.Stacks(context.Background(), pid, &bt.Options{Waits: true})
			if err != nil {
				t.Fatal(err)
			}
			tids := make(map[string]int)
			for i := range p.Threads {
				tids[p.Threads[i].Name] = p.Threads[i].TID
			}
			if len(p.Deadlocks) != 1 || len(p.Deadlocks[0].Edges) != 2 {
				t.Fatalf("deadlocks: %+v", p.Deadlocks)
			}
			for _, e := range p.Deadlocks[0].Edges {
				if e.Kind != "monitor" || e.Waiter.TID != tids["first"] && e.Waiter.TID != tids["second"] || e.Holder.TID == e.Waiter.TID {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func compare(t *testing.T, p *stack.Process, want map[int][]call) {
	t.Helper()
	compared := 0
	for i := range p.Threads {
		th := &p.Threads[i]
		if th.End.Reason != stack.Outermost {
			t.Errorf("thread %d %q ends: %s", th.TID, th.Name, th.End.Text)
		}
		w, ok := want[th.TID]
		if !ok || th.Name == "Attach Listener" || strings.Contains(th.Name, "CompilerThre") {
			continue
		}
		compared++
		if got := shown(javaCalls(th)); !slices.Equal(got, shown(w)) {
			t.Errorf("thread %d %q:\nbt     %v\njstack %v", th.TID, th.Name, got, shown(w))
		}
	}
	if compared < 7 {
		t.Errorf("%d threads were compared", compared)
	}
	for _, n := range p.Notes {
		t.Errorf("note: %s", n.Text)
	}
}

// TestBusy takes stacks of a program that runs: each is whole, and its Java frames lead
// from the thread's start to the climb.
func TestBusy(t *testing.T) {
	dir := classes(t)
	samples := 10
	if testenv.Full() {
		samples = 100
	}
	for _, java := range jdks(t) {
		t.Run(java, func(t *testing.T) {
			pid := start(t, java, dir, nil, "busy")
			s := bt.New(nil)
			defer s.Close()
			for range samples {
				p, err := s.Stacks(context.Background(), pid)
				if err != nil {
					t.Fatal(err)
				}
				for i := range p.Threads {
					busy(t, &p.Threads[i])
				}
			}
		})
	}
}

func busy(t *testing.T, th *stack.Thread) {
	t.Helper()
	if th.Name != "busy" {
		return
	}
	calls := javaCalls(th)
	if th.End.Reason != stack.Outermost || len(calls) == 0 {
		t.Errorf("the stack ends: %q, %d Java frames", th.End.Text, len(calls))
		return
	}
	if last := calls[len(calls)-1].method; last != "java.lang.Thread.run" {
		t.Errorf("the outermost Java frame is %s", last)
	}
	climb := 0
	for _, c := range calls {
		if strings.HasPrefix(c.method, "Blocked$Climb.") {
			climb++
			if c.line != 0 && (c.line < 17 || c.line > 22) {
				t.Errorf("%s in line %d", c.method, c.line)
			}
		}
	}
	// The place of an interrupted instruction is told by the next call, which may be in
	// what is inlined behind it.
	if climb > 101+33+len(th.Frames[0].Names) {
		t.Errorf("%d frames of the climb:\n%v", climb, frames(th))
	}
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
