//go:build linux

package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gatedso/bt/internal/testenv"
)

// Go programs of 64-bit ARM, which Go's runtime ends with a core of qemu's user mode:
// through C and Go by turns, the goroutine's stack and the thread's, in the order of
// the calls; every stack has its end.
func TestCoreARM64Go(t *testing.T) {
	qemu := testenv.Need(t, "qemu-aarch64", "qemu-user")
	t.Setenv("CC", testenv.Need(t, "aarch64-linux-gnu-gcc-12", "gcc-12-aarch64-linux-gnu libc6-dev-arm64-cross"))
	t.Setenv("GOARCH", "arm64")
	t.Setenv("CGO_ENABLED", "1")
	// The tag keeps the program apart from this machine's.
	prog := build(t, "go", "cgocalls.go", "-tags=arm64core", "-ldflags=-s -w")
	turns := regexp.MustCompile(`<(crosscall2|main\.goOuter|main\.main|runtime\.goexit)`)
	const want = "crosscall2 main.goOuter crosscall2 main.goOuter crosscall2 main.goOuter main.main runtime.goexit"
	for i, name := range []string{"wait-c", "wait-go"} {
		if testing.Short() && i > 0 {
			break
		}
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", `ulimit -c unlimited; exec "$@"`, "sh", qemu, "-L", arm64Libc, prog, name)
			cmd.Dir = tempDir(t)
			cmd.Env = append(os.Environ(), "GOTRACEBACK=crash")
			p := startCmd(t, cmd)
			p.cmd.Process.Signal(syscall.SIGQUIT)
			p.cmd.Wait()
			found, _ := filepath.Glob(filepath.Join(cmd.Dir, "qemu_*.core"))
			if len(found) != 1 {
				t.Fatalf("core files: %q", found)
			}
			r := bt(t, "--core", found[0], "--sysroot", arm64Libc).want(t, 0)
			var got []string
			for _, stack := range strings.Split(r.stdout, "\n# thread ") {
				if !strings.Contains(stack, "<main.main") {
					continue
				}
				for _, m := range turns.FindAllStringSubmatch(stack, -1) {
					got = append(got, m[1])
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s, want %s\n%s", strings.Join(got, " "), want, r.stdout)
			}
			if strings.Contains(r.stdout, "\n(") {
				t.Errorf("a stack that has no end:\n%s", r.stdout)
			}
		})
	}
}
