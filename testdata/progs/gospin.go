// A Go program for the tests: "spin" keeps one thread busy at the end of a
// chain of calls, "idle" has every goroutine wait. It ends when its standard
// input does.
package main

import (
	"fmt"
	"io"
	"os"
	"sync"
)

var sink int

//go:noinline
func spin(n int) int {
	fmt.Println("ready 0")
	for {
		sink += n
		if sink == 1 {
			return n
		}
	}
}

//go:noinline
func inner(n int) int { return spin(n+1) + 1 }

//go:noinline
func outer(n int) int { return inner(n+1) + 1 }

//go:noinline
func wait(mu *sync.Mutex) {
	mu.Lock()
	mu.Lock()
}

func main() {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if len(os.Args) > 1 && os.Args[1] == "spin" {
		sink = outer(2)
	}
	for range 20 {
		go wait(new(sync.Mutex))
	}
	fmt.Println("ready 0")
	select {}
}
