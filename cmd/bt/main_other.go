//go:build !linux

// Bt unwinds the stacks of Linux processes. Elsewhere it says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bt: needs Linux: it looks at the processes and cores of that system. "+
		"Go programs name the addresses of ELF files with the package github.com/gatedso/bt/symbolize")
	os.Exit(1)
}
