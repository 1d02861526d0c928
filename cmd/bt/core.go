//go:build linux

package main

import (
	"bufio"
	"sync/atomic"

	"github.com/gatedso/bt/internal/escape"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/stack"
)

// coreThreads is how many threads of a core are unwound, named and printed
// together: a core can have any number of them.
const coreThreads = 1024

// coreStacks prints the stacks of a core file.
func (a *rootCommand) coreStacks(out *output, tids []int) error {
	stop := a.progress(func() string { return "reading " + escape.Text(a.core) })
	c, err := a.session().OpenCore(a.core, a.exe, a.incomplete)
	stop()
	if err != nil {
		return err
	}
	defer c.Close()
	w := bufio.NewWriterSize(out, 64<<10)
	f := a.newFormat(w, out)
	var pr *printer
	var rest stack.Process // what concerns no single thread, of all parts
	notKept := ""
	var done atomic.Int64 // threads
	if !isTerminal(out.File) {
		defer a.progress(func() string { return number(int(done.Load()), "thread") + " printed" })()
	}
	for stacks, err := range c.Parts(a.stackOptions(tids), coreThreads) {
		if err != nil {
			return err
		}
		m := stacks.Model
		first := pr == nil
		if first {
			a.missing(stacks)
			pr = a.printer(f, stacks)
		}
		pr.name(m)
		if first {
			if source, _ := a.lines(); source && a.crashSource() {
				stacks.CrashSource()
			}
			rest = stack.Process{PID: m.PID, Name: m.Name, WordSize: m.WordSize}
			f.Head(m, render.Sample{})
		}
		f.Threads(m)
		done.Add(int64(len(m.Threads)))
		rest.Notes = append(rest.Notes, m.Notes...)
		rest.Goroutines = append(rest.Goroutines, m.Goroutines...)
		rest.Tasks = append(rest.Tasks, m.Tasks...)
		rest.Deadlocks = append(rest.Deadlocks, m.Deadlocks...)
		if err := w.Flush(); err != nil {
			return err
		}
		if !m.Complete() {
			a.status = exitIncomplete
		}
		if stacks.NotKept != "" {
			notKept = stacks.NotKept
		}
	}
	f.Rest(&rest)
	f.Close()
	if notKept != "" {
		a.errorf("%s", notKept)
	}
	return w.Flush()
}
