//go:build linux

package main

import (
	"bufio"
	"context"
	"time"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// stacks prints the stacks of processes.
func (a *rootCommand) stacks(out *output, pids, tids []int) error {
	w := bufio.NewWriterSize(out, 64<<10)
	f := a.newFormat(w, out)
	printed := 0
	var failed error
	for _, pid := range pids {
		err := a.process(f, pid, tids)
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
	if printed == 0 {
		return failed
	}
	if failed != nil {
		a.incomplete("%v", failed)
	}
	f.Close()
	return w.Flush()
}

// process prints the stacks of one process.
func (a *rootCommand) process(f render.Format, pid int, tids []int) error {
	p, err := a.openProcess(pid)
	if err != nil {
		return err
	}
	defer p.Close()
	stacks, err := a.session().Stop(context.Background(), p, a.stackOptions(tids))
	if err != nil {
		return err
	}
	defer stacks.Close()
	a.missing(stacks)
	a.print(f, stacks)
	return nil
}

func (v *view) stackOptions(tids []int) session.StackOptions {
	return session.StackOptions{TIDs: tids, MaxFrames: v.maxFrames, MaxPause: v.maxPause, Native: v.native || v.raw, Waits: v.wantsWaits(), Kernel: v.kernel}
}

// missing says what was asked for and is not there.
func (v *view) missing(stacks *session.Stacks) {
	for _, text := range stacks.Missing {
		v.incomplete("%s", text)
	}
}

// print names the frames of a process and prints it.
func (v *view) print(f render.Format, stacks *session.Stacks) {
	p := v.printer(f, stacks)
	p.name(stacks.Model)
	if v.crashSource() {
		stacks.CrashSource()
	}
	render.Process(f, stacks.Model, render.Sample{Time: time.Now()})
	if !stacks.Model.Complete() {
		v.status = exitIncomplete
	}
}

// crashSource reports whether the source where a process died is printed: unless
// lines are unwanted.
func (v *view) crashSource() bool { return !v.raw && (!v.set.Changed("source") || v.lineFlag) }

// gateProblem says what is wrong with the gate, if names are wanted.
func (v *view) gateProblem(err error) {
	if !v.raw {
		v.target.gateProblem(err)
	}
}

// printer names what belongs to one address space.
type printer struct {
	view  *view
	space *image.Space
	sym   *symbolize.Symbolizer

	notCarried bool   // it was said that the report lacks names
	jitProblem string // the last one that was said
}

// printer returns a printer, and gives the maps to the format where they are wanted.
func (v *view) printer(f render.Format, stacks *session.Stacks) *printer {
	sym, err := stacks.Symbols()
	v.gateProblem(err)
	p := &printer{view: v, space: stacks.Space, sym: sym}
	if v.withMaps || v.format == formatPprof {
		f.Maps(stacks.Head())
	}
	return p
}

// name names the frames of a process, unless addresses alone are wanted.
func (p *printer) name(m *stack.Process) {
	if p.view.raw {
		p.sayNotCarried(m)
		return
	}
	p.sym.Stacks(m)
	for i := range m.Threads {
		for j := range m.Threads[i].Frames {
			p.view.sayRefused(&m.Threads[i].Frames[j])
		}
	}
	if !p.view.verbose {
		return
	}
	render.Notes(m, p.view.errorf)
	if err := p.space.JITProblem(); err != nil && err.Error() != p.jitProblem {
		p.jitProblem = err.Error()
		p.view.errorf("%v", err)
	}
}

// sayNotCarried says once, for --verbose, of a report that names for memory of no
// file are not in it: what a JIT compiler tells is known as long as the process runs.
func (p *printer) sayNotCarried(m *stack.Process) {
	if !p.view.verbose || !p.view.withMaps || p.notCarried {
		return
	}
	for i := range m.Threads {
		for _, f := range m.Threads[i].Frames {
			if at := p.space.Locate(f.PC); at.Mapping != nil && at.Module == nil {
				p.notCarried = true
				p.view.errorf("%s and others are in memory of no file, such as JIT-compiled code: the report carries no names for it, they are told without --raw", render.Addr(f.PC, p.space.PtrSize()))
				return
			}
		}
	}
}

// savedSpace is the address space of saved maps.
func savedSpace(m *maps.Map, sysroot string, ids map[string][]byte, cache *image.Cache) *image.Space {
	return image.NewSpace(m, &image.Files{Maps: m, Sysroot: sysroot, IDs: ids}, cache)
}
