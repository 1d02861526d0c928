package main

import (
	"os"
	"strings"

	"github.com/gatedso/bt/internal/session"
)

// fromEnvironment is the value of --debuginfod without a value.
const fromEnvironment = "DEBUGINFOD_URLS"

// session returns what all targets of this run share, made by the flags when it
// is first needed.
func (a *app) session() *session.Session {
	a.sharing.Do(func() { a.shared = session.New(a.sessionOptions()) })
	return a.shared
}

func (a *app) sessionOptions() session.Options {
	mode, _ := a.demangleMode()
	o := session.Options{
		Procfs:    a.procfs,
		Sysroot:   a.sysroot,
		DebugDirs: a.debugDirs,
		Gate:      a.gateSources(),
		Demangle:  mode,
		Versions:  a.verbose,
	}
	o.Lines, _ = a.lines()
	if a.verbose {
		o.Note = a.errorf
	}
	// Nothing is downloaded unless the user wants it.
	o.Servers = strings.Fields(os.Getenv(fromEnvironment))
	if a.debuginfod != "" && a.debuginfod != fromEnvironment {
		o.Servers = strings.Fields(a.debuginfod)
	}
	o.Download = len(o.Servers) > 0 || a.debuginfod != ""
	if isTerminal(a.stderr) {
		o.Progress = a.stderr
	}
	return o
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
