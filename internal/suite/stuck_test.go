//go:build linux

package suite

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gatedso/bt/internal/testenv"
)

// startStuck runs stuck.c, where the machine allows what it does.
func startStuck(t *testing.T, what string, args ...string) *proc {
	t.Helper()
	prog := build(t, "gcc", "stuck.c", "-O1")
	probe := exec.Command("timeout", append([]string{"0.3", prog, what}, args...)...)
	if probe.Run(); probe.ProcessState.ExitCode() == 77 {
		testenv.Skip(t, "%s is not permitted here: run as root", what)
	}
	return startCmd(t, command(prog, append([]string{what}, args...)...))
}

// other is the thread that is not the leader.
func other(t *testing.T, p process) thread {
	t.Helper()
	for _, th := range p.threads {
		if th.tid != p.pid {
			return th
		}
	}
	t.Fatalf("one thread only: %v", p.threads)
	return thread{}
}

// A thread in a page fault of the kernel's that a userfaultfd is to serve is
// not interrupted: it would never sleep again.
func TestUserfault(t *testing.T) {
	p := startStuck(t, "uffd")
	p.settle(t)
	r := bt(t, "--pid", itoa(p.pid)).want(t, 3)
	if !strings.Contains(r.stdout, "# not stopped: waiting for a page from a userfaultfd\n") {
		t.Errorf("no word of what the thread waits for:\n%s", r.stdout)
	}
	other(t, only(t, r, p.pid)).wantChain(t, "libc reader worker libc")
	time.Sleep(20 * time.Millisecond)
	for tid, state := range taskStates(p.pid) {
		if state != 'S' {
			t.Errorf("afterwards thread %d is in state %c", tid, state)
		}
	}

	// In a fault of the program's own it stops as any other.
	p = startStuck(t, "touch")
	p.settle(t)
	for range 3 {
		other(t, snapshot(t, p.pid)).wantChain(t, "toucher worker libc")
	}
	p.settle(t)
}

// Nor is a thread that waits for a FUSE server, which would be asked to break
// the request off.
func TestFUSE(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Skip(t, "mounting a FUSE file system takes root")
	}
	dir := tempDir(t)
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	prog := build(t, "gcc", "stuck.c", "-O1")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		testenv.Skip(t, "no /dev/fuse: modprobe fuse")
	}
	p := startCmd(t, command(prog, "fuse", dir))
	p.settle(t)
	r := bt(t, "--pid", itoa(p.pid)).want(t, 3)
	if !strings.Contains(r.stdout, "# not stopped: waiting for a FUSE server\n") {
		t.Errorf("no word of what the thread waits for:\n%s", r.stdout)
	}
	other(t, only(t, r, p.pid)).wantChain(t, "fstatat|stat|fstatat64|__fstatat64 looker worker libc")
	p.file.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if line, err := p.out.ReadString('\n'); err == nil {
		t.Errorf("the file system was told: %s", line)
	}
}

// A thread that the kernel has made has no stack, and none is missing.
func TestKernelWorker(t *testing.T) {
	p := startStuck(t, "uring")
	r := bt(t, "--pid", itoa(p.pid)).want(t, 0)
	want := "# kernel thread: io_uring's thread that polls a submission queue, without a user stack\n"
	if !strings.Contains(r.stdout, want) {
		t.Errorf("%q is missing:\n%s", want, r.stdout)
	}
}
