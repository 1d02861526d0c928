// A program with some of Go's library in it, for its source lines and inlined calls.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := json.NewEncoder(os.Stdout).Encode(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
