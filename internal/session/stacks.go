//go:build linux

package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gatedso/bt/internal/fault"
	"github.com/gatedso/bt/internal/image"
	"github.com/gatedso/bt/internal/process/core"
	"github.com/gatedso/bt/internal/process/live"
	"github.com/gatedso/bt/internal/render"
	"github.com/gatedso/bt/internal/runtimes"
	"github.com/gatedso/bt/internal/runtimes/all"
	"github.com/gatedso/bt/internal/snapshot"
	"github.com/gatedso/bt/internal/trace"
	"github.com/gatedso/bt/stack"
	"github.com/gatedso/bt/symbolize"
)

// StackOptions says which stacks are wanted.
type StackOptions struct {
	TIDs      []int         // only these threads; none: all
	First     int           // the TID of the thread that comes first, or 0
	MaxFrames int           // of a thread; 0: no limit
	MaxPause  time.Duration // how long a process may be stopped; 0: no limit
	// Native leaves out the frames of language runtimes, and goroutines.
	Native bool
	Waits  bool // what threads sleep for, and deadlocks
	Kernel bool // the threads' stacks inside the kernel
}

// wants says what is asked of language runtimes.
func (o *StackOptions) wants() runtimes.Wants {
	return runtimes.Wants{Languages: !o.Native, Waits: o.Waits, Kernel: o.Kernel, MaxFrames: o.MaxFrames}
}

// finders are those of the runtimes that are to be looked for, and of what threads wait
// for.
func (s *Session) finders(o *StackOptions) []runtimes.Finder {
	var list []runtimes.Finder
	if !o.Native {
		list = all.Finders()
	}
	if o.Waits || o.Kernel {
		list = append(list, s.waits.Finder())
	}
	return list
}

// Stacks are the stacks of a process or of a core, not named yet.
type Stacks struct {
	Model *stack.Process
	Space *image.Space // the process's
	// Missing says what was asked for and is not in Model. What is missing from a
	// thread, that says itself.
	Missing []string
	// NotKept says of a stack that ends in memory which a core holds, but which was
	// not kept while the core was read, how to see more; empty if there is none.
	NotKept string

	Taken   *snapshot.Stacks // as they were taken, in the words of the unwinder
	session *Session
	root    func(path string) (*os.File, error) // opens files in the process's root; nil for a core
	names   symbolize.Options
	sym     *symbolize.Symbolizer
	done    []func()
}

// Close ends the use of the process and of its files. The model stays.
func (s *Stacks) Close() {
	for i := len(s.done) - 1; i >= 0; i-- {
		s.done[i]()
	}
}

func (s *Stacks) missing(format string, args ...any) {
	s.Missing = append(s.Missing, fmt.Sprintf(format, args...))
}

// Symbols prepares to name the frames. The error is about the gate DSO alone, whose
// frames then stay raw.
func (s *Stacks) Symbols() (*symbolize.Symbolizer, error) {
	sym, err := symbolize.New(s.Space, s.names)
	s.sym = sym
	return sym, err
}

// Head is what it takes to name the raw stacks elsewhere; Symbols comes before it.
func (s *Stacks) Head() *render.Head { return trace.Head(s.Space, s.sym) }

// Stop takes the stacks of p, which runs on then; p stays the caller's, and is
// closed after the Stacks. The caller closes these, too.
func (s *Session) Stop(ctx context.Context, p *live.Process, o StackOptions) (*Stacks, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	taken, err := snapshot.Process(p, snapshot.Options{
		TIDs:      o.TIDs,
		First:     o.First,
		MaxFrames: o.MaxFrames,
		MaxPause:  o.MaxPause,
		Cache:     s.Images,
		Source:    s.Source(p),
		PID:       p.PID,
		Finders:   s.finders(&o),
		Wants:     o.wants(),
	})
	if err != nil {
		return nil, err
	}
	if len(taken.Threads) == 0 {
		taken.Close()
		return nil, errors.New("none of the threads asked for is in the process")
	}
	names, root, done := s.processNames(p, taken.Space.Maps)
	out := &Stacks{
		Model:   trace.Process(p.PID, ProcessName(p), 0, taken),
		Space:   taken.Space,
		Taken:   taken,
		session: s, root: root, names: names,
		done: []func(){func() { taken.Close() }, done},
	}
	taken.Annotate(out.Model)
	taken.Finish(out.Model)
	for _, tid := range taken.Gone {
		if len(o.TIDs) > 0 {
			out.missing("thread %d is not in process %d", tid, p.PID)
		}
	}
	if p.LeaderGone() {
		out.missing("process %d: its main thread has ended, the others are printed", p.PID)
	}
	return out, nil
}

// ProcessName is what the process was called by, or its command name.
func ProcessName(p *live.Process) string {
	if args := p.Cmdline(); len(args) > 0 && args[0] != "" {
		return args[0]
	}
	return "[" + p.Comm() + "]"
}

// Core is an opened core file.
type Core struct {
	*core.File
	Source *snapshot.CoreSource // its files, and its memory

	session *Session
	path    string
}

// OpenCore opens a core file. exe is the program, or empty; warn receives what the
// core lacks. The caller closes it.
func (s *Session) OpenCore(path, exe string, warn func(format string, args ...any)) (*Core, error) {
	f, err := core.Open(path)
	if err != nil {
		return nil, err
	}
	for _, p := range f.Problems {
		warn("%s: %s", path, p)
	}
	src := snapshot.NewCoreSource(f, snapshot.CoreFiles{Exe: exe, Sysroot: s.options.Sysroot, Warn: warn})
	return &Core{f, src, s, path}, nil
}

// Close closes the core.
func (c *Core) Close() error {
	c.Source.Close()
	return c.File.Close()
}

// Stacks takes the stacks from the core. They are closed before it.
func (c *Core) Stacks(ctx context.Context, o StackOptions) (*Stacks, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.lacksThreads(); err != nil {
		return nil, err
	}
	taken := snapshot.Core(c.Source, c.snapshotOptions(o))
	out, err := c.stacks(taken, o)
	if err != nil {
		taken.Close()
		return nil, err
	}
	out.done = []func(){func() { taken.Close() }}
	taken.Finish(out.Model)
	return out, nil
}

// Parts is Stacks for a core of any number of threads: it takes up to n at a time.
// Each part is valid until the next one, and differs in Model and NotKept. What is
// yielded is not closed.
func (c *Core) Parts(o StackOptions, n int) iter.Seq2[*Stacks, error] {
	return func(yield func(*Stacks, error) bool) {
		if err := c.lacksThreads(); err != nil {
			yield(nil, err)
			return
		}
		var out *Stacks
		for taken := range snapshot.CoreParts(c.Source, c.snapshotOptions(o), n) {
			var err error
			if out == nil {
				out, err = c.stacks(taken, o)
			} else {
				c.model(out)
			}
			if err == nil && taken.Last {
				taken.Finish(out.Model)
			}
			if !yield(out, err) || err != nil {
				return
			}
		}
	}
}

func (c *Core) lacksThreads() error {
	if len(c.Threads) == 0 {
		return fmt.Errorf("%s holds no thread: addresses in it can be named", c.path)
	}
	return nil
}

func (c *Core) snapshotOptions(o StackOptions) snapshot.Options {
	return snapshot.Options{
		TIDs: o.TIDs, MaxFrames: o.MaxFrames, Cache: c.session.Images,
		PID: c.PID, Finders: c.session.finders(&o), Wants: o.wants(),
	}
}

// stacks makes the Stacks of those that were taken first.
func (c *Core) stacks(taken *snapshot.Stacks, o StackOptions) (*Stacks, error) {
	if len(o.TIDs) > 0 && len(taken.Threads) == 0 {
		return nil, errors.New("none of the threads asked for is in the core")
	}
	out := &Stacks{Space: taken.Space, Taken: taken, session: c.session, names: c.session.Names(taken.Space.Maps)}
	c.model(out)
	for _, tid := range taken.Gone {
		out.missing("thread %d is not in %s", tid, c.path)
	}
	if d, ok := c.Source.Death(); ok {
		cause := fault.Explain(d)
		trace.Died(out.Model, &cause)
	}
	return out, nil
}

// model sets the model of what was taken.
func (c *Core) model(s *Stacks) {
	s.Model = trace.Process(c.PID, c.name(), c.PtrSize(), s.Taken)
	s.Taken.Annotate(s.Model)
	s.NotKept = ""
	lacks := func(t stack.Thread) bool { return t.End.Reason == stack.NoMemory }
	if c.Partial && slices.ContainsFunc(s.Model.Threads, lacks) {
		s.NotKept = c.path + ": memory that it holds was not kept while it was read: decompress it, or save it to a file, to see all"
	}
}

// name is what the process was called by, or its command name.
func (c *Core) name() string {
	exec := c.ExecFile()
	switch args := c.Args; {
	case exec != "" && (args == exec || strings.HasPrefix(args, exec+" ")):
		return exec
	case args != "":
		name, _, _ := strings.Cut(args, " ")
		return name
	case exec != "":
		return exec
	case c.Comm != "":
		return "[" + c.Comm + "]"
	}
	if program := c.Source.Program(); program != "" {
		return program
	}
	return "[unknown]"
}
