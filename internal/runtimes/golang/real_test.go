//go:build linux

package golang_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
	"github.com/gatedso/bt/stack"
)

// lastWords takes the goroutines of a command while it is stopped by SIGSTOP, and has it
// die of SIGABRT then. It returns what the runtime prints.
func lastWords(t *testing.T, cmd *exec.Cmd, after time.Duration) (*stack.Process, string) {
	t.Helper()
	var words bytes.Buffer
	cmd.Stderr = &words
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(cmd.Environ(), "GOTRACEBACK=all")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has started
	time.Sleep(after)
	cmd.Process.Signal(syscall.SIGSTOP)
	for range 1000 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if _, state, _ := strings.Cut(string(b), ") "); state[0] == 'T' {
			break
		}
		time.Sleep(time.Millisecond)
	}
	p := take(t, cmd.Process.Pid, 0)
	cmd.Process.Signal(syscall.SIGABRT) // the go command handles SIGQUIT itself
	cmd.Process.Signal(syscall.SIGCONT)
	cmd.Wait()
	return p, words.String()
}

var (
	wordsHead = regexp.MustCompile(`^goroutine (\d+) gp=0x[0-9a-f]+ m=\S+(?: mp=\S+)? \[([^\]]*)\]`)
	wordsPC   = regexp.MustCompile(` pc=0x([0-9a-f]+)$`)
)

// spoken turns what the runtime prints before it dies into an entry for each goroutine: its
// state, and where it is in each of its functions but for the inlined ones.
func spoken(words string) map[string]string {
	all := make(map[string]string)
	for _, part := range strings.Split(words, "\n\n") {
		lines := strings.Split(part, "\n")
		head := wordsHead.FindStringSubmatch(lines[0])
		if head == nil || strings.Contains(part, "additional frames elided") {
			continue
		}
		text := regexp.MustCompile(`, \d+ minutes`).ReplaceAllString(head[2], "")
		for _, l := range lines[1:] {
			if pc := wordsPC.FindStringSubmatch(l); pc != nil {
				text += " " + pc[1]
			}
		}
		all[head[1]] = text
	}
	return all
}

// compareParked compares the goroutines that are on no thread, the runtime's own as well,
// with what the runtime has printed. A few may have been woken in between.
func compareParked(t *testing.T, p *stack.Process, words string) {
	t.Helper()
	for _, n := range p.Notes {
		t.Errorf("note: %s", n.Text)
	}
	want := spoken(words)
	same, other := 0, 0
	for i := range p.Goroutines {
		g := &p.Goroutines[i]
		if !g.Complete() {
			t.Errorf("goroutine %d ends: %s", g.ID, g.End.Text)
		}
		got := g.State
		if g.Thread != 0 {
			got += ", locked to thread"
		}
		for i := range g.Frames {
			got += fmt.Sprintf(" %x", g.Frames[i].PC)
		}
		if text, ok := want[fmt.Sprint(g.ID)]; text == got {
			same++
		} else if ok && g.State != "runnable" {
			// One that comes from a system call and waits for its turn is printed
			// as it was before the call; and it may have had its turn.
			other++
			t.Logf("goroutine %d: %s\nthe runtime prints %s", g.ID, got, text)
		}
	}
	t.Logf("%d of %d goroutines are the same, %d differ; the runtime has printed %d", same, len(p.Goroutines), other, len(want))
	if same < 5 || other > 1+same/5 {
		t.Errorf("%d goroutines differ:\n%s", other, words)
	}
}

// TestReal compares the goroutines of the go command while it builds.
func TestReal(t *testing.T) {
	n := 1
	if testenv.Full() {
		n = 5
	}
	for i := range n {
		cmd := exec.Command("go", "build", "-a", "-o", "/dev/null", "net/http")
		cmd.Dir = t.TempDir()
		cache, err := os.MkdirTemp("", "bt-gocache")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(cache) // a compiler may write its last
		cmd.Env = append(os.Environ(), "GOCACHE="+cache)
		p, words := lastWords(t, cmd, time.Duration(2+i)*500*time.Millisecond)
		compareParked(t, p, words)
	}
}
