//go:build linux

package suite

import (
	"os/exec"
	"strings"
	"testing"
)

// With a GiB of address space or of data bt does its work: services and scripts
// set such limits.
func TestMemoryLimits(t *testing.T) {
	p := start(t, build(t, "gcc", "threads.c", "-O1"), "20", "4")
	for _, limit := range []string{"-v", "-d"} {
		cmd := btCmd(t, "--pid", itoa(p.pid))
		args := append([]string{"-c", "ulimit " + limit + ` 1048576 && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		env, dir := cmd.Env, cmd.Dir
		cmd = exec.Command("/bin/sh", args...)
		cmd.Env, cmd.Dir = env, dir
		out := run(t, cmd).want(t, 0).stdout
		if n := strings.Count(out, "\n# thread "); n != 21 || strings.Contains(out, "# end: ") {
			t.Errorf("ulimit %s: %d threads:\n%s", limit, n, head(out))
		}
	}
}
