// Command gonil dereferences a null pointer, and recovers from it or not.
package main

import (
	"fmt"
	"os"
)

type node struct{ value, left int }

//go:noinline
func dereference(n *node) int { return n.left }

func main() {
	if os.Args[1] == "recover" {
		defer func() {
			if recover() != nil {
				fmt.Println("recovered")
			}
		}()
	}
	fmt.Println(dereference(nil))
}
