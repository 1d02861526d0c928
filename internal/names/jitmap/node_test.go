//go:build linux

package jitmap

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/maps"
)

// busy is a program whose functions the JIT compiler takes on. It says so, and
// waits for its input to end.
const busy = `
function busyInner(i) { return Math.sqrt(i) % 7 }
function busyOuter(n) { let s = 0; for (let i = 0; i < n; i++) s += busyInner(i); return s }
let s = 0;
for (let i = 0; i < 20000; i++) s += busyOuter(100);
console.log("ready", s);
process.stdin.resume();
process.stdin.on("end", () => process.exit());
`

// node runs the program with an option until the test ends.
func node(t *testing.T, option string) (pid int, mm *maps.Map, dir string) {
	t.Helper()
	tool := testenv.Need(t, "node", "nodejs")
	dir = t.TempDir()
	script := filepath.Join(dir, "busy.js")
	write(t, script, busy)
	cmd := exec.Command(tool, option, script)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
		os.Remove("/tmp/perf-" + strconv.Itoa(cmd.Process.Pid) + ".map")
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	if mm, err = maps.Parse(text); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, mm, dir
}

// compiled finds the functions of busy in s, by compiled code that lies where
// code may lie.
func compiled(t *testing.T, s *Source, mm *maps.Map) {
	t.Helper()
	want := regexp.MustCompile(`^(JS|LazyCompile):[*^+]?busy(Inner|Outer) .*/busy\.js:\d+:\d+$`)
	found := make(map[string]bool)
	for _, f := range s.files {
		tab := f.table.Load()
		if tab == nil {
			continue
		}
		for _, lo := range tab.los {
			name, start, from, ok := s.Lookup(lo)
			if !ok || from != f.path {
				continue
			}
			if m := want.FindStringSubmatch(name); m != nil {
				if e := mm.Find(start); e != nil && e.Perm&maps.Exec != 0 {
					found[m[2]] = true
				}
			}
		}
	}
	if !found["Inner"] || !found["Outer"] {
		t.Errorf("found only %v", found)
	}
}

func TestNodePerfMap(t *testing.T) {
	pid, mm, _ := node(t, "--perf-basic-prof")
	s, err := Find(pid, "/proc", mm)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	compiled(t, s, mm)
}

func TestNodeDump(t *testing.T) {
	pid, mm, dir := node(t, "--perf-prof")
	name := "jit-" + strconv.Itoa(pid) + ".dump"
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		testenv.Skip(t, "this node writes no jitdump file: %v", err)
	}
	s, err := Find(pid, "/proc", mm)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	compiled(t, s, mm)
	// The marker leads to the file when its name is gone, too.
	os.Remove(filepath.Join(dir, name))
	if os.Geteuid() == 0 {
		if _, err := s.Refresh(); err != nil {
			t.Error(err)
		}
	}
}
