package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/internal/process/core"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/stack"
)

// coreTarget is an opened core file.
type coreTarget struct {
	file *core.File
	src  *snapshot.CoreSource
}

// openCore opens --core and says what it lacks.
func (a *app) openCore() (*coreTarget, error) {
	f, err := core.Open(a.core)
	if err != nil {
		return nil, err
	}
	for _, p := range f.Problems {
		a.incomplete("%s: %s", a.core, p)
	}
	src := snapshot.NewCoreSource(f, snapshot.CoreFiles{Exe: a.exe, Sysroot: a.sysroot, Warn: a.incomplete})
	return &coreTarget{f, src}, nil
}

func (c *coreTarget) close() {
	c.src.Close()
	c.file.Close()
}

// name is what the process was called by, or its command name.
func (c *coreTarget) name() string {
	exec := c.file.ExecFile()
	switch args := c.file.Args; {
	case exec != "" && (args == exec || strings.HasPrefix(args, exec+" ")):
		return exec
	case args != "":
		name, _, _ := strings.Cut(args, " ")
		return name
	case exec != "":
		return exec
	case c.file.Comm != "":
		return "[" + c.file.Comm + "]"
	}
	if program := c.src.Program(); program != "" {
		return program
	}
	return "[unknown]"
}

// coreStacks prints the stacks of a core file.
func (a *app) coreStacks(out *output, tids []int) error {
	c, err := a.openCore()
	if err != nil {
		return err
	}
	defer c.close()
	if len(c.file.Threads) == 0 {
		return fmt.Errorf("%s holds no thread: addresses in it can be named", a.core)
	}
	w := bufio.NewWriterSize(out, 64<<10)
	var pr *printer
	notKept := false
	o := snapshot.Options{TIDs: tids, MaxFrames: a.maxFrames, Cache: a.session().Images}
	for stacks := range snapshot.CoreParts(c.src, o, coreThreads) {
		p := trace.Process(c.file.PID, c.name(), c.file.PtrSize(), stacks)
		if pr == nil {
			if len(tids) > 0 && len(stacks.Threads) == 0 {
				return errors.New("none of the threads asked for is in the core")
			}
			for _, tid := range stacks.Gone {
				a.incomplete("thread %d is not in %s", tid, a.core)
			}
			if d, ok := c.src.Death(); ok {
				cause := fault.Explain(d)
				p.Death = trace.Death(&cause)
			}
			pr = a.printer(w, out, stacks.Space, a.session().Names(stacks.Space.Maps))
			pr.name(p)
			pr.text.Head(p)
		} else {
			pr.name(p)
		}
		pr.text.Threads(p)
		if err := w.Flush(); err != nil {
			return err
		}
		if !p.Complete() {
			a.status = exitIncomplete
			notKept = notKept || c.file.Partial && lacksMemory(p)
		}
	}
	if notKept {
		a.errorf("%s: memory that it holds was not kept while it was read: decompress it, or save it to a file, to see all", a.core)
	}
	return nil
}

// coreThreads is how many threads of a core are unwound, named and printed
// together: a core can have any number of them.
const coreThreads = 1024

// lacksMemory reports whether a stack ended for want of memory.
func lacksMemory(p *stack.Process) bool {
	return slices.ContainsFunc(p.Threads, func(t stack.Thread) bool { return t.End.Reason == stack.NoMemory })
}
