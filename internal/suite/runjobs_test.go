//go:build linux

package suite

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

// watched starts bt run on a mode of the program crash that waits, and returns
// bt and the PID of the command.
func watched(t *testing.T, flags []string, mode ...string) (p *proc, pid int) {
	t.Helper()
	prog := build(t, "gcc", "crash.c", "-O1")
	args := append(append([]string{"run"}, flags...), append([]string{prog}, mode...)...)
	p = startCmd(t, exec.Command(btPath, args...))
	waitFor(t, "bt's child", func() bool {
		pid = 0
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.pid))
		for _, f := range tasks {
			b, _ := os.ReadFile(f)
			if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				pid = n
			}
		}
		return pid != 0
	})
	return p, pid
}

// finish waits for bt and returns its exit status and standard error.
func (p *proc) finish(t *testing.T) (int, string) {
	t.Helper()
	done := make(chan bool)
	go func() { p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%v does not end", p.cmd)
	}
	return p.cmd.ProcessState.ExitCode(), p.cmd.Stderr.(*bytes.Buffer).String()
}

// A signal to bt alone is for its command; one to both reaches it once.
func TestRunForwards(t *testing.T) {
	for _, tt := range []struct {
		sig   syscall.Signal
		group bool
	}{
		{syscall.SIGHUP, false}, {syscall.SIGINT, false}, {syscall.SIGQUIT, false}, {syscall.SIGUSR1, false},
		{syscall.SIGINT, true}, {syscall.SIGHUP, true},
	} {
		p, _ := watched(t, nil, "handle", "6")
		to := p.pid
		if tt.group {
			to = -to
		}
		syscall.Kill(to, tt.sig)
		p.line(t, fmt.Sprintf("signal %d", tt.sig))
		time.Sleep(60 * time.Millisecond) // for a second one to come
		syscall.Kill(p.pid, syscall.SIGTERM)
		if line := p.line(t, "signal"); line != "signal 15" {
			t.Errorf("%v, group %v: %q after the first", tt.sig, tt.group, line)
		}
		if code, stderr := p.finish(t); code != 6 || stderr != "" {
			t.Errorf("%v: exit %d, %q", tt.sig, code, stderr)
		}
	}

	p, _ := watched(t, nil, "sleep")
	syscall.Kill(p.pid, syscall.SIGTERM)
	code, stderr := p.finish(t)
	if want := fmt.Sprintf(`killed by SIGTERM \(SI_USER\): sent by process %d \(uid %d\)\n$`, p.pid, os.Getuid()); code != 143 || !regexp.MustCompile(want).MatchString(stderr) {
		t.Errorf("SIGTERM: exit %d, %q", code, stderr)
	}
}

// What others do to the command itself.
func TestRunKilled(t *testing.T) {
	p, pid := watched(t, nil, "sleep")
	syscall.Kill(pid, syscall.SIGKILL)
	if code, stderr := p.finish(t); code != 137 || stderr != fmt.Sprintf("# process %d killed by SIGKILL\n", pid) {
		t.Errorf("SIGKILL: exit %d, %q", code, stderr)
	}
	p, pid = watched(t, nil, "sleep")
	waitFor(t, "the command to sleep", func() bool { return taskStates(pid)[pid] == 'S' })
	syscall.Kill(pid, syscall.SIGABRT)
	code, stderr := p.finish(t)
	ds, ps := parseRun(t, stderr)
	if want := fmt.Sprintf("SIGABRT (SI_USER): sent by process %d (uid %d)", os.Getpid(), os.Getuid()); code != 134 || len(ds) != 1 || ds[0].cause != want {
		t.Fatalf("SIGABRT: exit %d, %q", code, stderr)
	}
	ps[0].threads[0].wantChain(t, "libc run main libc _start")
}

// A command is stopped and continued by whom it may concern.
func TestRunStopped(t *testing.T) {
	p, pid := watched(t, nil, "sleep")
	state := func(want string) func() bool {
		return func() bool { return strings.IndexByte(want, taskStates(pid)[pid]) >= 0 }
	}
	for range 3 {
		syscall.Kill(pid, syscall.SIGSTOP)
		waitFor(t, "the stop", state("tT"))
		time.Sleep(20 * time.Millisecond)
		if s := taskStates(p.pid)[p.pid]; s == 'T' {
			t.Error("bt is stopped, and who would continue it?")
		}
		syscall.Kill(pid, syscall.SIGCONT)
		waitFor(t, "the command to go on", state("S"))
	}
	// Killed while it is stopped.
	syscall.Kill(pid, syscall.SIGSTOP)
	waitFor(t, "the stop", state("tT"))
	syscall.Kill(pid, syscall.SIGKILL)
	if code, _ := p.finish(t); code != 137 {
		t.Errorf("exit %d", code)
	}
}

// If bt is killed, its command runs on, untraced, and loses no signal.
func TestRunSurvivesBt(t *testing.T) {
	p, pid := watched(t, nil, "sleep")
	syscall.Kill(p.pid, syscall.SIGKILL)
	p.cmd.Wait()
	waitFor(t, "the command to be let go of", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal("the command has ended with bt")
		}
		return bytes.Contains(b, []byte("TracerPid:\t0\n")) && taskStates(pid)[pid] == 'S'
	})
	syscall.Kill(pid, syscall.SIGKILL)

	// In the midst of a storm of signals.
	prog := build(t, "gcc", "crash.c", "-O1")
	for i := range 10 {
		started := filepath.Join(tempDir(t), "started")
		cmd := exec.Command(btPath, "run", "sh", "-c", ": >"+started+"; "+prog+" storm 20000; echo $?")
		var out bytes.Buffer
		cmd.Stdout, cmd.WaitDelay = &out, patience
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the command to start", func() bool { return exists(started) })
		time.Sleep(time.Duration(5*i) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait() // until nobody holds the pipe any more
		if out.String() != "0\n" {
			t.Errorf("after bt's death: %q", out.String())
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// terminal is a shell with job control in a terminal.
type terminal struct {
	t      *testing.T
	socket string
}

func newTerminal(t *testing.T) *terminal {
	testenv.Need(t, "tmux", "tmux")
	testenv.Need(t, "bash", "bash")
	term := &terminal{t, filepath.Join(tempDir(t), "tmux")}
	term.tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "60", "exec bash --norc --noprofile")
	t.Cleanup(func() { exec.Command("tmux", "-S", term.socket, "kill-server").Run() })
	term.keys("PS1='% '; export BT=" + btPath + "; clear")
	return term
}

func (term *terminal) tmux(args ...string) string {
	term.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", term.socket}, args...)...).CombinedOutput()
	if err != nil {
		term.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// keys types a line.
func (term *terminal) keys(line string) {
	term.t.Helper()
	term.tmux("send-keys", "-l", line)
	term.tmux("send-keys", "Enter")
}

// press presses a key, such as C-z.
func (term *terminal) press(key string) { term.t.Helper(); term.tmux("send-keys", key) }

// wait waits for the screen to match.
func (term *terminal) wait(want string) {
	term.t.Helper()
	re := regexp.MustCompile(want)
	screen := ""
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if screen = term.tmux("capture-pane", "-p"); re.MatchString(screen) {
			return
		}
		if time.Now().After(end) {
			term.t.Fatalf("no %q on the screen:\n%s", want, strings.TrimSpace(screen))
		}
	}
}

// foreground waits until a program has the terminal: before that the shell reads
// what is typed.
func (term *terminal) foreground(prog string) {
	term.t.Helper()
	waitFor(term.t, prog+" in the foreground", func() bool {
		return strings.TrimSpace(term.tmux("display-message", "-p", "#{pane_current_command}")) == prog
	})
}

// Job control: ^Z, fg, bg, ^C, and reading from the terminal in the background.
func TestRunJobs(t *testing.T) {
	needPtrace(t)
	term := newTerminal(t)
	term.keys(`$BT run cat; echo status $?`)
	term.foreground("bt")
	term.keys("first")
	term.wait(`(?s)first\s+first`)
	term.press("C-z")
	term.wait(`(?s)Stopped.*%\s*$`)
	term.keys("clear; fg; echo again $?")
	term.foreground("bt")
	term.keys("second")
	term.wait(`(?s)second\s+second`)
	term.press("C-z")
	term.wait(`(?s)Stopped.*%\s*$`)
	// In the background it must not read.
	term.keys("clear; bg; sleep 0.3; jobs")
	term.wait(`(?s)Stopped.*%\s*$`)
	term.keys("clear; fg; echo last $?")
	term.foreground("bt")
	term.keys("third")
	term.wait(`(?s)third\s+third`)
	term.press("C-d")
	term.wait(`last 0`)

	term.keys(`clear; $BT run sh -c 'echo one; exec sleep 1000'; echo status $?`)
	term.wait(`(?m)^one`)
	term.press("C-c")
	term.wait(`(?s)killed by SIGINT.*status 130`)
	term.keys(`clear; $BT run sh -c 'echo two; exec sleep 1000'; echo status $?`)
	term.wait(`(?m)^two`)
	term.press("C-\\")
	term.wait(`(?s)killed by SIGQUIT.*status 131`)
	// One that takes its signals by sigwait gets each once, too.
	term.keys("clear; $BT run " + build(t, "gcc", "crash.c", "-O1") + " sigwait 5; echo status $?")
	term.wait("ready")
	term.press("C-c")
	time.Sleep(60 * time.Millisecond)
	term.keys("")
	term.press("C-\\")
	term.wait(`(?s)ready \S+\s+\S*signal 2\s+\S*signal 3`)
	term.press("C-z")
	term.wait(`(?s)signal 3\s+\S*signal 20\s+status 5`)

	term.keys("clear; jobs; echo done")
	term.wait(`(?m)^done`)
}

// A program that has a terminal of its own kind (raw, with handlers for its
// stops), and a shell below bt.
func TestRunInteractive(t *testing.T) {
	needPtrace(t)
	term := newTerminal(t)
	term.keys(`$BT run bash --norc --noprofile; echo outer $?`)
	term.wait(`bash-\S+\s*$`)
	term.keys(`PS1='inner '; sleep 1000`)
	term.foreground("sleep")
	term.press("C-z")
	term.wait(`(?s)Stopped.*sleep 1000\s+inner\s*$`)
	term.keys("clear; fg")
	term.foreground("sleep")
	term.press("C-c")
	term.keys("clear; exit 7")
	term.wait(`outer 7`)

	term.keys(`clear; $BT run bash -c 'trap "echo stopping; trap - TSTP; kill -TSTP \$\$" TSTP; while read -t 1000 x; do echo got $x; done'`)
	term.foreground("bt")
	term.keys("one")
	term.wait("got one")
	term.press("C-z")
	// bash runs the trap when its read has been interrupted or answered.
	term.keys("two")
	term.wait(`(?s)stopping.*Stopped`)
	term.keys("clear; fg")
	term.foreground("bt")
	term.keys("three")
	term.wait("got three")
	term.press("C-d")
}

// BenchmarkRun compares commands with and without bt run: many system calls,
// many signals, many threads.
func BenchmarkRun(b *testing.B) {
	prog := build(b, "gcc", "crash.c", "-O1")
	for _, mode := range [][]string{{"exit", "0"}, {"getppid", "300000"}, {"urgent", "10000"}, {"storm", "10000"}, {"jump", "10000"}, {"spawn", "1000"}} {
		for _, how := range [][]string{nil, {btPath, "run"}} {
			name := "alone"
			if how != nil {
				name = "watched"
			}
			b.Run(mode[0]+"/"+name, func(b *testing.B) {
				args := append(append([]string{}, how...), append([]string{prog}, mode...)...)
				for range b.N {
					if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
						b.Fatalf("%v\n%s", err, out)
					}
				}
			})
		}
	}
}
