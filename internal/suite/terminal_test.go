//go:build linux

package suite

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
