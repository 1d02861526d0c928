//go:build linux

package bt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

func stacks(t *testing.T, pid int, o *bt.Options) *stack.Process {
	t.Helper()
	p, err := bt.Stacks(context.Background(), pid, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOptions(t *testing.T) {
	pid, kill := sleep()
	defer kill()
	whole := stacks(t, pid, nil)
	if !whole.Complete() || len(whole.Notes) != 0 || whole.PID != pid || whole.WordSize == 0 {
		t.Errorf("%+v", whole)
	}
	cut := stacks(t, pid, &bt.Options{MaxFrames: 3})
	if f := cut.Threads[0].Frames; len(f) != 3 || cut.Threads[0].End.Reason != stack.MaxFrames || cut.Complete() {
		t.Errorf("%d frames, end %+v", len(f), cut.Threads[0].End)
	}
	raw := stacks(t, pid, &bt.Options{Raw: true})
	for i, f := range raw.Threads[0].Frames {
		if f.Names != nil || f.Module != nil || f.PC != whole.Threads[0].Frames[i].PC {
			t.Errorf("frame %d is %+v", i, f)
		}
	}
	some := stacks(t, pid, &bt.Options{Threads: []int{pid, 1}})
	if len(some.Threads) != 1 || len(some.Notes) != 1 || some.Notes[0].Kind != "missing" || !strings.Contains(some.Notes[0].Text, "thread 1 is not in process") {
		t.Errorf("threads %d, notes %v", len(some.Threads), some.Notes)
	}
}

func TestErrors(t *testing.T) {
	ctx := context.Background()
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"itself":     {second(bt.Stacks(ctx, os.Getpid(), nil)), "itself"},
		"no process": {second(bt.Stacks(ctx, 1<<30, nil)), "no such process"},
		"no core":    {second(bt.Core(ctx, "/dev/null", nil)), "/dev/null"},
		"no thread":  {second(bt.Stacks(ctx, os.Getppid(), &bt.Options{Threads: []int{1 << 30}})), "none of the threads"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, c.err, c.want)
		}
	}

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	pid, kill := sleep()
	defer kill()
	if p, err := bt.Stacks(canceled, pid, nil); p != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, err := bt.Names(canceled, pid, []uint64{1}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("names with a context that has ended: %v", err)
	}
}

// A core has the stacks that the process had.
func TestCore(t *testing.T) {
	testenv.Need(t, "gcore", "gdb")
	pid, kill := sleep()
	defer kill()
	prefix := t.TempDir() + "/core"
	if out, err := exec.Command("gcore", "-o", prefix, strconv.Itoa(pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	live := stacks(t, pid, nil)
	dead, err := bt.Core(context.Background(), fmt.Sprintf("%s.%d", prefix, pid), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !dead.Complete() || dead.PID != pid || len(dead.Threads) != 1 {
		t.Fatalf("%+v", dead)
	}
	a, b := live.Threads[0].Frames, dead.Threads[0].Frames
	if len(a) != len(b) {
		t.Fatalf("%d frames, live %d", len(b), len(a))
	}
	for i := range a {
		if a[i].PC != b[i].PC || !slices.Equal(a[i].Names, b[i].Names) {
			t.Errorf("frame %d is %+v, live %+v", i, b[i], a[i])
		}
	}
}

func second(_ *stack.Process, err error) error { return err }

// With Lines frames have their places in the source, and inlined calls; without they have
// neither. Names gives them of addresses.
func TestLines(t *testing.T) {
	prog := t.TempDir() + "/inlined"
	testenv.Compile(t, prog, "gcc", "-O2", "-g", "testdata/progs/inlined.c")
	cmd := exec.Command(prog)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 100)); err != nil { // "ready"
		t.Fatal(err)
	}
	main := func(p *stack.Process) *stack.Frame {
		for i := range p.Threads[0].Frames {
			f := &p.Threads[0].Frames[i]
			if n := f.Function(); n != nil && n.Symbol == "main" {
				return f
			}
		}
		t.Fatalf("no main in %+v", p.Threads[0].Frames)
		return nil
	}
	var frame *stack.Frame
	for range 1000 { // until it is where it stays
		if frame = main(stacks(t, cmd.Process.Pid, &bt.Options{Lines: true})); frame.Names[0].Symbol == "inner" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	check := func(what string, names []stack.Name, want ...string) {
		t.Helper()
		var got []string
		for _, n := range names {
			got = append(got, fmt.Sprintf("%s %s:%d %v", n.Symbol, n.File[strings.LastIndexByte(n.File, '/')+1:], n.Line, n.Inlined))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	lines := []string{"inner inlined.c:8 true", "outer inlined.c:13 true", "main inlined.c:36 false"}
	check("with lines", frame.Names, lines...)
	check("without", main(stacks(t, cmd.Process.Pid, nil)).Names, "main :0 false")
	named, err := bt.Names(context.Background(), cmd.Process.Pid, []uint64{frame.PC - 1}, &bt.Options{Lines: true})
	if err != nil || len(named) != 1 {
		t.Fatalf("%v, %v", named, err)
	}
	check("of an address", named[0].Names, lines...)
}
