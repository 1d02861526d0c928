//go:build linux

package suite

import (
	"slices"
	"strings"
	"testing"
)

// Go programs: every thread's stack ends properly, and the functions of a
// thread that runs Go code have their names, stripped or not.
func TestGoPrograms(t *testing.T) {
	for name, flags := range map[string][]string{
		"normal":       nil,
		"stripped":     {"-ldflags=-s -w"},
		"pie":          {"-buildmode=pie"},
		"pie-stripped": {"-buildmode=pie", "-ldflags=-s -w"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "stripped" {
				t.Skip("-short")
			}
			prog := build(t, "go", "gospin.go", flags...)
			p := start(t, prog, "idle")
			for _, th := range snapshot(t, p.pid).threads {
				if th.end != "" || len(th.frames) < 2 {
					t.Errorf("idle: thread %d: %s", th.tid, th)
				}
			}

			p = startCmd(t, command(prog, "spin"))
			// The runtime may have interrupted the loop just now: look again.
			const want = "main.spin main.inner main.outer main.main runtime.main runtime.goexit"
			found := false
			for range 5 {
				for _, th := range snapshot(t, p.pid).threads {
					if th.end != "" {
						t.Errorf("spin: thread %d: %s", th.tid, th)
					}
					var names []string
					for _, f := range th.frames {
						names = append(names, strings.TrimSuffix(f.name, ".abi0"))
					}
					found = found || slices.Equal(names, strings.Fields(want))
				}
				if found {
					break
				}
			}
			if !found {
				t.Errorf("no thread with the chain %s:\n%v", want, snapshot(t, p.pid).threads)
			}
		})
	}
}
