//go:build linux

package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// At a terminal people see lines and inlined calls without asking, unless they say that
// they want none; a pipe and a file have none.
func TestLinesAtTerminal(t *testing.T) {
	needPtrace(t)
	pid := start(t, build(t, "gcc", "inlined.c", "-O2", "-g")).pid
	line := regexp.MustCompile(`<inner> \S*inlined\.c:8(:\d+)? \(inlined\)\s+[0-9a-f]{16} <outer> \S*inlined\.c:13(:\d+)? \(inlined\)\s+[0-9a-f]{16} <main\+0x[0-9a-f]+> \S*inlined\.c:36`)

	term := newTerminal(t)
	term.keys(fmt.Sprintf("clear; $BT --pid %d; echo status $?", pid))
	term.wait(`status 0`)
	if screen := term.tmux("capture-pane", "-p", "-J"); !line.MatchString(screen) {
		t.Errorf("no lines at a terminal:\n%s", screen)
	}
	for _, how := range []string{"--source=false", "| cat", "-o " + filepath.Join(tempDir(t), "out"), "--raw"} {
		term.keys(fmt.Sprintf("clear; $BT --pid %d %s; echo ended $?", pid, how))
		term.wait(`ended 0`)
		if screen := term.tmux("capture-pane", "-p", "-J"); strings.Contains(screen, "inlined.c") {
			t.Errorf("with %s there are lines:\n%s", how, screen)
		}
	}
	term.keys(fmt.Sprintf("clear; $BT -s -i --pid %d | cat; echo last $?", pid))
	term.wait(`last 0`)
	if screen := term.tmux("capture-pane", "-p", "-J"); !line.MatchString(screen) {
		t.Errorf("no lines in a pipe that asks:\n%s", screen)
	}
}

// What takes long is told at a terminal while it goes on, and taken away at the end.
func TestProgressAtTerminal(t *testing.T) {
	dir := tempDir(t)
	hold := filepath.Join(dir, "hold") // until it exists the input does not end
	input := "while :; do echo 1000; sleep 0.1; test ! -e " + hold + " || break; done"
	for _, c := range []struct{ args, telling string }{
		{"--exe $BT", `bt: 0\.0 MB read`},
		{"--filter --exe $BT", `bt: 0\.0 MB read`},
	} {
		os.Remove(hold)
		term := newTerminal(t)
		term.keys(fmt.Sprintf("clear; { %s; } | $BT %s > %s/out; echo ended $?", input, c.args, dir))
		term.wait(c.telling)
		if err := os.WriteFile(hold, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		term.wait(`ended 0`)
		if screen := term.tmux("capture-pane", "-p"); strings.Contains(screen, "MB read") {
			t.Errorf("%s: still told:\n%s", c.args, screen)
		}
		if out, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || len(out) == 0 {
			t.Errorf("%s: %v, %q", c.args, err, out)
		}
	}
	core := filepath.Join(dir, "core")
	if err := unix.Mkfifo(core, 0o666); err != nil {
		t.Fatal(err)
	}
	term := newTerminal(t)
	term.keys(fmt.Sprintf("clear; sleep 100 > %s & $BT --core %s; echo ended $?", core, core))
	term.wait(`bt: reading \S*core`)
	term.press("C-c")
	term.keys("kill %1")
}
