//go:build linux

package main

import "bufio"

// coreThreads is how many threads of a core are unwound, named and printed
// together: a core can have any number of them.
const coreThreads = 1024

// coreStacks prints the stacks of a core file.
func (a *rootCommand) coreStacks(out *output, tids []int) error {
	c, err := a.session().OpenCore(a.core, a.exe, a.incomplete)
	if err != nil {
		return err
	}
	defer c.Close()
	w := bufio.NewWriterSize(out, 64<<10)
	var pr *printer
	notKept := ""
	for stacks, err := range c.Parts(a.stackOptions(tids), coreThreads) {
		if err != nil {
			return err
		}
		m := stacks.Model
		first := pr == nil
		if first {
			a.missing(stacks)
			pr = a.printer(w, out, stacks)
		}
		pr.name(m)
		if first {
			pr.text.Head(m)
		}
		pr.text.Threads(m)
		pr.text.Rest(m)
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
	if notKept != "" {
		a.errorf("%s", notKept)
	}
	return nil
}
