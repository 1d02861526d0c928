//go:build linux

package bt_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/gatedso/bt"
	"github.com/gatedso/bt/stack"
)

// The stacks of a process, in ten lines.
func ExampleStacks() {
	pid, kill := sleep()
	defer kill()

	p, err := bt.Stacks(context.Background(), pid, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, t := range p.Threads {
		fmt.Printf("%s: %d thread, %q\n", p.Name, len(p.Threads), t.Name)
		for _, f := range t.Frames {
			if n := f.Function(); n != nil && strings.Contains(n.Symbol, "sleep") {
				fmt.Printf("in a function that sleeps, of %s\n", f.Module.Path[strings.LastIndex(f.Module.Path, "/")+1:])
				break
			}
		}
	}
	// Output:
	// sleep: 1 thread, "sleep"
	// in a function that sleeps, of libc.so.6
}

// Addresses are named without stopping the process.
func ExampleSession_Frames() {
	pid, kill := sleep()
	defer kill()

	s := bt.New(&bt.Options{MaxFrames: -1})
	defer s.Close()
	p, err := s.Stacks(context.Background(), pid)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Any address will do; these are known to be in the process.
	frames := []stack.Frame{{PC: p.Threads[0].Frames[0].PC, Exact: true}, {PC: 0x10, Exact: true}}
	if err := s.Frames(context.Background(), pid, frames); err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range frames {
		if f.Miss != "" {
			fmt.Printf("%#x: %s\n", f.PC, f.Miss.Text())
		} else {
			fmt.Println("named as in the stack:", f.Names[0].Symbol == p.Threads[0].Frames[0].Names[0].Symbol)
		}
	}
	// Output:
	// named as in the stack: true
	// 0x10: nothing is mapped there
}

// sleep starts a process that sleeps.
func sleep() (pid int, kill func()) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	pid = cmd.Process.Pid
	// Until it is loaded, and sleeps.
	for asleep := 0; asleep < 3; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			panic(err)
		}
		if asleep++; !strings.Contains(string(stat), ") S ") {
			asleep = 0
		}
		time.Sleep(5 * time.Millisecond)
	}
	return pid, func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
}
