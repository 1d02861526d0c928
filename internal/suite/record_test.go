//go:build linux

package suite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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

// folded reads a file of folded stacks: how often each was seen.
func folded(t testing.TB, path string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		stack, n, ok := cutLast(strings.TrimSuffix(line, "\n"))
		if !ok {
			t.Fatalf("no stack and number: %q", line)
		}
		counts[stack] += n
	}
	return counts
}

func cutLast(line string) (stack string, n int, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.Atoi(line[i+1:])
	return line[:i], n, err == nil && n > 0
}

// through adds up the stacks in which a function is.
func through(counts map[string]int, function string) (n int) {
	for stack, times := range counts {
		if strings.Contains(";"+stack+";", ";"+function+";") {
			n += times
		}
	}
	return n
}

// recorded checks the exit status of bt record: 3 is also what threads give that have not
// stopped in time, on a busy machine.
func recorded(t testing.TB, r result) {
	t.Helper()
	if r.code != 0 && (r.code != 3 || !strings.Contains(r.stderr, "missing") && !strings.Contains(r.stderr, "lack frames")) {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// inShares checks that three functions have the shares of the samples that they have of
// the CPU time: 60, 30 and 10 parts.
func inShares(t testing.TB, counts map[string]int) {
	t.Helper()
	most, some, little := through(counts, "most"), through(counts, "some"), through(counts, "little")
	total := most + some + little
	if total < 40 {
		t.Fatalf("only %d samples: %v", total, counts)
	}
	// Four standard deviations of so many samples, and some more.
	slack := 200/isqrt(total) + 6
	for _, s := range []struct {
		name       string
		got, share int
	}{{"most", most, 60}, {"some", some, 30}, {"little", little, 10}} {
		if share := 100 * s.got / total; share < s.share-slack || share > s.share+slack {
			t.Errorf("%s has %d%% of %d samples, want %d%%±%d", s.name, share, total, s.share, slack)
		}
	}
}

func isqrt(n int) int {
	r := 0
	for (r+1)*(r+1) <= n {
		r++
	}
	return r
}

// A command is recorded to its end, each function by its share of the time, and those
// that sleep beside them.
func TestRecordShares(t *testing.T) {
	prog := build(t, "gcc", "shares.c", "-O1", "-g")
	needPtrace(t)
	out := filepath.Join(tempDir(t), "out.folded")
	r := bt(t, "record", "--hz", "100", "--max-pause", "50%", "-o", out, "--", prog, "20", "1500")
	if r.code != 4 {
		t.Fatalf("exit %d, want the command's 4: %s", r.code, r.stderr)
	}
	counts := folded(t, out)
	inShares(t, counts)
	if asleep, awake := through(counts, "sleeper"), through(counts, "compute"); asleep < 15*awake || asleep > 40*awake {
		t.Errorf("20 sleeping threads were seen %d times, the one that runs %d times", asleep, awake)
	}
}

func TestRecordOnCPU(t *testing.T) {
	testenv.Need(t, "jq", "jq")
	p := startCmd(t, command(build(t, "gcc", "shares.c", "-O1", "-g"), "10"))
	dir := tempDir(t)
	out := filepath.Join(dir, "out.folded")
	args := []string{"record", "--pid", itoa(p.pid), "--on-cpu", "--hz", "100", "--max-pause", "50%", "--duration", "2s"}
	recorded(t, bt(t, append(args, "-o", out)...))
	counts := folded(t, out)
	inShares(t, counts)
	// Each of them woke up once, at most, to be seen on a CPU.
	if asleep, awake := through(counts, "sleeper"), through(counts, "compute"); asleep*5 > awake {
		t.Errorf("sleeping threads were seen %d times, the one that runs %d times", asleep, awake)
	}

	// pprof reads the profile, and finds the same function first.
	out = filepath.Join(dir, "out.pb.gz")
	recorded(t, bt(t, append(args, "-o", out)...))
	top, err := exec.Command("go", "tool", "pprof", "-top", "-cum", "-sample_index=samples", "-focus=^most$", out).CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^ .* most`).Match(top) || !bytes.Contains(top, []byte("Duration: ")) {
		t.Errorf("pprof: %v\n%s", err, top)
	}

	// jq adds up the counts of the JSON document to as many samples as bt tells.
	out = filepath.Join(dir, "out.json")
	r := bt(t, append(args, "-o", out)...)
	recorded(t, r)
	sum, err := exec.Command("jq", `[.processes[] | .count * (.threads | length)] | add`, out).Output()
	if n, err2 := strconv.Atoi(strings.TrimSpace(string(sum))); err != nil || err2 != nil || n < 20 {
		t.Errorf("jq: %v %v %q", err, err2, sum)
	}
}

var summaryLine = regexp.MustCompile(`(?m)^bt: process \d+: (\d+) samples? of (\d+) threads? in ([0-9.]+) s, `)

// samplesOf is how many samples bt says that it has taken.
func samplesOf(t testing.TB, r result) int {
	t.Helper()
	m := summaryLine.FindStringSubmatch(r.stderr)
	if m == nil {
		t.Fatalf("no summary: %s", r.stderr)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// A rate that takes more than --max-pause is lowered, and that is said.
func TestRecordMaxPause(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "shares.c", "-O1", "-g"), "10"))
	out := filepath.Join(tempDir(t), "out.folded")
	r := bt(t, "record", "--pid", itoa(p.pid), "--hz", "200", "--max-pause", "0.001%", "--duration", "1s", "-o", out)
	recorded(t, r)
	if !strings.Contains(r.stderr, "the rate was lowered from 200 a second, to stop no thread for more than 0.001% of the time") {
		t.Errorf("%s", r.stderr)
	}
	if n := samplesOf(t, r); n > 100 {
		t.Errorf("%d samples", n)
	}
}

// startRecord starts bt record, and waits until it is attached to a process.
func startRecord(t testing.TB, pid int, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	cmd = btCmd(t, append([]string{"record", "--pid", itoa(pid), "--hz", "200", "--max-pause", "50%"}, args...)...)
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	waitFor(t, "bt to attach", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		return bytes.Contains(b, []byte("TracerPid:")) && !bytes.Contains(b, []byte("TracerPid:\t0\n"))
	})
	return cmd, stderr
}

// ^C, SIGTERM and the end of the process end a recording, and what there is is written.
func TestRecordEnds(t *testing.T) {
	prog := build(t, "gcc", "shares.c", "-O1", "-g")
	for _, how := range []string{"interrupt", "terminated", "end of the process"} {
		p := startCmd(t, command(prog, "3"))
		out := filepath.Join(tempDir(t), "out.folded")
		cmd, stderr := startRecord(t, p.pid, "-o", out)
		time.Sleep(300 * time.Millisecond)
		switch how {
		case "interrupt":
			cmd.Process.Signal(syscall.SIGINT)
		case "terminated":
			cmd.Process.Signal(syscall.SIGTERM)
		default:
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
		cmd.Wait()
		recorded(t, result{stderr: stderr.String(), code: cmd.ProcessState.ExitCode()})
		if n := through(folded(t, out), "sleeper"); n == 0 {
			t.Errorf("%s: nothing was written: %s", how, stderr)
		}
	}
}

// What stops other programs in a terminal does not stop bt: what it records would stand
// still with it.
func TestRecordIsNotSuspended(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "shares.c", "-O1", "-g"), "3"))
	cmd, stderr := startRecord(t, p.pid, "-o", filepath.Join(tempDir(t), "out.folded"))
	for _, sig := range []syscall.Signal{syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTSTP} {
		cmd.Process.Signal(sig)
		time.Sleep(50 * time.Millisecond)
		for tid, s := range taskStates(cmd.Process.Pid) {
			if s == 'T' {
				t.Fatalf("thread %d of bt stands still after %v", tid, sig)
			}
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if !strings.Contains(stderr.String(), "^C ends") {
		t.Errorf("%s", stderr)
	}
}

// Signals reach a process that is recorded, each once and in order.
func TestRecordSignals(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "rtsignals.c", "-O1"), "4000"))
	cmd, _ := startRecord(t, p.pid, "-o", filepath.Join(tempDir(t), "out.folded"))
	time.Sleep(time.Second)
	p.in.Close() // no more signals
	if got := p.line(t, "lost"); !strings.HasPrefix(got, "lost 0 of ") {
		t.Errorf("%s", got)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
}

// Killed at any moment, bt leaves nothing stopped, and no file that is half written.
func TestRecordKilled(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	p := startCmd(t, command(build(t, "gcc", "churn.c", "-O1"), "16"))
	out := filepath.Join(tempDir(t), "out.folded")
	for range rounds {
		cmd, _ := startRecord(t, p.pid, "-o", out)
		time.Sleep(time.Duration(rand.IntN(30000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		for tid, s := range taskStates(p.pid) {
			if s == 't' || s == 'T' {
				t.Fatalf("thread %d is in state %c", tid, s)
			}
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was written")
	}
	recorded(t, bt(t, "record", "--pid", itoa(p.pid), "--duration", "100ms", "-o", out))
}

// Threads that come and go are seen, and counted together when they are many.
func TestRecordChurn(t *testing.T) {
	p := startCmd(t, command(build(t, "gcc", "churn.c", "-O1"), "32"))
	out := filepath.Join(tempDir(t), "out.txt")
	r := bt(t, "record", "--pid", itoa(p.pid), "--hz", "200", "--max-pause", "50%", "--duration", "1500ms", "-o", out)
	recorded(t, r)
	text, err := os.ReadFile(out)
	if err != nil || !bytes.Contains(text, []byte("<descend+")) {
		t.Errorf("%v: no thread is in descend", err)
	}
	if m := summaryLine.FindStringSubmatch(r.stderr); m == nil || len(m[2]) < 2 {
		t.Errorf("the summary tells of too few threads: %s", r.stderr)
	}
}

// Python's functions are there by the names that the program gives them.
func TestRecordPython(t *testing.T) {
	for _, python := range testenv.Pythons(t)[:1] {
		p := startProgram(t, python.Command(t, "../../testdata/progs/shares.py"))
		p.line(t, "ready")
		out := filepath.Join(tempDir(t), "out.folded")
		recorded(t, bt(t, "record", "--pid", itoa(p.pid), "--hz", "100", "--max-pause", "50%", "--duration", "2s", "-o", out))
		counts := folded(t, out)
		most, little, asleep := through(counts, "most"), through(counts, "little"), through(counts, "asleep")
		if most+little < 20 || most < 2*little {
			t.Errorf("most %d, little %d; want 80 and 20 parts", most, little)
		}
		if asleep < (most+little)/2 {
			t.Errorf("asleep %d", asleep)
		}
	}
}
