//go:build linux

package suite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whenever bt is killed, the target runs on.
func TestKilledAnywhere(t *testing.T) {
	const threads = 30
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	words := filepath.Join(tempDir(t), "words")
	if err := os.WriteFile(words, make([]byte, 4*threads), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startCmd(t, command(build(t, "gcc", "ticker.c", "-O1"), itoa(threads), words))
	read := func() []byte {
		b, err := os.ReadFile(words)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}

	begin := time.Now()
	snapshot(t, p.pid)
	whole := time.Since(begin)
	for round := range rounds {
		cmd := btCmd(t, "--pid", itoa(p.pid))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rand.Int64N(int64(whole)))
		time.Sleep(after)
		cmd.Process.Kill()
		cmd.Wait()
		old := read()
		waitFor(t, fmt.Sprintf("all threads to run on (round %d, killed after %v)", round, after), func() bool {
			now := read()
			for i := range threads {
				if string(now[4*i:4*i+4]) == string(old[4*i:4*i+4]) {
					return false
				}
			}
			return true
		})
		for tid, s := range taskStates(p.pid) {
			if s == 't' || s == 'T' {
				t.Fatalf("round %d: thread %d is in state %c", round, tid, s)
			}
			if tracer := statusField(p.pid, tid, "TracerPid"); tracer != "0" {
				t.Fatalf("round %d: thread %d is traced by %s", round, tid, tracer)
			}
		}
	}
}

// statusField is a field of /proc/PID/task/TID/status.
func statusField(pid, tid int, field string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// No signal is lost while bt stops and lets go a process that receives them.
func TestNoSignalLost(t *testing.T) {
	total, runs := 20_000, 30
	if testing.Short() {
		total, runs = 2000, 5
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_SIGPENDING, &limit); err != nil || limit.Cur < 100 {
		t.Skipf("no signals may be queued: %v %v", limit, err)
	}
	p := startCmd(t, command(build(t, "gcc", "rtsignals.c", "-O1"), itoa(total)))
	done := make(chan string, 1)
	go func() {
		p.file.SetReadDeadline(time.Now().Add(4 * patience))
		line, err := p.out.ReadString('\n')
		if err != nil {
			line = err.Error()
		}
		done <- line
	}()
	// At least that many runs, and as long as signals arrive.
	for i := 0; ; i++ {
		if i == runs {
			p.in.Close() // no more than the total
		}
		bt(t, "--pid", itoa(p.pid))
		select {
		case line := <-done:
			if !strings.HasPrefix(line, "lost 0 of ") || i < runs {
				t.Errorf("of %d signals or more, after %d runs of bt: %s", total, i, line)
			}
			t.Logf("%d runs of bt, %s", i+1, line)
			return
		default:
		}
	}
}
