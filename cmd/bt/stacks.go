package main

import (
	"bufio"
	"errors"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/text"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// stacks prints the stacks of processes.
func (a *app) stacks(out *output, pids, tids []int) error {
	w := bufio.NewWriterSize(out, 64<<10)
	printed := 0
	var failed error
	for _, pid := range pids {
		err := a.process(w, out, pid, tids)
		if ferr := w.Flush(); ferr != nil {
			return ferr
		}
		if err != nil {
			if failed != nil {
				a.errorf("%v", failed)
			}
			failed = err
			continue
		}
		printed++
	}
	if failed == nil || printed == 0 {
		return failed
	}
	a.incomplete("%v", failed)
	return nil
}

// process prints the stacks of one process.
func (a *app) process(w *bufio.Writer, out *output, pid int, tids []int) error {
	p, err := live.Open(pid, a.procfs)
	if err != nil {
		return err
	}
	defer p.Close()
	if p.PID != pid {
		a.errorf("%d is a thread of process %d: printing the process", pid, p.PID)
	}
	stacks, err := snapshot.Process(p, snapshot.Options{
		TIDs:      tids,
		MaxFrames: a.maxFrames,
		MaxPause:  a.maxPause,
		Cache:     a.session().Images,
		Source:    snapshot.Source(p, a.sysroot),
	})
	if err != nil {
		return err
	}
	defer stacks.Close()
	if len(stacks.Threads) == 0 {
		return errors.New("none of the threads asked for is in the process")
	}
	for _, tid := range stacks.Gone {
		if len(tids) > 0 {
			a.incomplete("thread %d is not in process %d", tid, p.PID)
		}
	}
	if p.LeaderGone() {
		a.incomplete("process %d: its main thread has ended, the others are printed", p.PID)
	}

	if !a.printProcess(w, out, p, trace.Process(p.PID, processName(p), 0, stacks), stacks.Space) {
		a.status = exitIncomplete
	}
	return nil
}

// printProcess is print for a running process.
func (a *app) printProcess(w *bufio.Writer, out *output, p *live.Process, m *stack.Process, space *image.Space) (complete bool) {
	names, done := a.session().ProcessNames(p, space.Maps)
	defer done()
	return a.print(w, out, m, space, names)
}

// print names the frames of a process, prints it, and reports whether nothing is
// missing.
func (a *app) print(w *bufio.Writer, out *output, m *stack.Process, space *image.Space, names symbolize.Options) (complete bool) {
	p := a.printer(w, out, space, names)
	p.name(m)
	p.text.Process(m)
	return m.Complete()
}

// printer names and prints what belongs to one address space.
type printer struct {
	app  *app
	sym  *symbolize.Symbolizer
	text text.Printer
}

// printer returns a printer, and prints the maps where they are wanted.
func (a *app) printer(w *bufio.Writer, out *output, space *image.Space, names symbolize.Options) *printer {
	sym, err := symbolize.New(space, names)
	a.gateProblem(err)
	p := &printer{app: a, sym: sym, text: text.Printer{W: w, Options: a.renderOptions(out)}}
	if a.withMaps {
		p.text.Maps(trace.Head(space, sym))
	}
	return p
}

// name names the frames of a process, unless addresses alone are wanted.
func (p *printer) name(m *stack.Process) {
	if p.app.raw {
		return
	}
	p.sym.Stacks(m)
	if p.app.verbose {
		render.Notes(m, p.app.errorf)
	}
}

// processName is what the process was called by, or its command name.
func processName(p *live.Process) string {
	if args := p.Cmdline(); len(args) > 0 && args[0] != "" {
		return args[0]
	}
	return "[" + p.Comm() + "]"
}

// savedSpace is the address space of saved maps.
func savedSpace(m *maps.Map, sysroot string, ids map[string][]byte, cache *image.Cache) *image.Space {
	return image.NewSpace(m, &image.Files{Maps: m, Sysroot: sysroot, IDs: ids}, cache)
}
