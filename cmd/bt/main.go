//go:build linux

// Bt unwinds the stacks of processes and names the addresses: symbol+offset,
// through signal handlers and through the gate DSO, the code that the kernel
// itself maps into every process.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/guard"
)

// The exit statuses.
const (
	exitOK         = 0
	exitNothing    = 1 // nothing could be printed
	exitUsage      = 2 // wrong usage
	exitIncomplete = 3 // printed, but something is missing
)

// usageError is a mistake in how bt was called.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// app is one run of bt.
type app struct {
	stdin  *os.File
	stdout *os.File
	stderr *os.File
	status int

	telling       atomic.Bool // the last line of the terminal tells how far bt is
	mistakes      sync.Map    // the places of panics that have been reported
	verbose       bool
	atExit        []func()
	notRegistered string // the last message about an image that is not registered
}

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	guard.Contain(a.mistake)
	guard.Run(func() { os.Exit(a.run(os.Args[1:])) })
}

// mistake reports a panic, once where it comes again and again: bt goes on
// without what the panic has cost, or ends where it cannot.
func (a *app) mistake(b *guard.Bug) {
	if _, known := a.mistakes.LoadOrStore(b.Where, true); !known {
		a.errorf("%v (please report this)", b)
	}
	if b.Fatal {
		os.Exit(exitNothing)
	}
}

// run runs bt with its arguments and returns the exit status.
func (a *app) run(args []string) (status int) {
	if err := checkDescriptors(); err != nil {
		a.errorf("%v", err)
		return exitNothing
	}
	if calledAddr2line(os.Args[0]) {
		return a.addr2line(os.Args[0], args)
	}
	if filepath.Base(os.Args[0]) == pstackName {
		var ok bool
		if args, ok = pstackArgs(args); !ok {
			a.errorf("no process is given: %s PID...", pstackName)
			return exitUsage
		}
	}
	cmd := newRootCommand(a, args)
	if completing(args) {
		addCompletions(cmd)
	}
	cmd.SetArgs(args)
	cmd.SetIn(a.stdin)
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	ran, err := cmd.ExecuteC()
	for _, f := range a.atExit {
		f()
	}
	var usage usageError
	switch {
	case err == nil:
	case errors.As(err, &usage):
		a.errorf("%v (see %s --help)", err, ran.CommandPath())
		return exitUsage
	default:
		a.errorf("%v", err)
		return exitNothing
	}
	a.mistakes.Range(func(any, any) bool {
		a.status = exitIncomplete
		return false
	})
	return a.status
}

// errorf writes one line to standard error. What the target has a hand in is
// escaped, and errors that are joined stay on the line.
func (a *app) errorf(format string, args ...any) {
	begin := ""
	if a.telling.Load() {
		begin = eraseLine
	}
	fmt.Fprintf(a.stderr, "%sbt: %s\n", begin, escape.Sprintf(format, args...))
}

// verbosef is errorf for --verbose.
func (a *app) verbosef(format string, args ...any) {
	if a.verbose {
		a.errorf(format, args...)
	}
}

// incomplete says what is missing from the output.
func (a *app) incomplete(format string, args ...any) {
	a.errorf(format, args...)
	a.status = exitIncomplete
}

// noArgs refuses arguments with a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument %q", cmd.CommandPath(), args[0])
	}
	return nil
}
