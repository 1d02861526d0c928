//go:build linux

package golang_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

// takeCore returns the model of a core file, named.
func takeCore(t *testing.T, path string) *stack.Process {
	t.Helper()
	ses := session.New(session.Options{Lines: true})
	defer ses.Close()
	c, err := ses.OpenCore(path, "", t.Errorf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for s, err := range c.Parts(session.StackOptions{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		sym, err := s.Symbols()
		if err != nil {
			t.Fatal(err)
		}
		sym.Stacks(s.Model)
		return s.Model
	}
	t.Fatal("the core has no threads")
	return nil
}

// parked brings the goroutines of a process into a form in which those of its core are
// the same.
func parked(p *stack.Process, labels bool) map[string]string {
	all := make(map[string]string)
	for i := range p.Goroutines {
		g := &p.Goroutines[i]
		text := told(g, true)
		if w := g.Waits; w != nil && w.Kind != "time" { // a core does not tell the time
			text += "\nwaits for " + w.Text
		}
		if labels {
			text += fmt.Sprint("\nlabels ", g.Labels)
		}
		if !g.Complete() {
			text += "\nends: " + g.End.Text
		}
		all[fmt.Sprint(g.ID)] = text
	}
	return all
}

// TestCores compares the goroutines in cores with those of the live process.
func TestCores(t *testing.T) {
	prog := build(t, "", "-ldflags=-s -w")
	t.Run("gcore", func(t *testing.T) {
		testenv.Need(t, "gcore", "gdb")
		pid, _ := start(t, prog)
		live := take(t, pid, 0)
		prefix := filepath.Join(t.TempDir(), "core")
		if out, err := exec.Command("gcore", "-o", prefix, fmt.Sprint(pid)).CombinedOutput(); err != nil {
			t.Fatalf("gcore: %v\n%s", err, out)
		}
		p := takeCore(t, fmt.Sprint(prefix, ".", pid))
		if diff := cmp.Diff(parked(live, false), parked(p, false)); diff != "" {
			t.Errorf("goroutines (-live +core):\n%s", diff)
		}
		// gdb leaves out the program's constants, and the proof of which file they are from.
		for _, n := range p.Notes {
			if n.Text != "go: goroutines of "+prog+": labels of 1 of them cannot be read" {
				t.Errorf("note: %s", n.Text)
			}
		}
	})
	t.Run("kernel", func(t *testing.T) {
		pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
		if err != nil || !regexp.MustCompile(`^core[.%a-z]*\n$`).Match(pattern) {
			t.Skipf("the kernel gives core files to %q: sysctl kernel.core_pattern=core", pattern)
		}
		dir := t.TempDir()
		// The process says when it waits; then the runtime prints, and dies of SIGABRT.
		script := `ulimit -c unlimited; GOTRACEBACK=crash exec "$0"`
		cmd := exec.Command("sh", "-c", script, prog)
		cmd.Dir = dir
		pid, _ := startCommand(t, cmd)
		live := take(t, pid, 0)
		cmd.Process.Signal(syscall.SIGQUIT)
		cmd.Wait()
		found, _ := filepath.Glob(filepath.Join(dir, "core*"))
		if len(found) != 1 {
			t.Fatalf("core files: %q, %v", found, cmd.ProcessState)
		}
		p := takeCore(t, found[0])
		for _, n := range p.Notes {
			t.Errorf("note: %s", n.Text)
		}
		want, got := parked(live, true), parked(p, true)
		for id := range want {
			if _, left := got[id]; !left && woken(want[id]) {
				delete(want, id) // SIGQUIT has a thread run it
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("goroutines (-live +core):\n%s", diff)
		}
	})
}

// woken reports whether a goroutine, as parked tells it, is the runtime's own, which
// may run at any time.
func woken(text string) bool { return !strings.Contains(text, "main.") }
