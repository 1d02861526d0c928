// Package testenv lets tests that need a tool or a privilege say so in one
// way: they are skipped, with the command that installs what is missing, or
// fail when BT_TEST_STRICT is set and nothing may be skipped.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Strict reports whether a test may not be skipped for a missing tool.
func Strict() bool { return os.Getenv("BT_TEST_STRICT") == "1" }

// Full reports whether tests take their large samples (BT_FULL=1), as .ci/run
// does. By default all of them together take less than two minutes on two CPUs.
func Full() bool { return os.Getenv("BT_FULL") == "1" }

// Skip skips t for the reason given, or fails it when Strict.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if Strict() {
		t.Fatalf("BT_TEST_STRICT=1: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Need skips t unless tool is on the PATH. pkg is the Debian package that
// holds it.
func Need(t testing.TB, tool, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		Skip(t, "%s is not installed: apt-get install %s", tool, pkg)
	}
	return path
}

// NeedRoot skips t unless it runs as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "needs root: sudo -E go test")
	}
}
