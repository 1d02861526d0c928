//go:build linux

package golang

// Shown reports whether the runtime shows a function in the stacks that it prints.
func Shown(name string) bool { return RunsOthers(name) || !isRuntime(name) }

// RunsOthers is for the functions of the runtime that are shown all the same, since
// Go 1.26.
func RunsOthers(name string) bool {
	return name == "runtime.runFinalizers" || name == "runtime.runCleanups"
}
