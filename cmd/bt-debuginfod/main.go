// Bt-debuginfod downloads debug files from debuginfod servers for bt, which runs
// it: see package fetch for what it reads and answers.
package main

import (
	"fmt"
	"os"
	"os/signal"

	"github.com/gatedso/bt/internal/guard"
	"github.com/gatedso/bt/internal/names/debugfile/debuginfod/fetch"
)

func main() {
	// Ctrl-C ends bt, and that ends the input: time to remove temporary files.
	signal.Ignore(os.Interrupt)
	guard.Contain(func(b *guard.Bug) { fail(b) })
	guard.Run(func() {
		if err := fetch.Serve(fetch.FromEnv(os.Getenv), os.Stdin, os.Stdout); err != nil {
			fail(err)
		}
	})
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "bt-debuginfod: %v\n", err)
	os.Exit(1)
}
