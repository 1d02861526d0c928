// Command kernel32 tells scripts what testenv.Kernel32 tells tests: it exits
// with status 0 where the kernel runs 32-bit programs, else it says that it does
// not and exits with 1 (2 where that could not be found out).
package main

import (
	"fmt"
	"os"

	"github.com/gatedso/bt/internal/testenv"
)

func main() {
	ok, err := testenv.Kernel32()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case !ok:
		fmt.Println(testenv.No32Bit)
		os.Exit(1)
	}
}
