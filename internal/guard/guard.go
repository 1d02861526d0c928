// Package guard maps files for reading and lets their bytes be read without
// danger. It is the one place where bt recovers from a panic.
//
// A mapped file that someone truncates raises SIGBUS when its bytes are read,
// which would end the program. Whatever reads mapped bytes does so within Read,
// on whatever goroutine it runs: Read turns the fault into ErrFault, which the
// caller reports as a miss. Code that hands out mapped bytes says so in its
// documentation; all other code hands out copies.
//
// A panic that is no such fault is a mistake of bt's, and nothing hides it: in a
// test, under a fuzzer and in a program that imports bt's packages it goes on as
// a panic. The command bt is different: it may hold results that a user waits
// for, or be the handler of a crash. It calls Contain, and from then on Read
// turns the panic into an error as well, so that one damaged file costs the
// names of that file and no more. The mistake is reported all the same.
package guard

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
)

// ErrFault is the error for a mapped file of which a part cannot be read any
// more: someone truncated it, or the disk or the network failed.
var ErrFault = errors.New("file cannot be read any more (truncated while in use, or an I/O error)")

// Read runs fn, which may read bytes that Map returned, and returns its error,
// or ErrFault when a part of the file is gone. A call costs about 20 ns and
// allocates nothing, so let fn do the whole of the work. Calls may be nested.
func Read(fn func() error) (err error) {
	// The setting belongs to the goroutine, hence the restore.
	old := debug.SetPanicOnFault(true)
	defer endRead(&err, old)
	return fn()
}

func endRead(err *error, old bool) {
	debug.SetPanicOnFault(old)
	p := recover()
	switch {
	case p == nil:
	case isFault(p):
		*err = ErrFault
	default:
		*err = contained(p)
	}
}

// Library runs fn, which calls a library that may panic on bad input, and turns
// a panic into an error. It is for other people's code only: the parsers of bt
// do not panic. A fault on a mapped file goes on to the Read around it.
func Library(fn func() error) (err error) {
	defer endLibrary(&err)
	return fn()
}

func endLibrary(err *error) {
	p := recover()
	switch {
	case p == nil:
	case isFault(p):
		panic(p)
	default:
		*err = fmt.Errorf("malformed: %v", p)
	}
}

// Bug is the error for a panic that is no fault on a mapped file.
type Bug struct {
	Value any    // of the panic
	Where string // the function and the line that panicked
	// Fatal is set when the goroutine cannot go on, for which others may wait.
	Fatal bool
}

func (b *Bug) Error() string { return fmt.Sprintf("internal error in %s: %v", b.Where, b.Value) }

// where is the place that panicked. The caller is a deferred function, below
// which the stack is still there.
func where() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicked := false
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "runtime.") {
			panicked = panicked || f.Function == "runtime.gopanic"
		} else if panicked {
			return fmt.Sprintf("%s (%s:%d)", f.Function[strings.LastIndexByte(f.Function, '/')+1:], filepath.Base(f.File), f.Line)
		}
		if !more {
			return "?"
		}
	}
}

// report is what Contain was given; nil where a panic goes on.
var report atomic.Pointer[func(*Bug)]

// Contain has panics end in report, on the goroutine where they happen, instead
// of ending the program. After a Bug that is Fatal the program should exit.
// The main function of a command calls it; a package or a test must not.
func Contain(f func(*Bug)) { report.Store(&f) }

// contained reports a panic and returns it as an error, or lets it go on.
func contained(p any) error {
	f := report.Load()
	if f == nil {
		panic(p)
	}
	b := &Bug{Value: p, Where: where()}
	(*f)(b)
	return b
}

// Go runs fn on a goroutine of its own as wg.Go does, within Run.
func Go(wg *sync.WaitGroup, fn func()) { wg.Go(func() { Run(fn) }) }

// Run runs fn, all of what a goroutine does, so that the runtime prints no trace
// where Contain was called: a panic that nothing within fn has stopped, be it a
// fault outside of Read, is a Bug that is Fatal, which Run reports and returns.
func Run(fn func()) (bug *Bug) {
	old := debug.SetPanicOnFault(true)
	defer endRun(&bug, old)
	fn()
	return nil
}

func endRun(bug **Bug, old bool) {
	debug.SetPanicOnFault(old)
	p := recover()
	if p == nil {
		return
	}
	f := report.Load()
	if f == nil {
		panic(p)
	}
	*bug = &Bug{Value: p, Where: where(), Fatal: true}
	(*f)(*bug)
}
