//go:build linux

package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// fakeProc makes a procfs of processes with these command lines. About the last
// one it tells what a process says that wants to harm the terminal.
func fakeProc(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(tempDir(t), "proc")
	for pid, p := range map[int]struct {
		state, args string
		flags       int
	}{
		4711: {"S", "/srv/server\x00--port\x0080\x00", 0},
		4712: {"R", "worker\x00", 0},
		4713: {"S", "", 0x208040}, // of the kernel
		4714: {"Z", "", 0},
		4715: {"S", "evil\x1b[2J\n4716\tno process $(touch pwned)`touch pwned`;touch pwned\x00", 0},
	} {
		task := fmt.Sprintf("%s/%d/task/%d", dir, pid, pid)
		if err := os.MkdirAll(task, 0o755); err != nil {
			t.Fatal(err)
		}
		stat := fmt.Sprintf("%d (name) %s 1 1 1 0 -1 %d 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n", pid, p.state, p.flags)
		for path, data := range map[string]string{"../../stat": stat, "../../cmdline": p.args, "comm": fmt.Sprintf("main%d\n", pid)} {
			if err := os.WriteFile(filepath.Join(task, path), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// The processes and threads that the shell is told of: those whose stacks bt can have,
// their names harmless.
func TestCompletions(t *testing.T) {
	proc := fakeProc(t)
	for _, c := range []struct{ args, want string }{
		{"--procfs " + proc + " --pid =", "4711\tserver --port 80\n4712\tworker\n4715\tevil\\x1b[2J\\x0a4716\\x09no process $(touch pwned)`touch pwned…\n:4\n"},
		{"--procfs " + proc + " --pid =4711,4", "4711,4712\tworker\n4711,4715\tevil\\x1b[2J\\x0a4716\\x09no process $(touch pwned)`touch pwned…\n:4\n"},
		{"maps --procfs " + proc + " --pid =4712", "4712\tworker\n:4\n"},
		{"--procfs " + proc + " --pid 4711,4712 --tid =", "4711\tmain4711\n4712\tmain4712\n:4\n"},
		{"--procfs " + proc + " --tid =", ":4\n"},
		{"--max-pause =", ":4\n"},
		{"--core =", ":0\n"},
		{"--sysroot =", ":16\n"},
		{"--gate-dso =li", "live\tthe image in the process\n:0\n"},
		{"--gate-dso =x", ":0\n"},
		{"run =fals", "false\n:0\n"},
		{"run -- false =", ":0\n"},
		{"gate register =", ":0\n"},
		{"version =", ":4\n"},
		{"completion =f", "fish\n:4\n"},
	} {
		args, last, _ := strings.Cut(c.args, "=")
		fields := append(strings.Fields(args), last)
		if r := bt(t, append([]string{"__complete"}, fields...)...); r.code != 0 || r.stdout != c.want {
			t.Errorf("%s: %q, want %q", c.args, r.stdout, c.want)
		}
	}
	self := itoa(os.Getpid())
	if got := bt(t, "__complete", "--pid", self).stdout; !strings.HasPrefix(got, self+"\t"+filepath.Base(os.Args[0])) {
		t.Errorf("this process: %q", got)
	}
}

// In the shells themselves a tab completes the value of a flag, and shows the processes
// with their names.
func TestShells(t *testing.T) {
	proc := fakeProc(t)
	for _, shell := range []struct{ name, start, setup, about string }{
		{"bash", "bash --norc --noprofile", `. /usr/share/bash-completion/bash_completion; . <(bt completion bash); PS1='% '`, `\(%s`},
		{"zsh", "zsh -f", `autoload -U compinit; compinit -u -D; . <(bt completion zsh); PS1='%% '`, `-- %s`},
		{"fish", "fish --no-config", `set -g fish_autosuggestion_enabled 0; bt completion fish | source; function fish_prompt; echo '% '; end`, `\(%s`},
	} {
		t.Run(shell.name, func(t *testing.T) {
			testenv.Need(t, shell.name, shell.name)
			if _, err := os.Stat("/usr/share/bash-completion/bash_completion"); err != nil && shell.name == "bash" {
				testenv.Skip(t, "bash-completion is not installed: apt-get install bash-completion")
			}
			dir := tempDir(t)
			if err := os.WriteFile(filepath.Join(dir, "core.77"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			term := newTerminal(t)
			term.keys(fmt.Sprintf("cd %s; export PATH=%s:$PATH HOME=%s; exec %s", dir, filepath.Dir(btPath), dir, shell.start))
			term.foreground(shell.name)
			term.keys(shell.setup + "; clear")
			try := func(line, want string) {
				t.Helper()
				term.wait(`^%\s*$`)
				term.tmux("send-keys", "-l", line)
				term.press("Tab")
				term.wait(want)
				term.press("C-u")
				term.keys("clear")
			}
			try("bt --format fl", `^% bt --format flame`)
			try("bt --core co", `^% bt --core core\.77`)
			try("bt run -o co", `^% bt run -o core\.77`)
			try("bt --procfs "+proc+" --pid 4711,4712,4", `--pid 4711,4712,4715`)
			try("bt ga", `^% bt gate`)
			// No file is the value of this.
			term.wait(`^%\s*$`)
			term.tmux("send-keys", "-l", "bt --max-pause ")
			term.press("Tab")
			term.tmux("send-keys", "-l", "1s")
			term.wait(`^% bt --max-pause 1s`)
			term.press("C-u")
			term.keys("clear")
			term.wait(`^%\s*$`)
			// Many are shown; bash completes what they share, and wants to be asked twice.
			term.tmux("send-keys", "-l", "bt --procfs "+proc+" --pid ")
			for range 3 {
				term.press("Tab")
			}
			term.wait(`4711\s+` + fmt.Sprintf(shell.about, "server --port 80"))
			term.wait(`4712\s+` + fmt.Sprintf(shell.about, "worker"))
			if exists(filepath.Join(dir, "pwned")) {
				t.Error("the shell has run what a process's name says")
			}
		})
	}
}
