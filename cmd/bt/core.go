package main

import (
	"bufio"
	"errors"
	"fmt"
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
	stacks := snapshot.Core(c.src, snapshot.Options{TIDs: tids, MaxFrames: a.maxFrames, Cache: a.session().Images})
	defer stacks.Close()
	if len(tids) > 0 && len(stacks.Threads) == 0 {
		return errors.New("none of the threads asked for is in the core")
	}
	for _, tid := range stacks.Gone {
		a.incomplete("thread %d is not in %s", tid, a.core)
	}
	p := trace.Process(c.file.PID, c.name(), c.file.PtrSize(), stacks)
	if d, ok := c.src.Death(); ok {
		cause := fault.Explain(d)
		p.Death = trace.Death(&cause)
	}
	w := bufio.NewWriterSize(out, 64<<10)
	if !a.print(w, out, p, stacks.Space, a.session().Names(stacks.Space.Maps)) {
		a.status = exitIncomplete
		a.explainPartial(c.file, p)
	}
	return w.Flush()
}

// explainPartial says how to see what a stack lacks that only was not kept.
func (a *app) explainPartial(f *core.File, p *stack.Process) {
	for i := range p.Threads {
		if f.Partial && p.Threads[i].End.Reason == stack.NoMemory {
			a.errorf("%s: memory that it holds was not kept while it was read: decompress it, or save it to a file, to see all", a.core)
			return
		}
	}
}
