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
