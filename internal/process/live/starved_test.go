//go:build linux

package live_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/testenv"
)

// pin binds all threads of a process to these CPUs.
func pin(t *testing.T, pid int, cpus *unix.CPUSet) {
	t.Helper()
	for _, tid := range tasks(t, pid) {
		if err := unix.SchedSetaffinity(tid, cpus); err != nil && err != unix.ESRCH {
			t.Fatal(err)
		}
	}
}

// hogCPU is the helper that takes CPU args[0] from every other thread for most of
// a second.
func hogCPU(args []string) {
	cpu, _ := strconv.Atoi(args[0])
	var set unix.CPUSet
	set.Set(cpu)
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		fmt.Println(err)
		return
	}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready")
	for begin := time.Now(); time.Since(begin) < 800*time.Millisecond; {
	}
}

// A thread that gets no CPU to stop on is waited for.
func TestStarved(t *testing.T) {
	testenv.NeedRoot(t)
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !all.IsSet(cpu) {
		cpu++
	}
	var one unix.CPUSet
	one.Set(cpu)
	others := all
	others.Clear(cpu)
	if others.Count() == 0 {
		t.Skip("there is one CPU only")
	}
	ch := start(t, exec.Command(build(t, "threads"), "3", "1"))
	until(t, "three threads", func() bool { return len(tasks(t, ch.pid)) == 3 })
	p := open(t, ch.pid)
	pin(t, ch.pid, &one)
	pin(t, os.Getpid(), &others)
	defer pin(t, os.Getpid(), &all)

	hog := helper("hog", strconv.Itoa(cpu))
	hog.Env = append(hog.Env, "GOMAXPROCS=1")
	out, err := hog.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hog.Start(); err != nil {
		t.Fatal(err)
	}
	defer hog.Wait()
	defer hog.Process.Kill()
	var line string
	if fmt.Fscanln(out, &line); line != "ready" {
		testenv.Skip(t, "SCHED_FIFO is not permitted: run as root, outside of a control group without real-time")
	}
	s := snapshot(t, p, live.Options{})
	for i := range s.Threads {
		if th := &s.Threads[i]; th.NotStopped != "" || !th.HasRegs {
			t.Errorf("%+v", th.Thread)
		}
	}
	t.Logf("paused for %v", s.Pause)
}
