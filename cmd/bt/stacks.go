//go:build linux

package main

import (
	"bufio"
	"context"

	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/render/text"
	"github.com/gatedso/bt/internal/session"
	"github.com/gatedso/bt/maps"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// stacks prints the stacks of processes.
func (a *rootCommand) stacks(out *output, pids, tids []int) error {
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
func (a *rootCommand) process(w *bufio.Writer, out *output, pid int, tids []int) error {
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
	a.print(w, out, stacks)
	return nil
}

func (v *view) stackOptions(tids []int) session.StackOptions {
	return session.StackOptions{TIDs: tids, MaxFrames: v.maxFrames, MaxPause: v.maxPause, Native: v.native || v.raw}
}

// missing says what was asked for and is not there.
func (v *view) missing(stacks *session.Stacks) {
	for _, text := range stacks.Missing {
		v.incomplete("%s", text)
	}
}

// print names the frames of a process and prints it.
func (v *view) print(w *bufio.Writer, out *output, stacks *session.Stacks) {
	p := v.printer(w, out, stacks)
	p.name(stacks.Model)
	p.text.Process(stacks.Model)
	if !stacks.Model.Complete() {
		v.status = exitIncomplete
	}
}

// gateProblem says what is wrong with the gate, if names are wanted.
func (v *view) gateProblem(err error) {
	if !v.raw {
		v.target.gateProblem(err)
	}
}

// printer names and prints what belongs to one address space.
type printer struct {
	view  *view
	space *image.Space
	sym   *symbolize.Symbolizer
	text  text.Printer

	notCarried bool   // it was said that the report lacks names
	jitProblem string // the last one that was said
}

// printer returns a printer, and prints the maps where they are wanted.
func (v *view) printer(w *bufio.Writer, out *output, stacks *session.Stacks) *printer {
	sym, err := stacks.Symbols()
	v.gateProblem(err)
	p := &printer{view: v, space: stacks.Space, sym: sym, text: text.Printer{W: w, Options: v.renderOptions(out)}}
	if v.withMaps {
		p.text.Maps(stacks.Head())
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
