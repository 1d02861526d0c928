//go:build linux

package main

import (
	"os"
	"strings"

	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// The values of --demangle.
const (
	demangleFull  = "full"
	demangleShort = "short"
	demangleNone  = "none"
)

var demangleModes = map[string]symbolize.Demangle{
	demangleFull: symbolize.Full, demangleShort: symbolize.Short, demangleNone: symbolize.None,
}

// fromEnvironment is the value of --debuginfod without a value.
const fromEnvironment = "DEBUGINFOD_URLS"

// session returns what all targets of this run share, made by the flags when it
// is first needed.
func (t *target) session() *session.Session {
	t.sharing.Do(func() {
		t.shared = session.New(t.sessionOptions())
		t.atExit = append(t.atExit, func() { t.shared.Close() })
	})
	return t.shared
}

func (t *target) sessionOptions() session.Options {
	o := session.Options{
		Procfs:    t.procfs,
		Sysroot:   t.sysroot,
		DebugDirs: t.debugDirs,
		Gate:      t.gateSources(),
		Demangle:  demangleModes[t.demangle],
		Versions:  t.verbose,
	}
	o.Lines = t.source != nil && t.source()
	if t.set.Changed("context") {
		o.Context = &t.context
	}
	if t.verbose {
		o.Note = t.errorf
	}
	// Nothing is downloaded unless the user wants it.
	o.Servers = strings.Fields(os.Getenv(fromEnvironment))
	if t.debuginfod != "" && t.debuginfod != fromEnvironment {
		o.Servers = strings.Fields(t.debuginfod)
	}
	o.Download = len(o.Servers) > 0 || t.debuginfod != ""
	if isTerminal(t.stderr) {
		o.Progress = t.stderr
	}
	return o
}

// sayRefused says once of each file why its frames have no names, where bt was not
// permitted to open it and has read from memory what that holds of it.
func (t *target) sayRefused(f *stack.Frame) {
	m := f.Module
	if m == nil || !m.Refused || f.Function() != nil {
		return
	}
	if _, said := t.refused.LoadOrStore(m.Path, true); !said {
		t.errorf("frames in %s have no names: %s", m.Path, m.Error)
	}
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
