//go:build linux

package main

import "strings"

// pstackName is the name under which bt does what pstack does: it prints the stacks of
// the processes whose numbers are its arguments, as gdb does.
const pstackName = "pstack"

// pstackArgs turns pstack's arguments into bt's. Flags are bt's own. It reports false where
// no process is among them.
func pstackArgs(args []string) (out []string, ok bool) {
	out = []string{"--format=" + formatGDB}
	for _, arg := range args {
		if arg != "" && !strings.HasPrefix(arg, "-") {
			out, ok = append(out, "--pid"), true
		}
		ok = ok || arg == "-h" || arg == "--help"
		out = append(out, arg)
	}
	return out, ok
}
