//go:build linux

package main

import "strings"

// pstackName is the name under which bt does what pstack does: it prints the stacks of
// the processes whose numbers are its arguments, as gdb does.
const pstackName = "pstack"

// pstackArgs turns pstack's arguments into bt's. Flags are bt's own.
func pstackArgs(args []string) []string {
	out := []string{"--format=" + formatGDB}
	pids := false
	for _, arg := range args {
		if arg != "" && !strings.HasPrefix(arg, "-") {
			out, pids = append(out, "--pid"), true
		}
		pids = pids || arg == "-h" || arg == "--help"
		out = append(out, arg)
	}
	if !pids {
		out = append(out, "--pid=") // which is refused
	}
	return out
}
